package instance

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
)

// service is what all services are.
type service interface {
	http.Handler
	Patterns() []string
	Ready(ctx context.Context) error
	Close(ctx context.Context) error
}

// mount is a service with a count of the requests in it, so that it can be replaced between two requests and closed when
// the last one has ended.
type mount struct {
	service
	name string // for messages: "log 2026-1"

	mu    sync.Mutex
	users int
	gone  bool
	idle  chan struct{} // closed when it is gone and nobody is in it any more
}

func newMount(name string, s service) *mount {
	return &mount{service: s, name: name, idle: make(chan struct{})}
}

// enter says whether the service may be used; if so, leave must follow.
func (m *mount) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return false
	}
	m.users++
	return true
}

func (m *mount) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users--
	if m.gone && m.users == 0 {
		close(m.idle)
	}
}

// retire lets nobody in any more and waits until the last one has left, or ctx ends.
func (m *mount) retire(ctx context.Context) error {
	m.mu.Lock()
	if !m.gone {
		m.gone = true
		if m.users == 0 {
			close(m.idle)
		}
	}
	m.mu.Unlock()
	select {
	case <-m.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: requests are still in it: %w", m.name, ctx.Err())
	}
}

// router sends requests to the mounts of the present generation.
type router struct {
	mux atomic.Pointer[http.ServeMux]
}

// set makes a generation the present one: requests that come from now on go to its mounts.
func (r *router) set(mounts []*mount) (err error) {
	mux := http.NewServeMux()
	defer func() {
		if p := recover(); p != nil { // how ServeMux says that two patterns conflict
			err = fmt.Errorf("two services want the same requests: %v", p)
		}
	}()
	for _, m := range mounts {
		for _, pattern := range m.Patterns() {
			mux.Handle(pattern, r.through(m))
		}
	}
	r.mux.Store(mux)
	return nil
}

// through lets a request into a mount. One that comes when the mount has just been replaced starts again, with the
// generation that replaced it: nothing of the request was read yet.
func (r *router) through(m *mount) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !m.enter() {
			r.ServeHTTP(w, req)
			return
		}
		defer m.leave()
		m.ServeHTTP(w, req)
	})
}

// ServeHTTP answers a request.
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	mux := r.mux.Load()
	if mux == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	mux.ServeHTTP(w, req)
}
