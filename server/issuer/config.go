package issuer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config describes an issuer. URL and Keys are required, and at least one way to say who one is.
type Config struct {
	// URL is the issuer as it stands in tokens ("iss") and as relying parties compare it, byte by byte: absolute, without
	// a slash at its end, without query and fragment. Its path is the prefix of all paths. It is https, except on loopback.
	URL string
	// AllowPlainHTTP accepts an http URL that is not on loopback. Codes and tokens then travel in the clear.
	AllowPlainHTTP bool
	// Name is shown in the head of the pages. Empty: the host of URL.
	Name string
	// Keys keeps the signing keys. An empty store is given its first key by New.
	Keys KeyStore
	// Clients may ask for tokens. Nil: DefaultClient alone.
	Clients []Client
	// Users may sign in with a password.
	Users []User
	// Upstreams are the providers whose word is taken.
	Upstreams []Upstream
	// DevelopmentLogin hands out a token for any e-mail address to whoever can reach it. New refuses it unless the host of
	// URL is loopback, and a request is refused unless it arrived at a loopback address of this machine.
	DevelopmentLogin bool
	// AllowDevelopmentLoginAnywhere lifts those restrictions: everybody who reaches the issuer can be anybody.
	AllowDevelopmentLoginAnywhere bool
	// TokenLifetime is how long an identity token is valid. 0: 10 minutes. At most 1 hour.
	TokenLifetime time.Duration
	// RotationLead is how long a key is published before it signs, so that whoever keeps a copy of the keys has fetched
	// it by then. 0: 1 hour.
	RotationLead time.Duration
	// DeviceInterval is how long a device waits between two polls, in whole seconds. 0: 5 seconds (RFC 8628 3.2).
	DeviceInterval time.Duration
	// HTTPClient reaches the upstream providers. Nil: a client with short timeouts. In both cases no redirect to another
	// host is followed and answers are bounded.
	HTTPClient *http.Client
	// ClientAddress tells whose request it is, for limits. Nil: the peer of the connection. Set it behind a proxy, to
	// something that knows which proxies to believe.
	ClientAddress func(*http.Request) netip.Addr
	// Now is the clock. Nil: the system's.
	Now func() time.Time
	// Log is told who signed in and what was refused, never a password, code or token. Nil: silent.
	Log *slog.Logger
	// Metrics receives the counters. Nil: none.
	Metrics prometheus.Registerer
}

// ErrPublicLogin is why New refuses the development login under a name that is not only this machine's.
var ErrPublicLogin = errors.New("the development login gives a token for any address to everybody")

// User may sign in with a password.
type User struct {
	// Email is the address that tokens carry. It is compared without regard to case.
	Email string
	// PasswordHash is a bcrypt hash ("$2b$…") or an argon2id hash in PHC form ("$argon2id$v=19$m=…,t=…,p=…$salt$hash").
	PasswordHash string
	// ID tells users apart for good, should an address change hands. Empty: Email.
	ID string
}

const (
	maxTokenLifetime     = time.Hour        // a token is good for whoever holds it
	defaultTokenLifetime = 10 * time.Minute // as long as a certificate from Fulcio
	defaultRotationLead  = time.Hour
	maxEntries           = 1000 // clients, users, upstreams: more of them belong into a provider of their own
)

func (c *Config) check() (*url.URL, error) {
	u, err := c.checkURL()
	if err != nil {
		return nil, err
	}
	if c.Keys == nil {
		return nil, errors.New("issuer: no key store is set")
	}
	if !c.DevelopmentLogin && len(c.Users) == 0 && len(c.Upstreams) == 0 && !hasMachines(c.Clients) {
		return nil, errors.New("issuer: nobody could sign in: no users, no upstream provider, no machine, no development login")
	}
	if c.AllowDevelopmentLoginAnywhere && !c.DevelopmentLogin {
		return nil, errors.New("issuer: the development login is allowed anywhere but not switched on")
	}
	if c.DevelopmentLogin && !c.AllowDevelopmentLoginAnywhere && !loopbackName(u.Hostname()) {
		return nil, fmt.Errorf("issuer: %w, and %s is not a loopback host; AllowDevelopmentLoginAnywhere permits it nevertheless", ErrPublicLogin, u.Hostname())
	}
	if len(c.Clients) > maxEntries || len(c.Users) > maxEntries || len(c.Upstreams) > maxEntries {
		return nil, fmt.Errorf("issuer: more than %d clients, users or upstreams", maxEntries)
	}
	return u, c.checkTimes()
}

func (c *Config) checkURL() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("issuer: URL: %w", err)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Hostname() == "":
		return nil, fmt.Errorf("issuer: URL %q is not an absolute http or https URL", c.URL)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, strings.Contains(c.URL, "#"):
		return nil, fmt.Errorf("issuer: URL %q has a user, a query or a fragment", c.URL)
	case strings.HasSuffix(c.URL, "/"):
		return nil, fmt.Errorf("issuer: URL %q ends with a slash, which relying parties would have to repeat", c.URL)
	case u.RawPath != "", strings.Trim(u.Path, pathLetters) != "", u.Path != "" && u.JoinPath().Path != u.Path:
		return nil, fmt.Errorf("issuer: the path of URL %q has other characters than letters, digits, and -._~/, or dots to resolve", c.URL)
	case u.Scheme == "http" && !c.AllowPlainHTTP && !loopbackName(u.Hostname()):
		return nil, fmt.Errorf("issuer: URL %q is plain http and not on loopback; AllowPlainHTTP permits it", c.URL)
	}
	return u, nil
}

const pathLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"

func (c *Config) checkTimes() error {
	if c.TokenLifetime == 0 {
		c.TokenLifetime = defaultTokenLifetime
	}
	if c.RotationLead == 0 {
		c.RotationLead = defaultRotationLead
	}
	if c.DeviceInterval == 0 {
		c.DeviceInterval = defaultDeviceInterval
	}
	if c.TokenLifetime < time.Second || c.TokenLifetime > maxTokenLifetime {
		return fmt.Errorf("issuer: the lifetime of tokens is %s, not between 1 second and %s", c.TokenLifetime, maxTokenLifetime)
	}
	if c.RotationLead < 0 {
		return fmt.Errorf("issuer: the rotation lead is negative: %s", c.RotationLead)
	}
	if c.DeviceInterval < time.Second || c.DeviceInterval > time.Minute || c.DeviceInterval%time.Second != 0 {
		return fmt.Errorf("issuer: the device interval is %s, not whole seconds up to a minute", c.DeviceInterval)
	}
	return nil
}

// loopbackName says whether a host name can only mean this machine (RFC 6761 6.3 for localhost and what is below it).
func loopbackName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
