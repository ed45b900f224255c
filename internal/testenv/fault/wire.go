package fault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// Wire is a transport to services of this process, each a host of its own with its faults. It opens no socket, so that it
// works in tests whose time is not the machine's (testing/synctest). Hosts are added before it is used.
type Wire struct {
	hosts  map[string]*End
	strays atomic.Int64
}

// End is a host on a wire, with its faults.
type End struct {
	Set
	// URL is https and the host's name.
	URL string

	service http.Handler
}

// Host adds a host, which the service answers for.
func (w *Wire) Host(name string, service http.Handler) *End {
	if w.hosts == nil {
		w.hosts = map[string]*End{}
	}
	e := &End{URL: "https://" + name, service: service}
	w.hosts[name] = e
	return e
}

// Strays returns how many requests there were for hosts that are not on the wire, or in the clear.
func (w *Wire) Strays() int64 { return w.strays.Load() }

// RoundTrip has the host answer, as a server over TCP would: who hangs up before an answer is met with io.EOF, who does so
// in the middle of it with io.ErrUnexpectedEOF.
func (w *Wire) RoundTrip(req *http.Request) (*http.Response, error) {
	e := w.hosts[req.URL.Host]
	if e == nil || req.URL.Scheme != "https" {
		w.strays.Add(1)
		return nil, fmt.Errorf("there is no %s://%s", req.URL.Scheme, req.URL.Host)
	}
	in := req.Clone(req.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	whole := e.answer(recorder, in)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if !whole && !recorder.Flushed {
		return nil, io.EOF
	}
	resp := recorder.Result()
	resp.Request = req
	if !whole {
		resp.Body = io.NopCloser(io.MultiReader(resp.Body, cutOff{}))
	}
	return resp, nil
}

// answer says whether the answer was sent to its end.
func (e *End) answer(w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if told := recover(); told != nil {
			if err, ok := told.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(told)
			}
		}
	}()
	e.Serve(w, r, e.service)
	return true
}

// cutOff is the end of an answer that has none.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
