package httpserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where a [Server] listens and what it allows.
type Config struct {
	// Listeners are the addresses where the handler answers. At least one.
	Listeners []Listener
	// Metrics is the address, "host:port", where /metrics answers, in plain HTTP. Empty: nowhere. Never put it where the
	// public can reach it: it tells how busy the service is, and whom it stands on.
	Metrics string
	// Operators answers GET and HEAD at the Metrics address: for what is not for the public. Nil: nothing does. A loopback
	// address answers to this machine's names only, which keeps web pages away, as Hosts does.
	Operators http.Handler
	// Pprof serves Go's profiles, /debug/pprof/, at the Metrics address.
	Pprof bool
	// Hosts are the names that the server answers to, without port: the Host header must be one of them, or the answer is 421.
	// Empty: all. On a loopback address this is what keeps web pages away that let their own name point to it (DNS rebinding).
	Hosts []string
	// Proxies are the addresses of reverse proxies that are believed when they say, in X-Forwarded-For, whose request
	// they pass on. Empty: the header is ignored.
	Proxies []netip.Prefix
	// Limits bound what clients can do. The zero value is the usual ones.
	Limits Limits
	// DrainTime is what requests have to end in when the server does; 30 seconds when 0.
	DrainTime time.Duration
	// DrainDelay is how long the server still accepts connections while /readyz already says no, so that a load balancer
	// can notice. Usually 0.
	DrainDelay time.Duration
	// Log gets a line for each request and for what goes wrong. Nil: silent.
	Log *slog.Logger
	// Registry is where the metrics are, those of the services too. Nil: a new one, see [NewRegistry].
	Registry *prometheus.Registry
	// Expiry is told when the certificates of the listeners end. Nil: nobody is.
	Expiry *Expiry
	// Health answers /healthz and /readyz. Nil: a new one, that is never ready because nothing is registered.
	Health *Health
	// Tracing sends traces, when its endpoint is set.
	Tracing Tracing
	// Now is the clock of rate limits and logs. Nil: the system's.
	Now func() time.Time
}

// Listener is an address to listen at.
type Listener struct {
	// Address is "host:port"; the host is an IP address or a name, never empty: a server that should answer at all
	// addresses says so ("0.0.0.0:443" or "[::]:443"). Port 0 takes a free one.
	Address string
	// CertFile and KeyFile are PEM files with the certificate, followed by its intermediates, and its key. They are read
	// anew when they change. Both or neither: without them the listener speaks plain HTTP.
	CertFile, KeyFile string
	// H2C speaks HTTP/2 without TLS to clients that begin with it, which gRPC behind a proxy needs. At loopback addresses
	// that is always so.
	H2C bool
}

// Limits bound what clients can do. 0 is the default that stands with each field; a negative value, where the comment
// allows one, no limit.
type Limits struct {
	// HeaderTime is what a client has for a request's header, and for the TLS handshake. Default 10 s: a header fits into
	// a few packets.
	HeaderTime time.Duration
	// HeaderBytes bounds a request's header. Default 64 KiB: identity tokens of 20 KiB with many groups occur, and are sent
	// in it.
	HeaderBytes int
	// RequestTime bounds a request from its header to its answer: the body must have come, and the context of the handler
	// ends. Default 60 s: twice what clients of the log wait for at most.
	RequestTime time.Duration
	// IdleTime ends a connection on which nothing happens. Default 120 s: longer than a build step between two requests.
	IdleTime time.Duration
	// Grace is the time in which nothing need arrive, at the start of a body or of reading the answer. Default 10 s.
	Grace time.Duration
	// Rate is how many bytes a second a client must send of its body, or take of the answer, once Grace is over.
	// Default 4096, half of what the slowest mobile networks have.
	Rate int64
	// BodyBytes bounds a request's body; handlers may have smaller bounds. Default 4 MiB, what Rekor takes. Bodies are
	// kept in memory, so this times InFlight is what hostile clients can make the server hold.
	BodyBytes int64
	// Connections bounds those open at a time. Default 4096: some 40 KiB each, with TLS. When it is reached, the connection
	// that has been idle for longest is closed, and when none is idle, the new one. Negative: none.
	Connections int
	// AddressConnections bounds those of one client address (of an IPv6 /64, which a single customer has). Proxies are
	// exempt. Default 256. Negative: none.
	AddressConnections int
	// Streams bounds the requests at a time on one HTTP/2 connection. Default 100, the least that RFC 9113 6.5.2
	// recommends.
	Streams int
	// AddressRate and AddressBurst are the token bucket of one client address: requests a second, and at once. Default 50
	// and 200: a build that signs and verifies needs some tens. Negative AddressRate: none.
	AddressRate  float64
	AddressBurst int
	// Addresses is the number of client addresses that are remembered for that. Default 65536, about 3 MB.
	Addresses int
	// InFlight bounds the requests being answered at a time. Default 1024: with the entries waiting for a checkpoint
	// of the log, more than the log can sequence in that time. Negative: none.
	InFlight int
	// AddressInFlight bounds those of one client address, so that one who sends or takes bytes as slowly as he may does not
	// keep everybody else out. Default a quarter of InFlight, at least 2, and none where AddressRate or InFlight is none;
	// negative: none.
	AddressInFlight int
}

// Durations and sizes where the configuration has none, explained at [Limits].
const (
	defaultDrain = 30 * time.Second
	// minHeaderBytes: net/http adds 4 KiB of slack to every limit, and below that no browser's header fits.
	minHeaderBytes = 1024
	// maxListeners: more is a configuration that somebody generated wrongly.
	maxListeners = 64
)

func orDefault[T int | int64 | float64 | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

// filled returns the limits with defaults in the place of zeros.
func (l Limits) filled() Limits {
	l.HeaderTime = orDefault(l.HeaderTime, 10*time.Second)
	l.HeaderBytes = orDefault(l.HeaderBytes, 64<<10)
	l.RequestTime = orDefault(l.RequestTime, 60*time.Second)
	l.IdleTime = orDefault(l.IdleTime, 120*time.Second)
	l.Grace = orDefault(l.Grace, 10*time.Second)
	l.Rate = orDefault(l.Rate, 4096)
	l.BodyBytes = orDefault(l.BodyBytes, 4<<20)
	l.Connections = orDefault(l.Connections, 4096)
	l.AddressConnections = orDefault(l.AddressConnections, 256)
	l.Streams = orDefault(l.Streams, 100)
	l.AddressRate = orDefault(l.AddressRate, 50)
	l.AddressBurst = orDefault(l.AddressBurst, 200)
	l.Addresses = orDefault(l.Addresses, 1<<16)
	l.InFlight = orDefault(l.InFlight, 1024)
	if l.AddressInFlight == 0 {
		l.AddressInFlight = -1
		if l.AddressRate > 0 && l.InFlight > 0 {
			l.AddressInFlight = max(2, l.InFlight/4)
		}
	}
	return l
}

// check refuses what cannot be meant. The limits are filled.
func (l Limits) check() error {
	for name, d := range map[string]time.Duration{
		"header time": l.HeaderTime, "request time": l.RequestTime, "idle time": l.IdleTime, "grace": l.Grace,
	} {
		if d < 0 {
			return fmt.Errorf("limits: %s is negative: %v", name, d)
		}
	}
	switch {
	case l.HeaderBytes < minHeaderBytes:
		return fmt.Errorf("limits: header of %d bytes: less than %d is none", l.HeaderBytes, minHeaderBytes)
	case l.Rate < 0 || l.BodyBytes < 0 || l.Streams < 0 || l.AddressBurst < 0 || l.Addresses < 0:
		return errors.New("limits: rate, body bytes, streams, burst and number of addresses cannot be negative")
	}
	return nil
}

// filled checks the configuration and returns it with defaults.
func (c Config) filled() (Config, error) {
	if len(c.Listeners) == 0 || len(c.Listeners) > maxListeners {
		return c, fmt.Errorf("%d addresses to listen at: from 1 to %d are possible", len(c.Listeners), maxListeners)
	}
	c.Listeners = slices.Clone(c.Listeners)
	for _, l := range c.Listeners {
		if err := checkAddress(l.Address); err != nil {
			return c, err
		}
		if (l.CertFile == "") != (l.KeyFile == "") {
			return c, fmt.Errorf("listen at %q: a certificate file needs a key file, and the other way round", l.Address)
		}
		if l.H2C && l.CertFile != "" {
			return c, fmt.Errorf("listen at %q: HTTP/2 without TLS is asked for at an address with TLS", l.Address)
		}
	}
	if c.Metrics != "" {
		if err := checkAddress(c.Metrics); err != nil {
			return c, fmt.Errorf("metrics: %w", err)
		}
	} else if c.Pprof {
		return c, errors.New("profiles are served at the address of the metrics, and there is none")
	}
	c.Hosts = slices.Clone(c.Hosts)
	for i, h := range c.Hosts {
		c.Hosts[i] = strings.ToLower(h)
		if h == "" || strings.ContainsAny(h, "/ *@") {
			return c, fmt.Errorf("host name %q: a name or IP address is needed, without port or pattern", h)
		}
	}
	if c.DrainTime < 0 || c.DrainDelay < 0 {
		return c, errors.New("the time for draining is negative")
	}
	c.DrainTime = orDefault(c.DrainTime, defaultDrain)
	c.Limits = c.Limits.filled()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = NewRegistry()
	}
	if c.Health == nil {
		c.Health = NewHealth()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.Limits.check()
}

// checkAddress refuses addresses whose host is left out: net.Listen would take all interfaces.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return fmt.Errorf("listen at %q: %w", address, err)
	case host == "":
		return fmt.Errorf(`listen at %q: the host is missing; all addresses are "0.0.0.0:%s" or "[::]:%s"`, address, port, port)
	case port == "":
		return fmt.Errorf("listen at %q: the port is missing; 0 takes a free one", address)
	}
	return nil
}
