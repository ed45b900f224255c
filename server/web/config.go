package web

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/tlog"
)

// Config describes the pages.
type Config struct {
	// Name is the instance's name; "bulla" when empty.
	Name string
	// Services are listed on the first page in this order.
	Services []Service
	// Commands are lines to be copied into a terminal: how clients are pointed at this instance.
	Commands []Command
	// Links lead to more: documentation, the operator.
	Links []Link
	// TransparencyLog is the log to be looked into. Nil: there are no pages about entries.
	TransparencyLog *TransparencyLog
	// Frozen are the logs that were in use before, each with a name: what is in them can be looked at and searched, too.
	Frozen []TransparencyLog
	// Now is the clock. Nil: the system's.
	Now func() time.Time
	// Log is told what goes wrong. Nil: silent.
	Log *slog.Logger
	// Metrics receives the counters. Nil: none.
	Metrics prometheus.Registerer
}

// Service is a service of the instance.
type Service struct {
	// Name and Purpose are for people, Address is the URL or path that clients are given.
	Name, Purpose, Address string
	// Ready says whether it can serve. Nil: that is not known here. It is called with a deadline, and its error is
	// logged, not shown.
	Ready func(context.Context) error
}

// Command is a command line and what it is good for.
type Command struct{ Title, Line string }

// Link is a reference to another place: an http or https URL, or a path.
type Link struct{ Text, URL string }

// TransparencyLog is a log with Rekor's API v2 and this project's search.
type TransparencyLog struct {
	// Name tells frozen logs apart, in addresses and for people. That of the log in use is not looked at.
	Name string
	// URL is the log's base URL, as clients have it. Its host name is the origin of the checkpoints.
	URL string
	// Key is the log's public key.
	Key crypto.PublicKey
	// Client reaches the log. Nil: one with a timeout. When the log is in this process, give it a [Direct] transport.
	Client *http.Client
}

const (
	maxListed = 100 // services, commands, links: a page that people read
	maxText   = 4096
)

func (c *Config) check() (*logReader, error) {
	if len(c.Services) > maxListed || len(c.Commands) > maxListed || len(c.Links) > maxListed {
		return nil, fmt.Errorf("web: more than %d services, commands or links", maxListed)
	}
	for _, s := range c.Services {
		if s.Name == "" || len(s.Name)+len(s.Purpose)+len(s.Address) > maxText {
			return nil, fmt.Errorf("web: service %q has no name or too much text", s.Name)
		}
	}
	for _, k := range c.Commands {
		if k.Line == "" || len(k.Title)+len(k.Line) > maxText {
			return nil, fmt.Errorf("web: command %q has no line or too much text", k.Title)
		}
	}
	for _, l := range c.Links {
		u, err := url.Parse(l.URL)
		if err != nil || l.Text == "" || (u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("web: link %q has no text, or its URL is not http, https or a path", l.Text)
		}
	}
	if c.TransparencyLog == nil {
		return nil, nil
	}
	return newLogReader(*c.TransparencyLog)
}

func newLogReader(l TransparencyLog) (*logReader, error) {
	base, err := url.Parse(l.URL)
	if err != nil || base.Hostname() == "" || (base.Scheme != "http" && base.Scheme != "https") || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("web: log URL %q is not an absolute http or https URL", l.URL)
	}
	if l.Key == nil {
		return nil, errors.New("web: the log's key is not set")
	}
	r := &logReader{base: base, origin: base.Hostname(), key: l.Key, http: l.Client}
	if r.id, err = tlog.KeyIDv2(r.origin, l.Key); err != nil {
		return nil, fmt.Errorf("web: the log's key: %w", err)
	}
	if r.http == nil {
		r.http = &http.Client{Timeout: logTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return r, nil
}
