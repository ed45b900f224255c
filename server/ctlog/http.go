package ctlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// maxBody is the largest body of a submission in bytes: the longest chain of the largest certificates in base64, and the
// JSON around it.
const maxBody = maxChain*((maxCertificate+2)/3*4) + 1<<10

// gets are the requests of RFC 6962 that read, below PREFIX/ct/v1/.
var gets = map[string]func(*Server, *http.Request) (any, error){
	"get-roots":           (*Server).getRoots,
	"get-sth":             (*Server).getSTH,
	"get-sth-consistency": (*Server).getConsistency,
	"get-proof-by-hash":   (*Server).getProofByHash,
	"get-entries":         (*Server).getEntries,
	"get-entry-and-proof": (*Server).getEntryAndProof,
}

// Patterns returns the patterns, for net/http's mux, of the requests that ServeHTTP answers.
func (s *Server) Patterns() []string {
	out := []string{
		"POST " + s.prefix + "/ct/v1/add-chain", "POST " + s.prefix + "/ct/v1/add-pre-chain",
		"GET " + s.prefix + "/checkpoint", "GET " + s.prefix + "/tile/{path...}", "GET " + s.prefix + "/issuer/{fingerprint}",
	}
	for name := range gets {
		out = append(out, "GET "+s.prefix+"/ct/v1/"+name)
	}
	return out
}

// ServeHTTP answers the requests of Patterns, and others with 404 or 405.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, s.prefix+"/")
	if !ok {
		fail(w, http.StatusNotFound, "no such page")
		return
	}
	if path == "ct/v1/add-chain" || path == "ct/v1/add-pre-chain" {
		if allow(w, r, http.MethodPost) {
			as := certificate
			if path == "ct/v1/add-pre-chain" {
				as = precertificate
			}
			s.serveAdd(w, r, as)
		}
		return
	}
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	name, legacy := strings.CutPrefix(path, "ct/v1/")
	fingerprint, issuer := strings.CutPrefix(path, "issuer/")
	switch {
	case legacy && gets[name] != nil:
		answer, err := gets[name](s, r)
		if err != nil {
			s.failWith(w, r, err)
			return
		}
		writeJSON(w, answer)
	case issuer:
		s.serveIssuer(w, fingerprint)
	case path == "checkpoint" || strings.HasPrefix(path, "tile/"):
		stripped, url := *r, *r.URL
		url.Path, url.RawPath = path, ""
		stripped.URL = &url
		s.tree.ServeHTTP(w, &stripped)
	default:
		fail(w, http.StatusNotFound, "no such page")
	}
}

func (s *Server) serveIssuer(w http.ResponseWriter, name string) {
	var der []byte
	if fingerprint, ok := parseFingerprint(name); ok {
		der = s.issuers.get(fingerprint)
	}
	if der == nil {
		fail(w, http.StatusNotFound, "no such issuer")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/pkix-cert")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(der)))
	_, _ = w.Write(der) // a reader who has left is nobody's concern
}

// chainFields is the body of add-chain and add-pre-chain.
var chainFields = []protojson.Field[[][]byte]{
	{Name: "chain", Read: func(d *protojson.Decoder, chain *[][]byte) error {
		return protojson.List(d, chain, maxChain, func(d *protojson.Decoder, der *[]byte) error { return d.Bytes(der) })
	}},
}

// parseChain reads the body of a submission: {"chain": [base64 of DER, …]}.
func parseChain(body []byte) (chain [][]byte, err error) {
	if err := protojson.Unmarshal(body, protojson.Limits{Bytes: maxBody, Depth: 2}, chainFields, &chain); err != nil {
		return nil, refuse("body: %w", err)
	}
	return chain, nil
}

func (s *Server) serveAdd(w http.ResponseWriter, r *http.Request, as kind) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		s.metrics.count(as != certificate, outcomeRefused)
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("body: more than %d bytes", large.Limit))
		return
	}
	var chain [][]byte
	if err != nil {
		err = refuse("body: %w", err)
	} else {
		chain, err = parseChain(body)
	}
	if err != nil {
		s.metrics.count(as != certificate, outcomeRefused)
		s.failWith(w, r, err)
		return
	}
	ts, err := s.add(r.Context(), chain, as)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	answer, err := ts.json()
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	writeJSON(w, json.RawMessage(answer))
}

// failWith answers with the status that an error stands for.
func (s *Server) failWith(w http.ResponseWriter, r *http.Request, err error) {
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		fail(w, http.StatusBadRequest, bad.Error())
	case errors.Is(err, treelog.ErrFrozen):
		fail(w, http.StatusForbidden, err.Error())
	case errors.Is(err, treelog.ErrPushback):
		w.Header().Set("Retry-After", "1") // a batch takes a fraction of a second
		fail(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, treelog.ErrFull):
		w.Header().Set("Retry-After", "60") // somebody has to make room
		fail(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusServiceUnavailable, "the request ended before it was answered")
	case unavailable(err), errors.Is(err, errNoHead):
		fail(w, http.StatusServiceUnavailable, reason(err))
	default:
		s.log.ErrorContext(r.Context(), "a request failed", "log", s.heads.name, "path", r.URL.Path, "error", err)
		fail(w, http.StatusInternalServerError, "the log cannot answer; its operator finds the reason in its messages")
	}
}

// reason is the part of an error that strangers may know: not the names of directories.
func reason(err error) string {
	for _, known := range []error{treelog.ErrForked, treelog.ErrFailed, treelog.ErrClosed, errNoHead} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the log takes no entries now"
}

// allow answers a request of another method than the named ones with 405.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	fail(w, http.StatusMethodNotAllowed, "the method is not allowed here")
	return false
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, "the answer cannot be written")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a reader who has left is nobody's concern
}

// fail answers with plain text, as CT logs do: RFC 6962 has no form for errors.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, message, status)
}
