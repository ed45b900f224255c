package oci

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/google/go-containerregistry/pkg/authn"
)

func TestMain(m *testing.M) {
	// No test may read the credentials of whoever runs it.
	dir, err := os.MkdirTemp("", "oci")
	if err != nil {
		panic(err)
	}
	os.Setenv("DOCKER_CONFIG", dir)
	os.Setenv("HOME", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// newClient is a client that does not wait longer than tests need, and has no credentials unless o says so.
func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Keychain == nil && o.Username == "" && o.Token == "" {
		o.Keychain = authn.NewMultiKeychain()
	}
	if o.Settle == 0 {
		o.Settle = 20 * time.Millisecond
	}
	if o.Sleep == nil {
		o.Sleep = func(ctx context.Context, d time.Duration) error { return sleep(ctx, min(d, 30*time.Millisecond)) }
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var variant atomic.Int64

// newBundle returns a real bundle in bytes that no other call returns.
func newBundle(t testing.TB) []byte {
	t.Helper()
	data := bytes.TrimSpace(testenv.ReadVector(t, "sigstore-rs", "bundle_v03.json"))
	return fmt.Appendf(nil, "%s%s", strings.Repeat(" ", int(variant.Add(1))), data)
}

var created = time.Date(2026, 11, 22, 10, 50, 33, 0, time.UTC)

func bundleOptions(data []byte) AttachOptions {
	return AttachOptions{Bundle: data, ContentKind: ContentDSSE, PredicateType: "https://sigstore.dev/cosign/sign/v1", Created: created}
}

func mustResolve(t testing.TB, c *Client, ref string) *Image {
	t.Helper()
	img, err := c.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func mustAttach(t testing.TB, c *Client, img *Image, o AttachOptions) string {
	t.Helper()
	digest, err := c.AttachBundle(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func mustFind(t testing.TB, c *Client, img *Image, o FindOptions) *Evidence {
	t.Helper()
	found, err := c.Find(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var signature = LayerOptions{
	Suffix: "sig", Payload: []byte(`{"critical":{"identity":{"docker-reference":"r"},"image":{"docker-manifest-digest":"sha256:` + strings.Repeat("a", 64) + `"},"type":"cosign container image signature"},"optional":null}`),
	MediaType:   "application/vnd.dev.cosign.simplesigning.v1+json",
	Annotations: map[string]string{annotationSignature: "MEUCIQ=="},
}

// summary shows evidence without its bytes.
func summary(found *Evidence) string {
	var b strings.Builder
	for _, item := range found.Items {
		fmt.Fprintf(&b, "\n  item %s of %s: bundle %t, error %v", item.Digest, item.Place, item.Bundle != nil, item.Err)
	}
	for _, place := range found.Places {
		fmt.Fprintf(&b, "\n  %s: %s, %d found, %d skipped, note %q, error %v", place.Name, place.Outcome, place.Count, place.Skipped, place.Note, place.Err)
	}
	return b.String()
}

// A digest alone is not taken for a repository of that name.
func TestParseDigestAlone(t *testing.T) {
	c := newClient(t, Options{})
	digest := "sha256:" + strings.Repeat("ab", 32)
	if img, err := c.Parse(digest); err == nil || !strings.Contains(err.Error(), "write REPOSITORY@"+digest) {
		t.Errorf("got %+v, %v", img, err)
	}
	if img, err := c.Parse("registry.example.com/app@" + digest); err != nil || img.Digest != digest {
		t.Errorf("got %+v, %v", img, err)
	}
}
