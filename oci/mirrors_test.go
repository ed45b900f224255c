package oci

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/access"
)

// mirrors is a configuration in which mirror, with more lines about it, stands before registry.
func mirrors(t *testing.T, registry, mirror, more string) *access.Registries {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.conf")
	text := fmt.Sprintf("[[registry]]\nprefix = %q\n[[registry.mirror]]\nlocation = %q\n%s", registry, mirror, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := access.LoadRegistries(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a mirror has is read from it; what it lacks, or has wrong, from the registry; lists from the registry alone.
func TestMirrors(t *testing.T) {
	o := testenv.RegistryOptions{Referrers: true}
	reg, other := testenv.NewRegistry(t, o), testenv.NewRegistry(t, o)
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{})
	img := mustResolve(t, c, ref)
	digest := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	manifest := reg.ReadManifest("app", digest)
	other.PushManifest(t, "copy/app", "v1", typeOCIManifest, img.Manifest())
	look := func(more string) (*Evidence, error) {
		t.Helper()
		reg.Reset()
		other.Reset()
		c := newClient(t, Options{Mirrors: mirrors(t, reg.Host, other.Host+"/copy", more)})
		img, err := c.Resolve(t.Context(), reg.Host+"/app:v1")
		if err != nil {
			return nil, err
		}
		return c.Find(t.Context(), img, FindOptions{Bundles: true, Enough: func(*Evidence) bool { return true }})
	}
	// The mirror has the image, and has forgotten the evidence.
	if found, err := look(""); err != nil || len(found.Items) != 1 || reg.Count("GET manifests") != 1 || other.Count("GET manifests") != 2 || other.Count("GET referrers") != 0 {
		t.Errorf("%v, %s\nregistry:\n%s\nmirror:\n%s", err, summary(found), reg.Log(), other.Log())
	}
	// It has all of it: of the registry the list is asked, and the blob that the mirror does not have.
	other.PushManifest(t, "copy/app", digest, typeOCIManifest, manifest)
	if found, err := look(""); err != nil || len(found.Items) != 1 || reg.Count("GET manifests") != 0 || reg.Count("GET referrers") != 1 {
		t.Errorf("%v, %s\n%s", err, summary(found), reg.Log())
	}
	// Tags are not its business, or digests are not.
	if found, err := look("pull-from-mirror = \"digest-only\""); err != nil || len(found.Items) != 1 || reg.Count("GET manifests") != 1 {
		t.Errorf("%v, %s\n%s", err, summary(found), reg.Log())
	}
	if found, err := look("pull-from-mirror = \"tag-only\""); err != nil || len(found.Items) != 1 || reg.Count("GET manifests") != 1 || other.Total() != 1 {
		t.Errorf("%v, %s\n%s", err, summary(found), reg.Log())
	}
	// It lies, and it fails.
	for _, fault := range []testenv.Fault{{Path: "/manifests/", Corrupt: true}, {Status: 503}, {Path: "/manifests/", Status: 200, Body: "{}"}} {
		other.Fail(fault)
		if found, err := look(""); err != nil || len(found.Items) != 1 || found.Items[0].Err != nil {
			t.Errorf("%+v: %v, %s", fault, err, summary(found))
		}
		other.Heal()
	}
}

// Without the registry a mirror's list can show that something is there, and never that it is not.
func TestMirrorAlone(t *testing.T) {
	other := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	gone := testenv.NewRegistry(t, testenv.RegistryOptions{})
	gone.Server.Close()
	direct := newClient(t, Options{})
	img := mustResolve(t, direct, other.PushImage(t, "app:v1"))
	c := newClient(t, Options{Mirrors: mirrors(t, gone.Host, other.Host, "")})
	far, err := c.Resolve(t.Context(), gone.Host+"/app:v1")
	if err != nil || far.Digest != img.Digest {
		t.Fatalf("%+v, %v", far, err)
	}
	if found, err := c.Find(t.Context(), far, FindOptions{Bundles: true}); !isUnknown(err) || len(found.Items) != 0 {
		t.Errorf("nothing in the mirror: %v, %s", err, summary(found))
	}
	mustAttach(t, direct, img, bundleOptions(newBundle(t)))
	found, err := c.Find(t.Context(), far, FindOptions{Bundles: true})
	if err != nil || len(found.Items) != 1 || found.Places[0].Outcome != Unknown {
		t.Errorf("%v, %s", err, summary(found))
	}
}

func TestBlocked(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	ref := reg.PushImage(t, "app:v1")
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, fmt.Appendf(nil, "[[registry]]\nprefix = %q\nblocked = true\n", reg.Host), 0o600); err != nil {
		t.Fatal(err)
	}
	blocked, err := access.LoadRegistries(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{Mirrors: blocked})
	if _, err := c.Resolve(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "is blocked") || errors.Is(err, ErrImageNotFound) || reg.Total() != 0 {
		t.Errorf("%v, %d requests", err, reg.Total())
	}
}

// What was given for the registry does not go to its mirror, neither a password nor a token.
func TestCanaryMirror(t *testing.T) {
	ref, x := challenged(t, false, func(http.ResponseWriter, *http.Request) bool { return false })
	y := newCanary(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="y"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	m := mirrors(t, strings.TrimPrefix(x.URL, "http://"), strings.TrimPrefix(y.URL, "http://"), "")
	for _, o := range []Options{{Username: "me", Password: canarySecret}, {Token: canarySecret}} {
		o.Mirrors = m
		err := use(t, newClient(t, o), ref)
		if (err == nil) != (o.Username != "") || y.asked.Load() == 0 {
			t.Errorf("%v, the mirror was asked %d times", err, y.asked.Load())
		}
	}
}
