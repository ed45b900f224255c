package services

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with requests.
type Fault struct {
	Method, Path string // which ones: the method, empty for any, and the beginning of the path
	Times        int    // how often; 0 for once, negative for ever

	Refuse bool              // close the connection without doing anything
	Drop   bool              // do it, then close the connection without an answer
	Slow   time.Duration     // do nothing and answer nothing for so long, or until the client goes away; then go on
	Status int               // answer with this status, and do nothing
	Header map[string]string // of that answer
	Body   string
	Cut    int                 // of the real answer send only so many bytes
	Edit   func([]byte) []byte // changes the body of the real answer
}

// Fail adds faults. The first that fits a request is used.
func (s *Services) Fail(faults ...Fault) {
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
func (s *Services) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Services) match(req *http.Request) *Fault {
	for _, f := range s.faults {
		if f.Times != 0 && (f.Method == "" || f.Method == req.Method) && strings.HasPrefix(req.URL.Path, f.Path) {
			f.Times--
			return f
		}
	}
	return nil
}

// before does what goes wrong before the service sees the request, and says whether that was all.
func (f *Fault) before(w http.ResponseWriter, req *http.Request) bool {
	switch {
	case f == nil:
		return false
	case f.Refuse:
		hangUp()
	case f.Slow > 0:
		body, err := io.ReadAll(req.Body) // or the server does not see the client go
		if err != nil {
			return true
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case <-time.After(f.Slow):
		case <-req.Context().Done():
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
	if f != nil && f.Drop {
		hangUp()
	}
	if f != nil && f.Edit != nil {
		body = f.Edit(body)
	}
	for name, values := range r.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.Code)
	if f != nil && f.Cut > 0 {
		_, _ = w.Write(body[:min(f.Cut, len(body))]) // the client may have gone away
		hangUp()
	}
	_, _ = w.Write(body)
}

// hangUp closes the connection.
func hangUp() { panic(http.ErrAbortHandler) }
