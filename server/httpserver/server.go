package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// metricsConnections bounds those at the metrics' address: a few scrapers.
	metricsConnections = 32
	// pingAfter and pingWait find HTTP/2 connections whose other end is gone without a word.
	pingAfter, pingWait = 30 * time.Second, 15 * time.Second
	// cancelTime is what handlers have to end in once their contexts are cancelled.
	cancelTime = 5 * time.Second
)

// Server listens, and hands on to a handler what may pass.
type Server struct {
	cfg     Config
	handler *handler
	conns   *conns
	tracer  *tracer
	bound   []*binding // the listeners, then that of the metrics
	base    context.Context
	cancel  context.CancelFunc
}

// binding is an address that is listened at.
type binding struct {
	net  net.Listener
	http *http.Server
	tls  bool
}

// New checks the configuration and makes a server for a handler: a ServeMux on which the services are mounted. Nothing is
// opened before Listen.
func New(cfg Config, next http.Handler) (*Server, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if next == nil {
		return nil, errors.New("server: there is no handler")
	}
	s := &Server{cfg: cfg}
	lim := cfg.Limits
	s.conns = &conns{max: lim.Connections, perSite: lim.AddressConnections, proxies: cfg.Proxies, sites: make(map[netip.Prefix]int)}
	m, err := newMetrics(cfg.Registry, func() float64 { return float64(s.conns.open.Load()) })
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.conns.refused = func(reason string) { m.refused.WithLabelValues(reason).Inc() }
	cfg.Health.log.Store(cfg.Log)
	s.handler = &handler{
		next: next, limits: lim, hosts: cfg.Hosts, proxies: cfg.Proxies, log: cfg.Log, now: cfg.Now, metrics: m,
		healthz: cfg.Health.healthz, readyz: cfg.Health.readyz(cfg.Now),
	}
	if lim.AddressRate > 0 {
		s.handler.limiter, err = NewLimiter(LimiterConfig{Rate: lim.AddressRate, Burst: lim.AddressBurst, Keys: lim.Addresses, Now: cfg.Now})
		if err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
	}
	if lim.AddressInFlight > 0 {
		s.handler.sites = &sites{max: lim.AddressInFlight, open: make(map[netip.Prefix]int)}
	}
	if lim.InFlight > 0 {
		s.handler.slots = make(chan struct{}, lim.InFlight)
	}
	if s.tracer, err = startTracing(cfg.Tracing); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if s.tracer != nil {
		s.handler.next = s.tracer.wrap(next)
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Listen opens all addresses, or none. It returns those of the listeners, in their order, with the ports that were
// taken; then, if there is one, that of the metrics.
func (s *Server) Listen() ([]net.Addr, error) {
	if s.bound != nil {
		return nil, errors.New("server: it listens already")
	}
	bound, err := s.bindAll()
	if err != nil {
		for _, b := range bound {
			_ = b.net.Close() // nobody could connect yet
		}
		return nil, fmt.Errorf("server: %w", err)
	}
	s.bound = bound
	addrs := make([]net.Addr, len(bound))
	for i, b := range bound {
		addrs[i] = b.net.Addr()
	}
	return addrs, nil
}

// bindAll returns what was opened even when it fails.
func (s *Server) bindAll() (bound []*binding, err error) {
	for _, l := range s.cfg.Listeners {
		b, err := s.bind(l)
		if err != nil {
			return bound, err
		}
		bound = append(bound, b)
	}
	if s.cfg.Metrics != "" {
		b, err := s.bindMetrics()
		if err != nil {
			return bound, err
		}
		bound = append(bound, b)
	}
	return bound, nil
}

func (s *Server) bind(l Listener) (*binding, error) {
	hs := s.newHTTP(s.handler)
	hs.ConnState = s.conns.state
	if l.CertFile != "" {
		cert, err := loadCertificate(l.CertFile, l.KeyFile, s.cfg.Now, s.cfg.Log)
		if err != nil {
			return nil, fmt.Errorf("listen at %q: %w", l.Address, err)
		}
		hs.TLSConfig = cert.config()
		if s.cfg.Expiry != nil {
			if err := s.cfg.Expiry.Register("tls "+l.Address, cert.ends); err != nil {
				return nil, err
			}
		}
	}
	nl, err := net.Listen("tcp", l.Address)
	if err != nil {
		return nil, err
	}
	if l.CertFile != "" {
		hs.Protocols.SetHTTP2(true)
	} else {
		addr := peer(nl.Addr().String())
		hs.Protocols.SetUnencryptedHTTP2(l.H2C || addr.IsLoopback())
	}
	return &binding{net: listener{nl, s.conns}, http: hs, tls: l.CertFile != ""}, nil
}

// newHTTP is a server of the standard library with all of its limits set.
func (s *Server) newHTTP(h http.Handler) *http.Server {
	lim := s.cfg.Limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: lim.HeaderTime,
		IdleTimeout:       lim.IdleTime,
		MaxHeaderBytes:    lim.HeaderBytes,
		// "OPTIONS *" comes to the handler like everything else, to be limited and counted.
		DisableGeneralOptionsHandler: true,
		// No ReadTimeout and WriteTimeout: exchange sets the deadlines, which depend on the size.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: lim.Streams,
			SendPingTimeout:      pingAfter,
			PingTimeout:          pingWait,
			WriteByteTimeout:     lim.Grace,
		},
		BaseContext: func(net.Listener) context.Context { return s.base },
		// What goes wrong before there is a request: any stranger can cause it.
		ErrorLog: log.New(logWriter{s.cfg.Log}, "", 0),
	}
}

// bindMetrics opens the address of the metrics. What answers there is none of the services' business.
func (s *Server) bindMetrics() (*binding, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: metricsConnections}))
	mux.HandleFunc("GET /healthz", s.cfg.Health.healthz)
	mux.HandleFunc("GET /readyz", s.cfg.Health.readyz(s.cfg.Now))
	if s.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	if s.cfg.Operators != nil {
		mux.Handle("GET /", s.cfg.Operators)
	}
	nl, err := net.Listen("tcp", s.cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	cs := &conns{max: metricsConnections, perSite: -1, sites: make(map[netip.Prefix]int), refused: s.conns.refused}
	hs := s.newHTTP(byAddress(mux, nl.Addr()))
	hs.ConnState = cs.state
	hs.ReadTimeout = s.cfg.Limits.HeaderTime // no request here has a body
	return &binding{net: listener{nl, cs}, http: hs}, nil
}

// byAddress refuses requests that reach a loopback address under a name that is not this machine's.
func byAddress(next http.Handler, at net.Addr) http.Handler {
	if !peer(at.String()).IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "localhost" && (err != nil || !addr.IsLoopback()) {
			http.Error(w, "this address does not answer to that name", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Serve answers until ctx ends, then drains: /readyz says no, no connection is accepted any more, and requests have
// DrainTime to end. It returns nil when all of them did; an error when listening failed, or when requests were broken off.
// It calls Listen if nobody did. A server serves once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.cancel()
	if s.bound == nil {
		if _, err := s.Listen(); err != nil {
			return err
		}
	}
	failed := make(chan error, len(s.bound))
	for _, b := range s.bound {
		go func() {
			err := b.serve()
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("server: %s: %w", b.net.Addr(), err)
			}
		}()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, s.drain())
}

func (b *binding) serve() error {
	if b.tls {
		return b.http.ServeTLS(b.net, "", "")
	}
	return b.http.Serve(b.net)
}

// drain ends the server. The metrics' address goes last.
func (s *Server) drain() error {
	s.cfg.Health.Drain()
	if s.cfg.DrainDelay > 0 {
		time.Sleep(s.cfg.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTime)
	defer cancel()
	services := len(s.cfg.Listeners)
	done := make(chan struct{}, services)
	for _, b := range s.bound[:services] {
		go func() {
			_ = b.http.Shutdown(ctx) // what it left is counted below
			done <- struct{}{}
		}()
	}
	for range services {
		<-done
	}
	broken := s.handler.running.Load()
	s.cancel()
	for _, b := range s.bound {
		_ = b.http.Close() // everything that had time has ended
	}
	s.await()
	var err error
	if broken > 0 {
		err = fmt.Errorf("server: %d requests did not end within %v and were broken off", broken, s.cfg.DrainTime)
	}
	if s.tracer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), cancelTime)
		defer cancel()
		err = errors.Join(err, s.tracer.shutdown(ctx))
	}
	return err
}

// await waits for the handlers that were broken off, so that what they stand on can be closed after Serve. A handler that
// does not end with its context is not waited for any longer.
func (s *Server) await() {
	deadline := time.Now().Add(cancelTime)
	for s.handler.running.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
}

// logWriter takes the lines of net/http.
type logWriter struct{ log *slog.Logger }

// Write logs a line.
func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug("connection", "event", strings.TrimSpace(string(p)))
	return len(p), nil
}
