package issuer

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/page"
)

// Issuer is a running identity issuer. It is safe for concurrent use.
type Issuer struct {
	cfg       Config
	base      *url.URL
	now       func() time.Time
	log       *slog.Logger
	mux       *http.ServeMux
	patterns  []string
	pages     *page.Pages
	ring      *ring
	clients   map[string]*client
	people    *people
	upstreams []*upstream
	browsers  *browsers
	origin    *http.CrossOriginProtection
	codes     *tickets[*granted]
	pending   *tickets[*pending]
	devices   *devices
	limits    limits
	count     counters
}

// New checks the configuration, loads the keys, and makes the first one when there is none.
func New(ctx context.Context, cfg Config) (*Issuer, error) {
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	s := &Issuer{cfg: cfg, base: base, now: cfg.Now, log: cfg.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Name == "" {
		s.cfg.Name = base.Host
	}
	if s.clients, err = newClients(cfg.Clients); err != nil {
		return nil, err
	}
	if s.people, err = newPeople(cfg.Users); err != nil {
		return nil, err
	}
	if s.upstreams, err = s.newUpstreams(); err != nil {
		return nil, err
	}
	if s.limits, err = newLimits(s.now); err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("issuer: random secret: %w", err)
	}
	s.browsers = &browsers{secret: secret, path: base.Path + "/", secure: base.Scheme == "https"}
	s.origin = http.NewCrossOriginProtection()
	s.codes = newTickets[*granted](maxCodes, oobLifetime)
	s.pending = newTickets[*pending](maxPending, pendingLifetime)
	s.devices = newDevices()
	if s.pages, err = page.New(page.Site{Name: s.cfg.Name, Assets: base.Path + "/assets/"}, templates()); err != nil {
		return nil, err
	}
	if s.ring, err = openRing(ctx, s.cfg, s.now); err != nil {
		return nil, err
	}
	if s.count, err = newCounters(cfg.Metrics); err != nil {
		return nil, err
	}
	s.route()
	return s, nil
}

func (s *Issuer) route() {
	s.mux = http.NewServeMux()
	handle := func(pattern, path string, h http.HandlerFunc) {
		pattern = pattern + " " + s.base.Path + path
		s.patterns = append(s.patterns, pattern)
		s.mux.HandleFunc(pattern, h)
	}
	handle("GET", "/.well-known/openid-configuration", s.discovery)
	handle("GET", "/keys", s.keys)
	handle("GET", "/auth", s.authorize)
	handle("POST", "/auth", s.authorize) // OpenID Connect Core 3.1.2.1 demands both
	handle("POST", "/token", s.token)
	handle("POST", "/device/code", s.deviceAuthorization)
	handle("GET", "/device", s.devicePage)
	handle("POST", "/device", s.deviceCode)
	handle("POST", "/login", s.login)
	if len(s.upstreams) > 0 {
		handle("GET", "/upstream", s.toUpstream)
		handle("GET", "/callback", s.fromUpstream)
	}
	if s.cfg.DevelopmentLogin {
		handle("POST", "/dev/token", s.developmentToken)
	}
	for _, pattern := range s.pages.Patterns() {
		s.patterns = append(s.patterns, pattern)
		s.mux.Handle(pattern, s.pages)
	}
}

// Patterns are the net/http patterns that ServeHTTP answers, with full paths.
func (s *Issuer) Patterns() []string { return append([]string(nil), s.patterns...) }

// ServeHTTP answers the issuer's endpoints.
func (s *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	s.mux.ServeHTTP(w, r)
}

// Ready says whether tokens can be signed.
func (s *Issuer) Ready(context.Context) error {
	_, err := s.ring.current(s.now())
	return err
}

// Close ends connections to upstream providers. It is called after requests have ended.
func (s *Issuer) Close(context.Context) error {
	for _, u := range s.upstreams {
		u.http.CloseIdleConnections()
	}
	return nil
}

// address is whose request it is, for limits and the log.
func (s *Issuer) address(r *http.Request) netip.Addr {
	if s.cfg.ClientAddress != nil {
		return s.cfg.ClientAddress(r)
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a socket in the file system: all its clients count as one
	}
	return ap.Addr().Unmap()
}

type counters struct {
	tokens  *prometheus.CounterVec // by grant
	logins  *prometheus.CounterVec // by method and outcome
	refused *prometheus.CounterVec // by limit
}

func newCounters(reg prometheus.Registerer) (counters, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bulla", Subsystem: "issuer", Name: name, Help: help}, labels)
	}
	c := counters{
		tokens:  vec("tokens_total", "Identity tokens issued.", "grant"),
		logins:  vec("logins_total", "Sign-ins that were tried.", "method", "outcome"),
		refused: vec("limited_total", "Requests refused by a limit.", "limit"),
	}
	if reg == nil {
		return c, nil
	}
	for _, v := range []*prometheus.CounterVec{c.tokens, c.logins, c.refused} {
		if err := reg.Register(v); err != nil {
			return c, fmt.Errorf("issuer: metrics: %w", err)
		}
	}
	return c, nil
}
