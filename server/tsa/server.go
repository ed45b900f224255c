package tsa

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	pathTimestamp = "/api/v1/timestamp"
	pathCertChain = "/api/v1/timestamp/certchain"
	pathPing      = "/ping"
)

// Server is a time-stamp authority. Its methods may be called at the same time.
type Server struct {
	reader  reader
	writer  *writer
	clock   *clock
	metrics *metrics
	log     *slog.Logger
	chain   []byte // PEM
}

// Patterns returns the patterns, for net/http's mux, of the requests that ServeHTTP answers.
func (s *Server) Patterns() []string {
	return []string{"POST " + pathTimestamp, "GET " + pathCertChain, "GET " + pathPing}
}

// Ready returns nil if tokens can be made now, and otherwise what is wrong with the clock.
func (s *Server) Ready(context.Context) error {
	_, err := s.clock.read()
	return err
}

// Close ends the service, which holds nothing that would have to be given back.
func (s *Server) Close(context.Context) error { return nil }

// ServeHTTP answers the requests of Patterns, and others with 404 or 405.
func (s *Server) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case pathTimestamp:
		if allow(rw, req, http.MethodPost) {
			s.timestamp(rw, req)
		}
	case pathCertChain:
		if allow(rw, req, http.MethodGet, http.MethodHead) {
			answer(rw, "application/pem-certificate-chain", s.chain)
		}
	case pathPing:
		if allow(rw, req, http.MethodGet, http.MethodHead) {
			answer(rw, "text/plain; charset=utf-8", []byte("."))
		}
	default:
		fail(rw, http.StatusNotFound, "no such page")
	}
}

// timestamp answers POST /api/v1/timestamp.
func (s *Server) timestamp(rw http.ResponseWriter, req *http.Request) {
	format, reply, err := s.stamp(req)
	var bad *refusal
	switch {
	case err == nil:
		s.metrics.count(format, outcomeGranted)
		answer(rw, "application/timestamp-reply", reply)
	case errors.As(err, &bad):
		s.metrics.count(format, outcomeRefused)
		fail(rw, bad.status, bad.Error())
	case errors.Is(err, errClock):
		s.metrics.count(format, outcomeUnavailable)
		s.log.ErrorContext(req.Context(), "time-stamp refused", "error", err)
		fail(rw, http.StatusServiceUnavailable, err.Error())
	default:
		s.metrics.count(format, outcomeFailed)
		s.log.ErrorContext(req.Context(), "time-stamp failed", "error", err)
		fail(rw, http.StatusInternalServerError, "the token could not be signed") // the log has the reason, which may name the key's place
	}
}

// stamp reads the request and makes the reply. The format is one of the constants even if there is an error.
func (s *Server) stamp(req *http.Request) (string, []byte, error) {
	name, limit, err := format(req.Header.Get("Content-Type"))
	if err != nil {
		return name, nil, err
	}
	buf := bodies.Get().(*[maxDER + 1]byte)
	defer bodies.Put(buf) // nothing that a request is parsed into outlives this call
	body, err := readBody(req, buf[:limit+1])
	if err != nil {
		return name, nil, err
	}
	r, err := s.reader.read(name, body)
	if err != nil {
		return name, nil, err
	}
	at, err := s.clock.next()
	if err != nil {
		return name, nil, err
	}
	reply, err := s.writer.reply(r, at)
	return name, reply, err
}

// bodies holds buffers for requests of any format, one byte longer than the longest: so a longer one is noticed.
var bodies = sync.Pool{New: func() any { return new([maxDER + 1]byte) }}

// readBody reads the body into buf, which has room for one byte more than is allowed.
func readBody(req *http.Request, buf []byte) ([]byte, error) {
	n := 0
	for n < len(buf) {
		m, err := req.Body.Read(buf[n:])
		n += m
		if err == io.EOF {
			return buf[:n], nil
		}
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "time-stamp request: reading the body: %v", err)
		}
	}
	return nil, refuse(http.StatusRequestEntityTooLarge, "time-stamp request: more than %d bytes", len(buf)-1)
}

// allow answers a request of another method than the named ones with 405.
func allow(rw http.ResponseWriter, req *http.Request, methods ...string) bool {
	if slices.Contains(methods, req.Method) {
		return true
	}
	rw.Header().Set("Allow", strings.Join(methods, ", "))
	fail(rw, http.StatusMethodNotAllowed, "the method is not allowed here")
	return false
}

func answer(rw http.ResponseWriter, contentType string, body []byte) {
	h := rw.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = rw.Write(body) // the client has gone
}

// fail answers with the error object of Sigstore's authority.
func fail(rw http.ResponseWriter, status int, message string) {
	body, err := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{status, message})
	if err != nil { // a number and a string
		body = []byte("{}")
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(status)
	_, _ = rw.Write(append(body, '\n')) // the client has gone
}

func encodeChain(chain []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, cert := range chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return b.Bytes()
}
