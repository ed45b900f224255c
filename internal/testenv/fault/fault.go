// Package fault makes HTTP services fail in the ways that networks and servers do: around a handler in the same process, or
// in a reverse proxy before a service of any kind. Faults are chosen by request, and every request is kept for later.
package fault

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong with requests.
type Fault struct {
	Method, Path string // which ones: the method, empty for any, and the beginning of the path
	After        int    // so many of them pass first
	Times        int    // how often; 0 for once, negative for ever

	Refuse bool              // close the connection without doing anything
	Drop   bool              // do it, then close the connection without an answer
	Slow   time.Duration     // do nothing and answer nothing for so long, or until the client goes away; then go on
	Status int               // answer with this status, and do nothing
	Header map[string]string // of that answer
	Body   string
	Cut    int                 // of the real answer send only so many bytes
	Edit   func([]byte) []byte // changes the body of the real answer
	Else   http.Handler        // answers in place of the service
	Before func()              // called before the service sees the request
	Done   func()              // called when the service has done it, before the answer goes out
}

// Request is one that arrived.
type Request struct {
	Method, Path  string
	Authorization string
	UserAgent     string
	Body          []byte // what was sent, as far as maxKept
}

// maxKept bounds what is kept of a request's body: tokens and queries are shorter.
const maxKept = 64 << 10

// Set is the faults of one service. It is safe for concurrent use; the zero value has none.
type Set struct {
	mu     sync.Mutex
	faults []*Fault
	seen   []Request
}

// Fail adds faults. The first that fits a request is used.
func (s *Set) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// Heal takes all faults away.
func (s *Set) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Requests returns what has arrived so far.
func (s *Set) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.seen...)
}

// Count returns how many requests with this method and path have arrived.
func (s *Set) Count(method, path string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Method == method && r.Path == path {
			n++
		}
	}
	return n
}

// take keeps the request and returns the fault that it meets, nil for none.
func (s *Set) take(r *http.Request, body []byte) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, Request{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.UserAgent(), body[:min(len(body), maxKept)]})
	for _, f := range s.faults {
		if f.Times == 0 || f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.Path, f.Path) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		f.Times--
		return f
	}
	return nil
}

// Serve has the service answer a request, with what goes wrong.
func (s *Set) Serve(w http.ResponseWriter, r *http.Request, service http.Handler) {
	body, err := io.ReadAll(r.Body) // all of it, or the server does not see the client go
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	f := s.take(r, body)
	if f == nil {
		f = &Fault{}
	}
	if f.before(w, r) {
		return
	}
	if f.Else != nil {
		service = f.Else
	}
	recorder := httptest.NewRecorder()
	service.ServeHTTP(recorder, r)
	f.after(w, recorder)
}

// before does what goes wrong before the service sees the request, and says whether that was all.
func (f *Fault) before(w http.ResponseWriter, r *http.Request) bool {
	if f.Before != nil {
		f.Before()
	}
	switch {
	case f.Refuse:
		hangUp()
	case f.Slow > 0:
		select {
		case <-time.After(f.Slow):
		case <-r.Context().Done():
			return true
		}
	case f.Status != 0:
		for name, value := range f.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body)) // the client may have gone away
		return true
	}
	return false
}

// after sends the answer, as far as the fault lets it.
func (f *Fault) after(w http.ResponseWriter, r *httptest.ResponseRecorder) {
	body := r.Body.Bytes()
	if f.Done != nil {
		f.Done()
	}
	if f.Drop {
		hangUp()
	}
	if f.Edit != nil {
		body = f.Edit(body)
	}
	for name, values := range r.Header() {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Length") == "" || len(body) > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body))) // but that of an answer to HEAD stays
	}
	w.WriteHeader(r.Code)
	if f.Cut > 0 {
		_, _ = w.Write(body[:min(f.Cut, len(body))]) // the client may have gone away
		_ = http.NewResponseController(w).Flush()    // likewise
		hangUp()
	}
	_, _ = w.Write(body)
}

// hangUp closes the connection.
func hangUp() { panic(http.ErrAbortHandler) }
