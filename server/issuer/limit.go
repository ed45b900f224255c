package issuer

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/httpserver"
)

const (
	addresses = 1 << 16 // that are remembered: a few MB
	ipv6Site  = 64      // bits that a single customer has of IPv6 (RFC 6177)
)

// limits bound how often somebody may try. They come on top of the HTTP server's limit on all requests of an address.
type limits struct {
	// starts: what takes a place in memory: device codes and sign-ins at upstreams. Per address; of 10,000 places one
	// address can take 630 in the 20 minutes that a place is taken.
	starts *httpserver.Limiter
	// guesses: passwords, client secrets and user codes. Per address.
	guesses *httpserver.Limiter
	// accounts: passwords and client secrets. Per account, wherever the guesses come from; slow hashes do the rest.
	accounts *httpserver.Limiter
	// codes: user codes, over all addresses. 20^8 codes, 10,000 of them valid at most: with 5 guesses a second one is
	// found in a week, while all are being typed.
	codes *httpserver.Limiter
}

func newLimits(now func() time.Time) (l limits, err error) {
	for _, d := range []struct {
		limiter **httpserver.Limiter
		rate    float64
		burst   int
		keys    int
	}{
		{&l.starts, 0.5, 30, addresses},
		{&l.guesses, 0.2, 15, addresses},
		{&l.accounts, 0.1, 15, addresses},
		{&l.codes, 5, 50, 1},
	} {
		*d.limiter, err = httpserver.NewLimiter(httpserver.LimiterConfig{Rate: d.rate, Burst: d.burst, Keys: d.keys, Now: now})
		if err != nil {
			return l, fmt.Errorf("issuer: limits: %w", err)
		}
	}
	return l, nil
}

// allow asks a limiter, and on no says in the headers when to come again.
func (s *Issuer) allow(w http.ResponseWriter, l *httpserver.Limiter, name, key string) bool {
	ok, wait := l.Allow(key)
	if !ok {
		httpserver.RetryAfter(w, wait)
		s.count.refused.WithLabelValues(name).Inc()
	}
	return ok
}

func (s *Issuer) allowStart(w http.ResponseWriter, r *http.Request) bool {
	return s.allow(w, s.limits.starts, "starts", siteOf(s.address(r)))
}

func (s *Issuer) allowGuess(w http.ResponseWriter, r *http.Request) bool {
	return s.allow(w, s.limits.guesses, "guesses", siteOf(s.address(r)))
}

// account is asked with the name that was typed, known or not: what it answers does not tell.
func (s *Issuer) allowAccount(w http.ResponseWriter, kind, name string) bool {
	return s.allow(w, s.limits.accounts, "accounts", kind+" "+strings.ToLower(name))
}

func (s *Issuer) allowCode(w http.ResponseWriter) bool {
	return s.allow(w, s.limits.codes, "codes", "all")
}

// siteOf is what counts as one address: an IPv4 address, or an IPv6 /64.
func siteOf(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(ipv6Site); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
