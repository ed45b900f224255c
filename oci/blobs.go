package oci

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

const placeUpload = "upload"

// hasBlob asks whether a blob is there ("Checking if content exists in the registry"). It is Unknown without an error when
// the registry sends us to a storage that does not answer: some storages take the signed address for a GET only.
func (c *Client) hasBlob(ctx context.Context, s *session, digest string) (Outcome, error) {
	a, err := c.do(ctx, s, request{place: placeUpload, method: http.MethodHead, path: "blobs/" + digest})
	switch {
	case err == nil:
		return Present, nil
	case isNotFound(err):
		return Absent, nil
	case a != nil && a.moved:
		return Unknown, nil
	}
	return Unknown, err
}

// maxAtOnce is the size of a blob, in bytes, up to which it is sent with the request that begins the upload, where half of the
// registries throw it away: a bundle with a certificate, a timestamp and a log entry has some ten thousand, and the time that a
// distant registry takes to answer is worth more than they are.
const maxAtOnce = 16 << 10

// pushBlob uploads a blob ("Pushing a blob monolithically"). A small one goes with the POST, which half of the registries
// take as the whole upload, and say so; the others answer with a location, as they do without a body.
func (c *Client) pushBlob(ctx context.Context, s *session, data []byte) error {
	digest := digestOf(data)
	r := request{place: placeUpload, method: http.MethodPost, path: "blobs/uploads/", limit: c.limits.Manifest}
	if len(data) <= maxAtOnce {
		start := c.uploadStart(s, digest)
		a, err := c.do(ctx, s, request{
			place: placeUpload, method: http.MethodPost, url: start, body: data, limit: c.limits.Manifest,
			header: map[string]string{"Content-Type": "application/octet-stream"},
		})
		if err == nil && a.status == http.StatusAccepted {
			return c.finishUpload(ctx, s, r, a, data)
		}
		if err == nil && a.stored(digest) {
			return nil
		}
		if err != nil && (a == nil || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden) {
			return err
		}
	}
	// An empty body rather than none: some registries insist on a Content-Length.
	r.body = []byte{}
	a, err := c.do(ctx, s, r)
	if err != nil {
		return asUnknown(a, r, err)
	}
	return c.finishUpload(ctx, s, r, a, data)
}

// stored says whether an answer says that a blob is stored: with the place where it is, or with its digest.
func (a *answer) stored(digest string) bool {
	return a.status == http.StatusCreated && (a.header.Get("Location") != "" || a.header.Get("Docker-Content-Digest") == digest)
}

func (c *Client) uploadStart(s *session, digest string) *url.URL {
	return &url.URL{
		Scheme: s.scheme, Host: s.repo.RegistryStr(), Path: "/v2/" + s.repo.RepositoryStr() + "/blobs/uploads/",
		RawQuery: url.Values{"digest": {digest}}.Encode(),
	}
}

// finishUpload sends the blob to the location that the registry gave.
func (c *Client) finishUpload(ctx context.Context, s *session, started request, a *answer, data []byte) error {
	if a.status != http.StatusAccepted {
		return a.unknown(started, "want status 202 or 201")
	}
	location, err := a.url.Parse(a.header.Get("Location"))
	if err != nil || a.header.Get("Location") == "" {
		return a.unknown(started, "the answer has no usable Location")
	}
	if err := checkLocation(a.url, location); err != nil {
		return a.unknown(started, err.Error())
	}
	query := location.Query()
	query.Set("digest", digestOf(data))
	location.RawQuery = query.Encode()
	r := request{
		place: placeUpload, method: http.MethodPut, url: location, body: data, limit: c.limits.Manifest,
		header: map[string]string{"Content-Type": "application/octet-stream", "Content-Length": strconv.Itoa(len(data))},
	}
	a, err = c.do(ctx, s, r)
	if err != nil {
		return asUnknown(a, r, err)
	}
	if a.status != http.StatusCreated {
		return a.unknown(r, "want status 201")
	}
	return nil
}

// checkLocation keeps an upload from being sent where the registry has no business to send it.
func checkLocation(registry, location *url.URL) error {
	if location.Scheme != "https" && location.Scheme != registry.Scheme {
		return fmt.Errorf("refused to upload to %s", printable(safeURL(location), maxDetail))
	}
	return checkForeignHost(registry.Host, location.Hostname(), location.Host)
}

// putManifest stores a manifest under a tag or its digest ("Pushing Manifests"). The answer carries the headers.
func (c *Client) putManifest(ctx context.Context, s *session, r request) (*answer, error) {
	r.method, r.limit = http.MethodPut, c.limits.Manifest
	if int64(len(r.body)) > c.limits.Manifest {
		return nil, fmt.Errorf("%s: the manifest would have %d bytes, the limit is %d", r.place, len(r.body), c.limits.Manifest)
	}
	a, err := c.do(ctx, s, r)
	if err != nil {
		return a, asUnknown(a, r, err)
	}
	if a.status != http.StatusCreated {
		return a, a.unknown(r, "want status 201")
	}
	if stated := a.header.Get("Docker-Content-Digest"); stated != "" && (checkDigest(stated) != nil || digestLike(stated, r.body) != stated) {
		return a, a.unknown(r, "the registry says that it stored something with the digest "+printable(stated, 150))
	}
	return a, nil
}
