package web

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/page"
)

//go:embed html
var html embed.FS

const (
	readyTimeout = 2 * time.Second
	readyFor     = 5 * time.Second // that services are not asked again
	readersAtMax = 8               // pages about the log being made at a time: each may read a bundle of up to 16 MiB
)

// Site is the running pages. It is safe for concurrent use.
type Site struct {
	cfg      Config
	now      func() time.Time
	log      *slog.Logger
	mux      *http.ServeMux
	patterns []string
	pages    *page.Pages
	reader   *logReader // nil: no log
	frozen   []shard    // before it, the newest first
	slots    chan struct{}
	shown    *prometheus.CounterVec

	mu      sync.Mutex
	asked   time.Time
	answers []status
}

// New checks the configuration. It asks nobody anything.
func New(_ context.Context, cfg Config) (*Site, error) {
	reader, err := cfg.check()
	if err != nil {
		return nil, err
	}
	frozen, err := cfg.readShards()
	if err != nil {
		return nil, err
	}
	if cfg.Name == "" {
		cfg.Name = "bulla"
	}
	s := &Site{cfg: cfg, now: cfg.Now, log: cfg.Log, reader: reader, frozen: frozen, slots: make(chan struct{}, readersAtMax)}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	templates, err := fs.Sub(html, "html")
	if err != nil {
		return nil, err
	}
	if s.pages, err = page.New(page.Site{Name: cfg.Name, Home: "/", Assets: "/ui/assets/"}, templates); err != nil {
		return nil, err
	}
	s.shown = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bulla", Subsystem: "web", Name: "pages_total", Help: "Pages shown."}, []string{"page", "status"})
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(s.shown); err != nil {
			return nil, fmt.Errorf("web: metrics: %w", err)
		}
	}
	s.route()
	return s, nil
}

func (s *Site) route() {
	s.mux = http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) {
		s.patterns = append(s.patterns, pattern)
		s.mux.HandleFunc(pattern, h)
	}
	handle("GET /{$}", s.home)
	if s.reader != nil {
		handle("GET /ui/log", s.limited(s.entries))
		handle("GET /ui/log/{index}", s.limited(s.entry))
	}
	for _, p := range s.pages.Patterns() {
		s.patterns = append(s.patterns, p)
		s.mux.Handle(p, s.pages)
	}
}

// Patterns are the net/http patterns that ServeHTTP answers.
func (s *Site) Patterns() []string { return append([]string(nil), s.patterns...) }

// ServeHTTP answers the pages.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Ready says that pages can be shown: they always can, and say themselves what is not there.
func (s *Site) Ready(context.Context) error { return nil }

// Close ends connections to a log elsewhere.
func (s *Site) Close(context.Context) error {
	if s.reader != nil {
		s.reader.http.CloseIdleConnections()
	}
	for _, f := range s.frozen {
		f.http.CloseIdleConnections()
	}
	return nil
}

// limited lets so many requests read the log at once, and sends the others away.
func (s *Site) limited(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			h(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			s.fail(w, r, http.StatusServiceUnavailable, "Too many people are looking", "Please try again in a moment.")
		}
	}
}

// status is whether a service can serve: "ready", "not ready", or "" where that is not known.
type status struct {
	Service
	State string
}

type homePage struct {
	Name     string
	Services []status
	Commands []Command
	Links    []Link
	Log      bool
}

func (s *Site) home(w http.ResponseWriter, r *http.Request) {
	s.write(w, r, http.StatusOK, page.View{
		Page: "home", Title: "Signing services", Nav: s.nav("/"), Wide: true, Script: true,
		Data: homePage{s.cfg.Name, s.statuses(r.Context()), s.cfg.Commands, s.cfg.Links, s.reader != nil},
	})
}

// statuses asks the services, all at once, unless that was done a moment ago.
func (s *Site) statuses(ctx context.Context) []status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := s.now().Sub(s.asked); s.answers != nil && age >= 0 && age < readyFor {
		return s.answers
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout) // the answer is for others too
	defer cancel()
	out := make([]status, len(s.cfg.Services))
	var wg sync.WaitGroup
	for i, service := range s.cfg.Services {
		out[i].Service = service
		if service.Ready == nil {
			continue
		}
		wg.Go(func() {
			out[i].State = "ready"
			if err := service.Ready(ctx); err != nil {
				s.log.WarnContext(ctx, "a service is not ready", "service", service.Name, "error", err)
				out[i].State = "not ready"
			}
		})
	}
	wg.Wait()
	s.asked, s.answers = s.now(), out
	return out
}

func (s *Site) nav(current string) []page.Link {
	links := []page.Link{{Text: "Services", Href: "/"}}
	if s.reader != nil {
		links = append(links, page.Link{Text: "Log", Href: "/ui/log"})
	}
	for i := range links {
		links[i].Current = links[i].Href == current
	}
	return links
}

func (s *Site) fail(w http.ResponseWriter, r *http.Request, code int, title, text string) {
	s.write(w, r, code, page.View{Page: "fail", Title: title, Nav: s.nav(""), Wide: true, Data: struct{ Title, Text string }{title, text}})
}

func (s *Site) write(w http.ResponseWriter, r *http.Request, code int, v page.View) {
	s.shown.WithLabelValues(v.Page, fmt.Sprint(code)).Inc()
	if err := s.pages.Write(w, code, v); err != nil {
		s.log.ErrorContext(r.Context(), "page not written", "page", v.Page, "error", err)
	}
}
