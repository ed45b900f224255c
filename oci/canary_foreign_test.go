package oci_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/carry"
	"github.com/bulla-sign/bulla/oci/layout"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// foreignImage is an image with one layer that its manifest says to be at an address elsewhere, in the registry too or not.
func foreignImage(t *testing.T, reg *testenv.Registry, mediaType, address string, here bool) (digest string) {
	t.Helper()
	config := reg.PushBlob(t, "app", "application/vnd.oci.image.config.v1+json", []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	content := []byte("a layer of " + mediaType + address)
	layer := map[string]any{"mediaType": mediaType, "digest": testenv.SHA256(content), "size": len(content), "urls": []string{address}}
	if here {
		reg.PushBlob(t, "app", mediaType, content)
	}
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []any{layer}})
	if err != nil {
		t.Fatal(err)
	}
	reg.PushManifest(t, "app", "v1", manifestType, body)
	return testenv.SHA256(body)
}

// The addresses in a manifest (image-spec "descriptor", urls) are never asked: not when an image is copied, not when it is
// saved, loaded and checked, and not for evidence. What the registry has is carried; the rest is reported as kept elsewhere.
func TestCanaryForeignLayers(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, mediaType := range []string{
		"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	} {
		for _, here := range []bool{false, true} {
			reg, other := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true}), testenv.NewRegistry(t, testenv.RegistryOptions{})
			digest := foreignImage(t, reg, mediaType, elsewhere.URL+"/layer", here)
			foreign := 1
			if here {
				foreign = 0
			}
			dir := filepath.Join(t.TempDir(), "layout")
			made, err := layout.Create(dir)
			if err != nil {
				t.Fatal(err)
			}
			registries, archive := open(t, nil), open(t, made)
			check := func(what string, from, to carry.Store) {
				t.Helper()
				m, err := from.Manifest(t.Context(), digest)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				report, err := carry.Copy(t.Context(), carry.Options{From: from, To: to, Image: m, Tag: "v1"})
				if err != nil || report.Count(carry.StateForeign) != foreign || report.Count(carry.StateMissing) != 0 {
					t.Errorf("%s, %s, in the registry %t: %v, %+v", what, mediaType, here, err, report)
				}
			}
			check("copy", store(t, registries, reg.Host+"/app"), store(t, registries, other.Host+"/app"))
			check("save", store(t, registries, reg.Host+"/app"), store(t, archive, layout.Repository))
			if err := made.Commit(digest); err != nil {
				t.Fatal(err)
			}
			if made, err = layout.Open(dir); err != nil {
				t.Fatal(err)
			}
			archive = open(t, made)
			if err := made.Check(t.Context(), digest); err != nil {
				t.Errorf("check, %s, in the registry %t: %v", mediaType, here, err)
			}
			check("load", store(t, archive, layout.Repository), store(t, registries, other.Host+"/loaded"))
			for _, repo := range []string{"app", "loaded"} {
				if testenv.SHA256(other.ReadManifest(repo, "v1")) != digest {
					t.Errorf("%s: the manifest changed", repo)
				}
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

// Evidence whose content is said to be elsewhere is a candidate that cannot be read, and nobody goes there for it.
func TestCanaryForeignEvidence(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	image := foreignImage(t, reg, "application/vnd.oci.image.layer.v1.tar+gzip", elsewhere.URL, true)
	bundle := "application/vnd.dev.sigstore.bundle.v0.3+json"
	empty := reg.PushBlob(t, "app", "application/vnd.oci.empty.v1+json", []byte("{}"))
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "artifactType": bundle, "config": empty,
		"subject": map[string]any{"mediaType": manifestType, "digest": image, "size": len(reg.ReadManifest("app", image))},
		"layers":  []any{map[string]any{"mediaType": bundle, "digest": testenv.SHA256([]byte("x")), "size": 1, "urls": []string{elsewhere.URL + "/bundle"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	reg.PushManifest(t, "app", "", manifestType, body)
	c := open(t, nil)
	img, err := c.Resolve(t.Context(), reg.Host+"/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Find(t.Context(), img, oci.FindOptions{Bundles: true})
	if len(found.Items) != 1 || found.Items[0].Err == nil || asked.Load() != 0 {
		t.Errorf("%v, %+v, asked %d times", err, found, asked.Load())
	}
}

// open is a client of registries, or of a layout.
func open(t *testing.T, l *layout.Layout) *oci.Client {
	t.Helper()
	o := oci.Options{Settle: time.Millisecond, Sleep: func(context.Context, time.Duration) error { return nil }}
	if l != nil {
		o.Transport = l
	}
	c, err := oci.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func store(t *testing.T, c *oci.Client, repo string) carry.Store {
	t.Helper()
	img, err := c.Parse(repo + ":x")
	if err != nil {
		t.Fatal(err)
	}
	return c.Store(img.Repository)
}
