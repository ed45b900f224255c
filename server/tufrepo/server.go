package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

// renewEvery is how often the server looks whether something must be signed anew.
const renewEvery = time.Minute

// Server publishes the repository and keeps it fresh. It may be used by several goroutines at once, and several processes
// may change one repository.
type Server struct {
	repo    *repository
	metrics *metrics
	stop    context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	current *current
}

// New opens a repository that [Init] has founded, checks it as a client would, and signs anew what is due. It goes on
// doing so in the background until [Server.Close]. That something has expired and cannot be signed here is no error of
// New, see [Server.Ready].
func New(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("TUF repository: %w", err)
	}
	s := &Server{repo: &repository{cfg: cfg}, done: make(chan struct{})}
	if err := s.repo.readSkipped(); err != nil {
		return nil, fmt.Errorf("TUF repository: %w", err)
	}
	c, err := s.repo.load()
	if err != nil {
		return nil, fmt.Errorf("TUF repository: %w", err)
	}
	s.current = c
	if s.metrics, err = newMetrics(cfg.Metrics, s.Expires, cfg.Now); err != nil {
		return nil, fmt.Errorf("TUF repository: metrics: %w", err)
	}
	if err := s.Renew(ctx); err != nil {
		cfg.Log.ErrorContext(ctx, "TUF metadata could not be signed anew", "error", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.keepFresh(background)
	return s, nil
}

func (s *Server) keepFresh(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Renew(ctx); err != nil {
				s.repo.cfg.Log.ErrorContext(ctx, "TUF metadata could not be signed anew", "error", err)
			}
		}
	}
}

// Close ends the background work.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready says whether clients can use the repository now: something is published, and nothing of it has expired.
func (s *Server) Ready(context.Context) error {
	for _, role := range []string{tuf.RootRole, tuf.TargetsRole, tuf.SnapshotRole, tuf.TimestampRole} {
		switch at := s.Expires(role); {
		case at.IsZero():
			return errors.New("TUF repository: nothing is published yet")
		case s.repo.cfg.Now().After(at):
			return fmt.Errorf("TUF repository: %s has expired at %s", role, at.Format(time.RFC3339))
		}
	}
	return nil
}

// Expires returns when the published metadata of a role expires, zero if none is published.
func (s *Server) Expires(role string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := map[string]*tuf.Document{
		tuf.RootRole: s.current.root, tuf.TargetsRole: s.current.targets, tuf.SnapshotRole: s.current.snapshot, tuf.TimestampRole: s.current.timestamp,
	}[role]
	if d == nil {
		return time.Time{}
	}
	return d.Expires()
}

// Root returns the current root.json.
func (s *Server) Root() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.root.Encode()
}

// change runs f, and takes over what is published then even if f fails half way.
func (s *Server) change(ctx context.Context, f func(c *current) error) error {
	c, err := s.repo.change(ctx, f)
	if err != nil && !errors.Is(err, ErrPending) {
		if c2, err2 := s.repo.load(); err2 == nil {
			c = c2
		} else {
			c = nil
		}
	}
	if c != nil {
		s.mu.Lock()
		s.current = c
		s.mu.Unlock()
	}
	return err
}

// Publish makes files the content of the repository. If they are already, nothing happens. The error is [ErrPending] if
// the keys at hand are not enough to sign the list; what was published before stays until the rest has signed. For what
// files there should be see [Targets].
func (s *Server) Publish(ctx context.Context, files []tuf.Target) error {
	return s.change(ctx, func(c *current) error {
		before := c.targets
		err := s.repo.publish(c, files)
		if err == nil && c.targets != before {
			s.published(ctx, c.targets)
		}
		return err
	})
}

// SetKeys makes the root list the keys of spec, whose version and expiry are not looked at. If it does already, nothing
// happens. The next root is signed with the keys at hand, under the rules of the present root and under its own; if they
// are not enough the error is [ErrPending]. Everything else is signed so that it verifies under both before the new root is
// visible, for which the keys of snapshot and timestamp of both must be at hand, and so must, or have signed, those of targets.
func (s *Server) SetKeys(ctx context.Context, spec tuf.RootSpec) error {
	return s.change(ctx, func(c *current) error {
		is, err := c.root.RootSpec()
		if err != nil {
			return err
		}
		if same, err := sameKeys(is, spec); err != nil || same {
			return errors.Join(err, s.repo.dropPending(tuf.RootRole))
		}
		return s.nextRoot(ctx, c, spec)
	})
}

// nextRoot makes, signs and publishes the root after the present one.
func (s *Server) nextRoot(ctx context.Context, c *current, spec tuf.RootSpec) error {
	spec.Version, spec.Expires = c.root.Version()+1, s.repo.expiry(s.repo.cfg.Lifetimes.Root, c.root)
	d, err := tuf.NewRoot(spec)
	if err != nil {
		return err
	}
	if err := s.repo.sign(d, c.root, d); err != nil {
		return err
	}
	if c.targets != nil && c.targets.Verify(d) != nil {
		if err := s.resignTargets(c, d); err != nil {
			return err
		}
	}
	if err := s.repo.publishRoot(c, d); err != nil {
		return err
	}
	s.published(ctx, d)
	return nil
}

// resignTargets publishes the same files again, signed for the present root and for the next.
func (s *Server) resignTargets(c *current, next *tuf.Document) error {
	version, err := s.repo.next(tuf.TargetsRole, c.targets)
	if err != nil {
		return err
	}
	d, err := c.targets.Renewed(version, s.repo.expiry(s.repo.cfg.Lifetimes.Targets, c.targets))
	if err != nil {
		return err
	}
	if err := s.repo.sign(d, c.root, next); err != nil {
		return err
	}
	return s.repo.publishTargets(c, d)
}

func (s *Server) published(ctx context.Context, d *tuf.Document) {
	s.metrics.published(d.Role())
	s.repo.cfg.Log.InfoContext(ctx, "published", "file", d.FileName(), "version", d.Version(), "expires", d.Expires())
}

// Patterns lists what the service answers.
func (s *Server) Patterns() []string {
	return []string{"GET " + s.repo.cfg.Prefix + "/{file}", "GET " + s.repo.cfg.Prefix + "/targets/{file}"}
}

// ServeHTTP answers with a file of the repository. Nothing else of the directory can be had.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, s.repo.cfg.Prefix+"/")
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	name, cache := s.locate(rest)
	if name == "" {
		notThere(w)
		return
	}
	f, err := os.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.repo.cfg.Log.ErrorContext(r.Context(), "reading the TUF repository", "error", err)
			http.Error(w, "the repository cannot be read", http.StatusInternalServerError)
			return
		}
		notThere(w)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		notThere(w)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/octet-stream")
	if strings.HasSuffix(name, ".json") {
		h.Set("Content-Type", "application/json")
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// How long answers may be kept: what has a version or a digest in its name never changes. What is not there may be there a
// moment later, as the next root.
const (
	keepForever = "public, max-age=31536000, immutable"
	keepNever   = "no-cache"
)

func notThere(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "there is no such file", http.StatusNotFound)
}

// locate finds the file for the rest of a path; "" if there can be none.
func (s *Server) locate(rest string) (name, cache string) {
	if file, ok := strings.CutPrefix(rest, targetsDir+"/"); ok {
		if !isTarget(file) {
			return "", ""
		}
		return s.repo.path(targetsDir, file), keepForever
	}
	if _, _, ok := versioned(rest); ok {
		return s.repo.path(rest), keepForever
	}
	switch rest {
	case "timestamp.json":
		return s.repo.path(rest), keepNever
	case "root.json": // the current one, for people who begin here
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.repo.path(s.current.root.FileName()), keepNever
	}
	return "", ""
}

// isTarget says that a name is 64 digits of lower-case hex, a dot, and a plain file name.
func isTarget(name string) bool {
	sum, rest, ok := strings.Cut(name, ".")
	return ok && len(sum) == 64 && strings.Trim(sum, "0123456789abcdef") == "" &&
		rest != "" && !strings.HasPrefix(rest, ".") && !strings.ContainsAny(rest, "/\\\x00")
}
