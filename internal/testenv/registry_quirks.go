package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Quirks are what registries do that the distribution specification does not expect. The zero value has none of them.
type Quirks struct {
	// TagIsSubject: a referrers tag that nobody wrote leads to the manifest with that digest, as on GitLab.
	TagIsSubject bool
	// TagStaysSubject: with TagIsSubject, it does so even when the tag has been written.
	TagStaysSubject bool
	// ListThrottled: the referrers API answers 303, and what it leads to answers 429, as on GHCR.
	ListThrottled bool
	// NoArtifactType: lists of referrers, of the API and under the tag, come without artifactType and annotations.
	NoArtifactType bool
	// ConfigAsType: the referrers API gives the media type of the config as artifactType.
	ConfigAsType bool
	// WeakETag: with ETag, entity tags are weak ones, and never match.
	WeakETag bool
	// StaleFor: every other read of a tag or a list shows what was there so long ago.
	StaleFor time.Duration
	// Immutable: a tag cannot be written twice. It says how the registry refuses: "ecr", "harbor" or "conflict".
	Immutable string
	// HTMLNotFound: what is not there is a page of HTML with status 404.
	HTMLNotFound bool
	// EndlessPages: every page of the referrers API links to one more.
	EndlessPages bool
	// LyingSizes: lists of referrers state one byte more than there is.
	LyingSizes bool
	// TwoFaced: every second answer to a manifest's digest is another manifest.
	TwoFaced bool
	// Throttle: so many requests out of ten are answered with 429 and Retry-After: 1.
	Throttle int
	// Unavailable: so many requests out of ten are answered with 503.
	Unavailable int
	// TwoStepUploads: an upload is not taken with the request that begins it, as with most registries.
	TwoStepUploads bool
	// RedirectBlobs: blobs come from a storage on another port.
	RedirectBlobs bool
}

// refusals are the answers to a second write of an immutable tag.
var refusals = map[string]struct {
	status        int
	code, message string
}{
	"ecr":      {http.StatusBadRequest, "TAG_INVALID", "The image tag already exists in the repository and cannot be overwritten because the tag is immutable."},
	"harbor":   {http.StatusPreconditionFailed, "PRECONDITION", "Failed to process request due to configured as immutable."},
	"conflict": {http.StatusConflict, "DENIED", "tag is immutable"},
}

// SetQuirks replaces the quirks, so that what was written under some can be looked at under others.
func (r *Registry) SetQuirks(q Quirks) { r.quirks.now.Store(&q) }

func (r *Registry) quirk() Quirks { return *r.quirks.now.Load() }

// quirkState is what the quirks remember.
type quirkState struct {
	now      atomic.Pointer[Quirks]
	requests atomic.Int64 // for those that strike in turn
	faces    atomic.Int64
	reads    atomic.Int64
	history  map[string][]version // under Registry.mu
}

// version is what a path showed from a time on.
type version struct {
	since  time.Time
	answer *httptest.ResponseRecorder
}

// busy answers instead of the registry, when it is the turn of Throttle or Unavailable.
func (r *Registry) busy(w http.ResponseWriter) bool {
	q := r.quirk()
	if q.Throttle == 0 && q.Unavailable == 0 {
		return false
	}
	turn := int(r.quirks.requests.Add(1)*7) % 10 // spreads the turns
	switch {
	case turn < q.Throttle:
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
	case turn < q.Throttle+q.Unavailable:
		writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE")
	default:
		return false
	}
	return true
}

// refuseRewrite refuses to write an immutable tag again.
func (r *Registry) refuseRewrite(w http.ResponseWriter, path string) bool {
	refusal, ok := refusals[r.quirk().Immutable]
	if !ok || strings.Contains(path, "/manifests/sha256:") || r.current(path).Code != http.StatusOK {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refusal.status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, refusal.code, refusal.message)
	return true
}

// redirected answers with a redirect where a quirk asks for it.
func (r *Registry) redirected(w http.ResponseWriter, req *http.Request) bool {
	switch q := r.quirk(); {
	case q.ListThrottled && strings.Contains(req.URL.Path, "/referrers/"):
		w.Header().Set("Location", r.Storage.URL+"/throttled")
		w.WriteHeader(http.StatusSeeOther)
	case q.RedirectBlobs && requestKind(req) == "GET blobs":
		w.Header().Set("Location", r.Storage.URL+req.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		return false
	}
	return true
}

// serveStorage is where redirects lead.
func (r *Registry) serveStorage(w http.ResponseWriter, req *http.Request) {
	r.apart("redirect")
	if req.Header.Get("Authorization") != "" {
		http.Error(w, "a credential came along", http.StatusBadRequest)
		return
	}
	if req.URL.Path == "/throttled" {
		http.Error(w, "slow down", http.StatusTooManyRequests)
		return
	}
	r.inner.ServeHTTP(w, req)
}

// distort changes the registry's answer to a read.
func (r *Registry) distort(w *httptest.ResponseRecorder, req *http.Request) *httptest.ResponseRecorder {
	q := r.quirk()
	if (q.TagIsSubject && w.Code == http.StatusNotFound) || q.TagStaysSubject {
		if subject := r.subjectOfTag(req.URL.Path); subject != nil {
			return subject
		}
	}
	if q.HTMLNotFound && w.Code == http.StatusNotFound && req.Method != http.MethodHead {
		return page(http.StatusNotFound, "text/html", []byte("<html><h1>Not Found</h1></html>"))
	}
	list := strings.Contains(req.URL.Path, "/referrers/")
	switch {
	case w.Code != http.StatusOK:
	case list:
		return r.distortList(w, req)
	case requestKind(req) == "GET manifests" && strings.Contains(req.URL.Path, "/manifests/sha256:"):
		if q.TwoFaced && r.quirks.faces.Add(1)%2 == 0 {
			return page(http.StatusOK, w.Header().Get("Content-Type"), append(bytes.Clone(w.Body.Bytes()), ' '))
		}
	case requestKind(req) == "GET manifests" && (q.NoArtifactType || q.LyingSizes) && w.Header().Get("Content-Type") == mediaTypeIndex &&
		strings.Contains(req.URL.Path, "/manifests/sha256-"):
		return page(http.StatusOK, mediaTypeIndex, r.editEntries(w.Body.Bytes(), "", q))
	}
	return w
}

func page(status int, mediaType string, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a recorder does not fail
	return w
}

// subjectOfTag returns the manifest that a referrers tag is named after.
func (r *Registry) subjectOfTag(path string) *httptest.ResponseRecorder {
	repo, tag, ok := strings.Cut(path, "/manifests/sha256-")
	if !ok || len(tag) != 64 {
		return nil
	}
	w := r.current(repo + "/manifests/sha256:" + tag)
	if w.Code != http.StatusOK {
		return nil
	}
	return w
}

// distortList makes the answer of the referrers API, which the registry in memory gives incompletely, what the
// specification asks for ("Listing Referrers"), and changes it as the quirks say.
func (r *Registry) distortList(w *httptest.ResponseRecorder, req *http.Request) *httptest.ResponseRecorder {
	q := r.quirk()
	repo, _, _ := strings.Cut(req.URL.Path, "/referrers/")
	out := page(http.StatusOK, mediaTypeIndex, r.editEntries(w.Body.Bytes(), repo, q))
	if q.EndlessPages {
		n := r.quirks.requests.Add(1)
		out.Header().Set("Link", fmt.Sprintf(`<%s?next=%d>; rel="next"`, req.URL.Path, n))
	}
	return out
}

// editEntries changes the entries of an index; with a repository it completes them first.
func (r *Registry) editEntries(body []byte, repo string, q Quirks) []byte {
	var index map[string]any
	if json.Unmarshal(body, &index) != nil {
		return body
	}
	entries, _ := index["manifests"].([]any)
	for _, e := range entries {
		entry, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if repo != "" && !q.ConfigAsType {
			r.complete(entry, repo)
		}
		if q.NoArtifactType {
			delete(entry, "artifactType")
			delete(entry, "annotations")
		}
		if size, ok := entry["size"].(float64); ok && q.LyingSizes {
			entry["size"] = size + 1
		}
	}
	out, err := json.Marshal(index)
	if err != nil {
		return body
	}
	return out
}

// complete gives an entry the artifact type and the annotations of its manifest.
func (r *Registry) complete(entry map[string]any, repo string) {
	digest, _ := entry["digest"].(string)
	var manifest struct {
		ArtifactType string            `json:"artifactType"`
		Annotations  map[string]string `json:"annotations"`
	}
	if json.Unmarshal(r.current(repo+"/manifests/"+digest).Body.Bytes(), &manifest) != nil {
		return
	}
	if manifest.ArtifactType != "" {
		entry["artifactType"] = manifest.ArtifactType
	}
	if len(manifest.Annotations) > 0 {
		entry["annotations"] = manifest.Annotations
	}
}

// record remembers what a path shows from now on, for readers that lag behind in time.
func (r *Registry) record(path string, before bool) {
	if r.quirk().StaleFor == 0 || strings.Contains(path, "/manifests/sha256:") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before && r.quirks.history[path] != nil {
		return
	}
	since := time.Now()
	if before {
		since = time.Time{}
	}
	r.quirks.history[path] = append(r.quirks.history[path], version{since, r.current(path)})
}

// serveOld answers every other read from the past.
func (r *Registry) serveOld(w *httptest.ResponseRecorder, path string) bool {
	if r.quirk().StaleFor == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	history := r.quirks.history[path]
	if history == nil || r.quirks.reads.Add(1)%2 == 0 {
		return false
	}
	then := time.Now().Add(-r.quirk().StaleFor)
	i := slices.IndexFunc(history, func(v version) bool { return v.since.After(then) })
	if i <= 0 {
		i = len(history)
	}
	copyAnswer(w, history[i-1].answer)
	return true
}

func copyAnswer(w, from *httptest.ResponseRecorder) {
	for name, values := range from.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(from.Code)
	_, _ = w.Write(from.Body.Bytes()) // a recorder does not fail
}
