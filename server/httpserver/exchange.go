package httpserver

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// exchange is a request being answered: it counts what goes over the connection and moves the connection's deadlines
// along with it, so that a client that sends or takes too little is cut off.
type exchange struct {
	http.ResponseWriter // of net/http
	rc                  *http.ResponseController
	limits              *Limits
	start               time.Time
	status              int // 0: nothing has been written
	written             int64
	trace               string // ID of the trace that the request belongs to; empty: none

	mu   sync.Mutex // the body may be read by another goroutine than the handler's, and for longer
	over bool
	read int64
}

func newExchange(w http.ResponseWriter, r *http.Request, limits *Limits) *exchange {
	e := &exchange{ResponseWriter: w, rc: http.NewResponseController(w), limits: limits, start: time.Now()}
	// Errors: a connection that is closed shows itself when it is used.
	_ = e.rc.SetWriteDeadline(e.writeDeadline())
	if r.Body != nil && r.Body != http.NoBody {
		// Also for a body that nobody will ask for: net/http reads some of it, so that the connection can be used again.
		_ = e.rc.SetReadDeadline(e.start.Add(limits.Grace))
		r.Body = &body{ReadCloser: http.MaxBytesReader(w, r.Body, limits.BodyBytes), e: e}
	}
	return e
}

// allowance is the time that so many bytes may take.
func (l *Limits) allowance(n int64) time.Duration {
	return l.Grace + time.Duration(float64(n)/float64(l.Rate)*float64(time.Second))
}

// readDeadline: the body must come at the least rate, and wholly within the time of a request.
func (e *exchange) readDeadline() time.Time {
	return e.start.Add(min(e.limits.allowance(e.read), e.limits.RequestTime))
}

// writeDeadline: the handler has the time of a request, then the client takes the answer at the least rate.
func (e *exchange) writeDeadline() time.Time {
	return e.start.Add(e.limits.RequestTime + e.limits.allowance(e.written))
}

// WriteHeader notes the status.
func (e *exchange) WriteHeader(status int) {
	if e.status == 0 && status >= 200 { // 1xx are followed by another
		e.status = status
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write moves the deadline.
func (e *exchange) Write(p []byte) (int, error) {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	e.written += int64(len(p))
	_ = e.rc.SetWriteDeadline(e.writeDeadline()) // as above
	return e.ResponseWriter.Write(p)
}

// Flush sends what was written; gRPC's handler wants the method.
func (e *exchange) Flush() {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	_ = e.rc.Flush() // an error shows itself at the next write
}

// Unwrap is for [http.ResponseController].
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// finish ends the exchange: from now on the connection belongs to net/http again.
func (e *exchange) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
}

// body is a request's body, bounded in size and time.
type body struct {
	io.ReadCloser
	e *exchange
}

// Read moves the deadline, and takes it away at the end of the body: the connection waits for the next request then, or
// for the client to go away.
func (b *body) Read(p []byte) (int, error) {
	b.e.setReadDeadline(false)
	n, err := b.ReadCloser.Read(p)
	b.e.mu.Lock()
	b.e.read += int64(n)
	b.e.mu.Unlock()
	if err == io.EOF {
		b.e.setReadDeadline(true)
	}
	return n, err
}

func (e *exchange) setReadDeadline(none bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return
	}
	var at time.Time
	if !none {
		at = e.readDeadline()
	}
	_ = e.rc.SetReadDeadline(at) // an error shows itself at the read
}
