package monitor

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a monitor watches.
type Config struct {
	// Logs are the logs, at least one.
	Logs []Log
	// Watches is the watch list. It may be empty.
	Watches []Watch
	// Dir is where the state of each log is kept, in NAME.json. It is made if need be.
	Dir string
	// Interval is the time between two looks at a log. Default: a minute.
	Interval time.Duration
	// Client reaches the logs. Nil: one with short times that follows no redirects.
	Client *http.Client
	// Now is the clock; nil: the system's.
	Now func() time.Time
	// Log gets alarms and findings; nil: silent.
	Log *slog.Logger
	// Metrics registers the metrics; nil: none.
	Metrics prometheus.Registerer
}

// Kind says what entries a log has, and how it signs.
type Kind int

// The kinds of logs.
const (
	// Rekor is a log of signatures: Rekor v2 on C2SP tlog-tiles.
	Rekor Kind = iota + 1
	// CT is a log of certificates: C2SP static-ct-api.
	CT
)

// Log is a log to watch.
type Log struct {
	// Name is what the log is called in metrics and state: lower-case letters, digits, dots and dashes.
	Name string
	Kind Kind
	// URL is where "checkpoint" and "tile/…" lie below; it is the only host that is asked.
	URL string
	// Origin is the first line of the log's checkpoints: for Rekor v2 the host name, for a CT log its submission URL without
	// scheme.
	Origin string
	// Key is the log's public key: Ed25519, ECDSA or RSA.
	Key crypto.PublicKey
	// FromHead leaves out what was in the log when it is seen for the first time. Otherwise all of it is read.
	FromHead bool
	// Stall is the time after which there must be something new: a larger tree of a Rekor log, a newer tree head of a CT log.
	// 0: the log may be silent.
	Stall time.Duration
}

const (
	defaultInterval = time.Minute
	// minInterval keeps a slip of the configuration from loading somebody else's server.
	minInterval = 10 * time.Millisecond
	// maxLogs and maxWatches bound the work for each entry and the metrics' labels.
	maxLogs    = 100
	maxWatches = 1000
	// maxName bounds names, which become file names and labels.
	maxName = 64
)

// filled checks the configuration and returns it with defaults.
func (c Config) filled() (Config, error) {
	if len(c.Logs) == 0 || len(c.Logs) > maxLogs {
		return c, fmt.Errorf("%d logs: from 1 to %d can be watched", len(c.Logs), maxLogs)
	}
	if len(c.Watches) > maxWatches {
		return c, fmt.Errorf("%d watches: %d are possible", len(c.Watches), maxWatches)
	}
	if c.Dir == "" {
		return c, errors.New("the directory for the state is missing")
	}
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.Interval < minInterval {
		return c, fmt.Errorf("interval %v: at least %v", c.Interval, minInterval)
	}
	seen := make(map[string]bool)
	for _, l := range c.Logs {
		if err := l.check(); err != nil {
			return c, fmt.Errorf("log %q: %w", l.Name, err)
		}
		if seen[l.Name] {
			return c, fmt.Errorf("log %q: there are two", l.Name)
		}
		seen[l.Name] = true
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Client == nil {
		c.Client = newClient()
	}
	return c, nil
}

func (l Log) check() error {
	if !plainName(l.Name) {
		return errors.New("the name must have lower-case letters, digits, dots and dashes")
	}
	u, err := url.Parse(l.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("URL %q: http or https, a host and perhaps a path are needed, and nothing else", l.URL)
	}
	switch {
	case l.Kind != Rekor && l.Kind != CT:
		return fmt.Errorf("kind %d is not known", l.Kind)
	case l.Origin == "":
		return errors.New("the origin is missing")
	case l.Key == nil:
		return errors.New("the key is missing")
	case l.Stall < 0:
		return errors.New("the time to stall is negative")
	}
	_, err = keyHash(l.Key)
	return err
}

// plainName says whether a name can be a file's name and a label: it begins with a letter or digit.
func plainName(s string) bool {
	for i, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '-' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// keyHash is the SHA-256 of a public key in PKIX DER.
func keyHash(pub crypto.PublicKey) ([sha256.Size]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("key: %w", err)
	}
	return sha256.Sum256(der), nil
}

// base is the URL with one slash at its end.
func (l Log) base() string { return strings.TrimRight(l.URL, "/") + "/" }
