package log

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/trust"
)

// Defaults of [Config].
const (
	DefaultTimeout     = 20 * time.Second // Rekor's; its clients wait for 20 to 30 seconds
	DefaultMaxInFlight = 2048             // each holds a request of some kilobytes while it waits for its checkpoint
)

// Config says what log to serve and how.
type Config struct {
	// BaseURL is where clients find the log. Its host name, without port and path, is the origin of the checkpoints, since
	// that is what clients compare (Rekor v2): it cannot change during the log's life.
	BaseURL string
	// Prefix is put before all paths: "" for the log that is written to, "/log/NAME" for one that is not any more.
	Prefix string
	// Dir is the tree's directory.
	Dir string
	// IndexFile is the file of the search index. It may be deleted when the log is not running, and is made again.
	IndexFile string

	// Key signs the checkpoints: Ed25519, or ECDSA on P-256. A frozen log needs only PublicKey.
	Key crypto.Signer
	// PublicKey is the key's public half; nil: taken from Key.
	PublicKey crypto.PublicKey
	// Window is when the key signs; it goes into the trusted root.
	Window trust.Window
	// Operator goes into the trusted root.
	Operator string

	// Lock remembers the latest checkpoint elsewhere. See [treelog.LockStore], and [treelog.Config] for AdoptLock.
	Lock      treelog.LockStore
	AdoptLock bool
	// Witnesses is a policy (C2SP tlog-policy) of who cosigns; empty: nobody. WitnessFailOpen publishes without them.
	Witnesses       []byte
	WitnessFailOpen bool
	// HTTPClient reaches the witnesses. nil: one that follows no redirects.
	HTTPClient *http.Client
	// CheckpointInterval, BatchMaxAge, BatchMaxSize and Pushback are those of [treelog.Config].
	CheckpointInterval time.Duration
	BatchMaxAge        time.Duration
	BatchMaxSize       uint
	Pushback           uint
	// Frozen opens the log for reading only.
	Frozen bool

	// Timeout bounds how long a client waits for its entry's proof.
	Timeout time.Duration
	// MaxInFlight bounds the number of clients that wait; one more is sent away with 503.
	MaxInFlight int

	// Now is the clock for messages and metrics; nil: the system's.
	Now func() time.Time
	// Log gets events; nil: silent.
	Log *slog.Logger
	// Metrics registers the log's metrics; nil: none.
	Metrics prometheus.Registerer
}

// prefixes are paths of a shard. The name becomes a label of metrics and a host name, so it is short and plain.
var prefixes = regexp.MustCompile(`^/log/[a-z0-9][a-z0-9.-]{0,62}$`)

func (c *Config) check() error {
	if c.Key != nil && c.PublicKey == nil {
		c.PublicKey = c.Key.Public()
	}
	switch {
	case c.PublicKey == nil:
		return errors.New("no key given")
	case c.Dir == "":
		return errors.New("no directory given")
	case c.IndexFile == "":
		return errors.New("no index file given")
	case c.Prefix != "" && !prefixes.MatchString(c.Prefix):
		return fmt.Errorf("the prefix %q is not /log/NAME", c.Prefix)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return nil
}

// Origin is the name of a log in its checkpoints: the host name of its base URL.
func Origin(baseURL string) (string, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return "", fmt.Errorf("base URL: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("base URL %q: not http or https with a host and nothing more than a path", baseURL)
	}
	return u.Hostname(), nil
}

// TrustedLog returns the log as it stands in a trusted root.
func (l *Log) TrustedLog() (trust.Log, error) {
	return trust.NewLog(trust.LogSpec{
		URL: l.cfg.BaseURL, Key: l.cfg.PublicKey, Window: l.cfg.Window, Origin: l.origin, Operator: l.cfg.Operator,
	})
}

func (c *Config) tree(key *noteKey) treelog.Config {
	t := treelog.Config{
		Dir: c.Dir, Origin: key.name, Layout: treelog.Entries, Verifier: key,
		Lock: c.Lock, AdoptLock: c.AdoptLock, Witnesses: c.Witnesses, WitnessFailOpen: c.WitnessFailOpen,
		HTTPClient: c.HTTPClient, CheckpointInterval: c.CheckpointInterval,
		BatchMaxAge: c.BatchMaxAge, BatchMaxSize: c.BatchMaxSize, Pushback: c.Pushback,
		Frozen: c.Frozen, Now: c.Now, Log: c.Log, Metrics: c.Metrics,
	}
	if key.signer != nil {
		t.Signer = key
	}
	return t
}
