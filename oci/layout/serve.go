package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// RoundTrip answers as a registry with the referrers API that holds the repository [Repository] (distribution-spec). A
// layout that was opened refuses to be written to.
func (l *Layout) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	a := l.answer(req)
	a.Request, a.Proto, a.ProtoMajor, a.ProtoMinor = req, "HTTP/1.1", 1, 1
	if req.Method == http.MethodHead && a.Body != nil {
		_ = a.Body.Close() // only read
		a.Body = http.NoBody
	}
	return a, nil
}

func (l *Layout) answer(req *http.Request) *http.Response {
	if strings.TrimSuffix(req.URL.Path, "/") == "/v2" {
		return reply(http.StatusOK, "application/json", []byte("{}"))
	}
	rest, ok := strings.CutPrefix(req.URL.Path, "/v2/image/")
	kind, reference, _ := strings.Cut(rest, "/")
	reading := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch {
	case !ok:
		return failed(http.StatusNotFound, "NAME_UNKNOWN", "there is one repository, named image")
	case !reading && l.dir == "":
		return failed(http.StatusMethodNotAllowed, "UNSUPPORTED", l.path+" is only read")
	case kind == "referrers" && reading:
		return l.referrers(reference)
	case kind == "manifests" && reading:
		return l.manifest(reference)
	case kind == "manifests" && req.Method == http.MethodPut:
		return l.putManifest(req, reference)
	case kind == "blobs" && reading:
		return l.blob(req, reference)
	case kind == "blobs" && req.Method == http.MethodPost:
		return l.postBlob(req)
	case kind == "blobs" && req.Method == http.MethodPut:
		return l.putBlob(req, req.URL.Query().Get("digest"))
	}
	return failed(http.StatusMethodNotAllowed, "UNSUPPORTED", "a layout does not do this")
}

func reply(status int, mediaType string, body []byte) *http.Response {
	h := http.Header{}
	h.Set("Content-Type", mediaType)
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status), Header: h,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}

func failed(status int, code, message string) *http.Response {
	body, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": code, "message": printable(message)}}})
	if err != nil { // strings can always be written, once they are valid UTF-8
		body = []byte(`{"errors":[{"code":"` + code + `","message":""}]}`)
	}
	return reply(status, "application/json", body)
}

// broken answers for a file that cannot be read: what it would say is not known.
func broken(err error) *http.Response {
	return failed(http.StatusInternalServerError, "UNKNOWN", err.Error())
}

func (l *Layout) referrers(digest string) *http.Response {
	l.mu.Lock()
	doc := indexDocument{SchemaVersion: 2, MediaType: typeIndex, Manifests: append([]descriptor{}, l.subject[digest]...)}
	l.mu.Unlock()
	body, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return broken(err)
	}
	return reply(http.StatusOK, typeIndex, body)
}

func (l *Layout) manifest(reference string) *http.Response {
	digest, mediaType := reference, ""
	if checkDigest(reference) != nil {
		l.mu.Lock()
		d, ok := l.tags[reference]
		l.mu.Unlock()
		if !ok {
			return failed(http.StatusNotFound, "MANIFEST_UNKNOWN", "no such tag")
		}
		digest, mediaType = d.Digest, d.MediaType
	}
	data, err := readFile(l.files, blobName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return failed(http.StatusNotFound, "MANIFEST_UNKNOWN", "no such manifest")
	}
	if err != nil {
		return broken(err)
	}
	// By tag nobody compares what comes with what was asked for.
	if got := digestLike(digest, data); got != digest {
		return broken(fmt.Errorf("%s: the bytes have the digest %s", blobName(digest), got))
	}
	if o, ok := outlineOf(data); ok {
		mediaType = o.MediaType
	}
	if mediaType == "" {
		return broken(fmt.Errorf("%s is no manifest", blobName(digest)))
	}
	a := reply(http.StatusOK, mediaType, data)
	a.Header.Set("Docker-Content-Digest", digest)
	return a
}

func (l *Layout) blob(req *http.Request, digest string) *http.Response {
	if checkDigest(digest) != nil {
		return failed(http.StatusBadRequest, "DIGEST_INVALID", "not a digest")
	}
	if req.Method == http.MethodHead {
		size, ok := l.has(digest)
		if !ok {
			return failed(http.StatusNotFound, "BLOB_UNKNOWN", "no such blob")
		}
		a := reply(http.StatusOK, "application/octet-stream", nil)
		a.ContentLength = size
		return a
	}
	r, size, err := l.files.open(blobName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return failed(http.StatusNotFound, "BLOB_UNKNOWN", "no such blob")
	}
	if err != nil {
		return broken(err)
	}
	a := reply(http.StatusOK, "application/octet-stream", nil)
	a.ContentLength, a.Body = size, r
	return a
}

// postBlob begins an upload, or takes the whole blob at once.
func (l *Layout) postBlob(req *http.Request) *http.Response {
	if digest := req.URL.Query().Get("digest"); digest != "" {
		return l.putBlob(req, digest)
	}
	l.mu.Lock()
	l.uploads++
	n := l.uploads
	l.mu.Unlock()
	a := reply(http.StatusAccepted, "application/octet-stream", nil)
	a.Header.Set("Location", fmt.Sprintf("/v2/image/blobs/uploads/%d", n))
	return a
}

func (l *Layout) putBlob(req *http.Request, digest string) *http.Response {
	if checkDigest(digest) != nil {
		return failed(http.StatusBadRequest, "DIGEST_INVALID", "not a digest")
	}
	body := req.Body
	if body == nil {
		body = http.NoBody
	}
	switch err := l.store(digest, body); {
	case errors.Is(err, errDigest):
		return failed(http.StatusBadRequest, "DIGEST_INVALID", err.Error())
	case err != nil:
		return broken(err)
	}
	return reply(http.StatusCreated, "application/octet-stream", nil)
}

func (l *Layout) putManifest(req *http.Request, reference string) *http.Response {
	data, err := io.ReadAll(io.LimitReader(req.Body, maxIndex+1))
	if err != nil || len(data) > maxIndex {
		return failed(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the manifest is too large, or was cut off")
	}
	digest := digestLike("sha256:", data)
	if checkDigest(reference) == nil {
		if digest = digestLike(reference, data); digest != reference {
			return failed(http.StatusBadRequest, "DIGEST_INVALID", errDigest.Error())
		}
	}
	o, ok := outlineOf(data)
	if !ok {
		return failed(http.StatusBadRequest, "MANIFEST_INVALID", "not a manifest")
	}
	if err := l.store(digest, bytes.NewReader(data)); err != nil {
		return broken(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if checkDigest(reference) != nil {
		l.tags[reference] = descriptor{MediaType: o.MediaType, Digest: digest, Size: int64(len(data))}
	}
	l.remember(digest, data)
	a := reply(http.StatusCreated, o.MediaType, nil)
	a.Header.Set("Docker-Content-Digest", digest)
	if o.Subject != nil {
		a.Header.Set("OCI-Subject", o.Subject.Digest)
	}
	return a
}
