package oci

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bulla-sign/bulla/oci/carry"
)

// openBlob starts to read a blob that may be larger than memory. The reader compares size and digest at the end.
func (c *Client) openBlob(ctx context.Context, s *session, d carry.Descriptor) (io.ReadCloser, error) {
	r := request{place: "blob", method: http.MethodGet, path: "blobs/" + d.Digest}
	for try := 1; ; try++ {
		body, a, err := c.open(ctx, s, r)
		if err == nil {
			return &checkedBody{inner: body, want: d, hash: hashFor(d.Digest), url: safeURL(a.url)}, nil
		}
		wait, again := c.retry(r, a, err, try)
		if !again {
			return nil, asUnknown(a, r, err)
		}
		c.options.Log("blob %s: %s; trying again in %s", d.Digest, err, wait)
		if sleepErr := c.options.Sleep(ctx, wait); sleepErr != nil {
			return nil, err
		}
	}
}

// open sends a request whose answer's body is left to the caller.
func (c *Client) open(ctx context.Context, s *session, r request) (io.ReadCloser, *answer, error) {
	target := &url.URL{Scheme: s.scheme, Host: s.repo.RegistryStr(), Path: "/v2/" + s.repo.RepositoryStr() + "/" + r.path}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), nil)
	if err != nil {
		return nil, nil, transportError(r.place, r.method, target, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, nil, transportError(r.place, r.method, target, err)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, url: resp.Request.URL}
	a.moved = a.url.Host != target.Host
	if resp.StatusCode == http.StatusOK {
		return resp.Body, a, nil
	}
	defer resp.Body.Close()
	a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // only for the message
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil, a, a.unknown(r, "want status 200")
	}
	return nil, a, a.failure(r)
}

func hashFor(digest string) hash.Hash {
	if strings.HasPrefix(digest, "sha512:") {
		return sha512.New()
	}
	return sha256.New()
}

// checkedBody is a blob on its way. It ends with an error when it is not the blob that was asked for, and reads no byte
// more than that has.
type checkedBody struct {
	inner io.ReadCloser
	want  carry.Descriptor
	hash  hash.Hash
	read  int64
	url   string
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	b.hash.Write(p[:n]) // never fails
	b.read += int64(n)
	switch {
	case b.read > b.want.Size:
		return 0, b.wrong(fmt.Sprintf("it has more than the %d bytes that the manifest states", b.want.Size))
	case err == io.EOF && b.read < b.want.Size:
		return n, b.wrong(fmt.Sprintf("it ends after %d of %d bytes", b.read, b.want.Size))
	case err == io.EOF:
		_, value, _ := strings.Cut(b.want.Digest, ":")
		if hex.EncodeToString(b.hash.Sum(nil)) != value {
			return n, b.wrong("what came back has another digest")
		}
	case err != nil:
		return n, b.wrong("it was cut off: " + printable(err.Error(), maxDetail))
	}
	return n, err
}

func (b *checkedBody) wrong(detail string) error {
	return &UnknownError{Place: "blob " + b.want.Digest, Method: http.MethodGet, URL: b.url, Detail: detail, Hint: "try again"}
}

func (b *checkedBody) Close() error { return b.inner.Close() }

// upload is a blob to send.
type upload struct {
	d    carry.Descriptor
	from string // repository that has it
	open func() (io.ReadCloser, error)
}

// sendBlob sends a blob of any size ("Pushing a blob monolithically": POST, then PUT).
func (c *Client) sendBlob(ctx context.Context, s *session, u upload) (*answer, error) {
	r := request{place: placeUpload, method: http.MethodPost, path: "blobs/uploads/", limit: c.limits.Manifest, body: []byte{}}
	if query := c.mountQuery(s, u.d.Digest, u.from); query != "" {
		mount := r
		mount.url = &url.URL{Scheme: s.scheme, Host: s.repo.RegistryStr(), Path: "/v2/" + s.repo.RepositoryStr() + "/blobs/uploads/", RawQuery: query}
		a, err := c.do(ctx, s, mount)
		if err == nil && a.status == http.StatusCreated {
			return a, nil
		}
		if err == nil {
			return c.streamBlob(ctx, s, r, a, u)
		}
	}
	a, err := c.do(ctx, s, r)
	if err != nil {
		return a, asUnknown(a, r, err)
	}
	return c.streamBlob(ctx, s, r, a, u)
}

func (c *Client) streamBlob(ctx context.Context, s *session, started request, a *answer, u upload) (*answer, error) {
	if a.status != http.StatusAccepted {
		return a, a.unknown(started, "want status 202")
	}
	location, err := a.url.Parse(a.header.Get("Location"))
	if err != nil || a.header.Get("Location") == "" {
		return a, a.unknown(started, "the answer has no usable Location")
	}
	if err := checkLocation(a.url, location); err != nil {
		return a, a.unknown(started, err.Error())
	}
	query := location.Query()
	query.Set("digest", u.d.Digest)
	location.RawQuery = query.Encode()
	r := request{place: placeUpload, method: http.MethodPut, limit: c.limits.Manifest}
	failed := &firstError{}
	body := func() (io.ReadCloser, error) { return &lazyBody{open: u.open, failed: failed}, nil }
	first, _ := body() // opens nothing yet
	req, err := http.NewRequestWithContext(ctx, r.method, location.String(), first)
	if err != nil {
		return nil, transportError(r.place, r.method, location, err)
	}
	req.ContentLength, req.GetBody = u.d.Size, body
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := s.client.Do(req)
	if cause := failed.get(); cause != nil {
		if err == nil {
			_ = resp.Body.Close() // the answer is about a part
		}
		return nil, cause
	}
	if err != nil {
		return nil, transportError(r.place, r.method, location, err)
	}
	defer resp.Body.Close()
	done := &answer{status: resp.StatusCode, header: resp.Header, url: resp.Request.URL}
	done.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // only for the message
	switch {
	case resp.StatusCode == http.StatusCreated:
		return done, nil
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return done, done.unknown(r, "want status 201")
	}
	return done, asUnknown(done, r, done.failure(r))
}
