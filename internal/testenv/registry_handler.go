package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
)

// ServeHTTP is the registry with its faults, conditions and lag.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/v2/", "/v2":
		r.apart("ping")
		if r.authorized(w, req) {
			r.inner.ServeHTTP(w, req)
		}
		return
	case "/token":
		r.apart("token")
		r.serveToken(w, req)
		return
	}
	r.mu.Lock()
	r.agents[req.UserAgent()] = true
	r.mu.Unlock()
	recorder := httptest.NewRecorder()
	fault := r.match(req)
	if fault != nil && fault.Reached != nil {
		fault.Reached <- struct{}{}
	}
	if fault != nil && fault.Wait != nil {
		<-fault.Wait
	}
	if r.authorized(recorder, req) {
		r.answer(recorder, req, fault)
	}
	r.mu.Lock()
	r.counts[requestKind(req)]++
	r.log = append(r.log, fmt.Sprintf("%s %s %d", req.Method, req.URL.RequestURI(), recorder.Code))
	r.mu.Unlock()
	send(w, req, recorder, fault)
}

func (r *Registry) authorized(w http.ResponseWriter, req *http.Request) bool {
	if r.options.User == "" {
		return true
	}
	if r.options.Bearer {
		if req.Header.Get("Authorization") == "Bearer "+registryToken {
			return true
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, r.Server.URL))
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return false
	}
	if r.known(req) {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	writeError(w, http.StatusUnauthorized, "UNAUTHORIZED")
	return false
}

func (r *Registry) known(req *http.Request) bool {
	user, password, ok := req.BasicAuth()
	return ok && user == r.options.User && password == r.options.Password
}

// registryToken is what the token server gives.
const registryToken = "a-token-of-the-test"

// serveToken is the token server ("Token Authentication Specification" of the distribution project).
func (r *Registry) serveToken(w http.ResponseWriter, req *http.Request) {
	if !r.known(req) {
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"token":%q}`, registryToken)
}

func (r *Registry) answer(w *httptest.ResponseRecorder, req *http.Request, f *Fault) {
	switch {
	case f != nil && f.Status != 0:
		for name, value := range f.Header {
			w.Header().Set(name, value)
		}
		if f.Body == "" && f.Code != "" {
			writeError(w, f.Status, f.Code)
			return
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body) // a recorder does not fail
	case f != nil && f.LoseWrite:
		w.Header().Set("Location", req.URL.Path)
		w.WriteHeader(http.StatusCreated)
	case r.busy(w), r.redirected(w, req):
	case req.Method == http.MethodPut && requestKind(req) == "PUT manifests":
		r.put(w, req)
	case r.quirk().TwoStepUploads && requestKind(req) == "POST uploads":
		req.Body, req.URL.RawQuery = http.NoBody, ""
		r.inner.ServeHTTP(w, req)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		r.inner.ServeHTTP(w, req)
	default:
		read := httptest.NewRecorder()
		if req.Method == http.MethodHead || !r.serveStale(read, req) && !r.serveOld(read, req.URL.Path) {
			r.inner.ServeHTTP(read, req)
		}
		read = r.distort(read, req)
		r.tagAnswer(read, req)
		copyAnswer(w, read)
	}
}

// put stores a manifest: conditions first, then what lagging readers will go on seeing.
func (r *Registry) put(w *httptest.ResponseRecorder, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, "MANIFEST_INVALID")
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.writes.Lock()
	defer r.writes.Unlock()
	if r.refuseRewrite(w, req.URL.Path) {
		return
	}
	if r.options.ETag && !r.options.IgnoreMatch {
		current := r.current(req.URL.Path)
		etag := r.etag(current.Header().Get("Docker-Content-Digest"))
		exists := current.Code == http.StatusOK
		if want := req.Header.Get("If-Match"); want != "" && (!exists || want != etag || r.quirk().WeakETag) ||
			req.Header.Get("If-None-Match") == "*" && exists {
			writeError(w, http.StatusPreconditionFailed, "PRECONDITION_FAILED")
			return
		}
	}
	var manifest struct {
		Subject *struct{ Digest string }
	}
	_ = json.Unmarshal(body, &manifest) // no subject when it does not parse
	paths := []string{req.URL.Path}
	if manifest.Subject != nil {
		repo, _, _ := strings.Cut(req.URL.Path, "/manifests/")
		paths = append(paths, repo+"/referrers/"+manifest.Subject.Digest)
	}
	for _, path := range paths {
		r.remember(path)
		r.record(path, true)
	}
	r.inner.ServeHTTP(w, req)
	for _, path := range paths {
		r.record(path, false)
	}
	if manifest.Subject != nil && r.options.OCISubject && w.Code == http.StatusCreated {
		w.Header().Set("OCI-Subject", manifest.Subject.Digest)
	}
}

func (r *Registry) current(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// staleAnswer is what a path showed before the last write.
type staleAnswer struct {
	answer *httptest.ResponseRecorder
	left   int
}

func (r *Registry) remember(path string) {
	if r.options.Lag == 0 || strings.Contains(path, "/manifests/sha256:") {
		return
	}
	old := r.current(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.stale[path]; known != nil && known.left > 0 {
		return // what lagging readers see is older still
	}
	r.stale[path] = &staleAnswer{answer: old, left: r.options.Lag}
}

func (r *Registry) serveStale(w *httptest.ResponseRecorder, req *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.stale[req.URL.Path]
	if old == nil || old.left == 0 {
		return false
	}
	old.left--
	copyAnswer(w, old.answer)
	return true
}

func (r *Registry) tagAnswer(w *httptest.ResponseRecorder, req *http.Request) {
	if digest := w.Header().Get("Docker-Content-Digest"); r.options.ETag && digest != "" && req.Method == http.MethodGet {
		w.Header().Set("ETag", r.etag(digest))
	}
}

func (r *Registry) etag(digest string) string {
	if r.quirk().WeakETag {
		return `W/"` + digest + `"`
	}
	return `"` + digest + `"`
}

// send copies the recorded answer to the client, damaged as the fault says.
func send(w http.ResponseWriter, req *http.Request, recorded *httptest.ResponseRecorder, f *Fault) {
	body := recorded.Body.Bytes()
	for name, values := range recorded.Header() {
		w.Header()[name] = values
	}
	if req.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(recorded.Code)
	if f != nil && f.Corrupt && len(body) > 0 {
		body = bytes.Clone(body)
		body[len(body)-1] ^= 1
	}
	if f != nil && f.Truncate {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // the client may have gone
	if f != nil && f.Truncate {
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler) // breaks the connection off
	}
}

func writeError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"made by the test"}]}`, code)
}
