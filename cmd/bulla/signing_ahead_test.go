package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// aheadWorld is a registry and keys. Signatures of RSA have no randomness of their own.
type aheadWorld struct {
	reg                 *testenv.Registry
	ecdsa, ed25519, rsa string
}

func newAheadWorld(t *testing.T) *aheadWorld {
	t.Setenv("COSIGN_PASSWORD", "pw")
	t.Setenv("HOME", t.TempDir())
	w := &aheadWorld{reg: testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})}
	for alg, file := range map[string]*string{"ecdsa-sha2-256-nistp256": &w.ecdsa, "ed25519": &w.ed25519, "rsa-sign-pkcs1-2048-sha256": &w.rsa} {
		prefix := filepath.Join(t.TempDir(), "key")
		*file = prefix + ".key"
		expect(t, []int{0}, "generate-key-pair", "--algorithm", alg, "--output-key-prefix", prefix)
	}
	return w
}

// image pushes another image under the tag, and returns the digest.
func (w *aheadWorld) image(t *testing.T) string { return w.reg.PushImage(t, "app:v1") }

// referrers is how many bundles are attached.
func (w *aheadWorld) referrers(ref string) int {
	repo, digest, _ := strings.Cut(strings.TrimPrefix(ref, w.reg.Host), "@")
	recorder := httptest.NewRecorder()
	w.reg.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v2"+repo+"/referrers/"+digest, nil))
	return strings.Count(recorder.Body.String(), `"size"`)
}

func (w *aheadWorld) sign(t *testing.T, key, ref string, more ...string) string {
	t.Helper()
	w.reg.Reset()
	code, out, said := quietly(append([]string{"sign", "--key", key, "--log=none", "--output", "json", ref}, more...)...)
	if code != 0 {
		t.Fatalf("status %d\n%s%s", code, out, said)
	}
	return out
}

// Only where a bundle may be attached already is that asked; and then the same is attached once.
func TestSignAsks(t *testing.T) {
	const anyway = "--skip-signed=false"
	w := newAheadWorld(t)
	ref := w.image(t)
	asked := func() int { return w.reg.Count("HEAD blobs") }
	for range 2 {
		for _, key := range []string{w.ecdsa, w.ed25519} {
			before := w.referrers(ref)
			w.sign(t, key, ref, anyway)
			if asked() != 0 || w.reg.Total() > 8 || w.referrers(ref) != before+1 {
				t.Errorf("with randomness it was asked, or nothing is new:\n%s", w.reg.Log())
			}
		}
	}
	w.sign(t, w.rsa, ref, anyway)
	if asked() != 1 || w.reg.Total() > 8 {
		t.Errorf("without randomness:\n%s", w.reg.Log())
	}
	w.sign(t, w.rsa, ref, anyway)
	if log := w.reg.Log(); strings.Contains(log, "PUT ") || strings.Contains(log, "POST ") {
		t.Errorf("the same was written again:\n%s", log)
	}
}

// A command that signs asks for the tag each time, whatever is kept from before.
func TestSignNotFromCache(t *testing.T) {
	w := newAheadWorld(t)
	t.Setenv("BULLA_REGISTRY_CACHE", t.TempDir())
	first := w.image(t)
	tag, digest, _ := strings.Cut(first, "@")
	tag += ":v1"
	pub := strings.TrimSuffix(w.ecdsa, ".key") + ".pub"
	if out := w.sign(t, w.ecdsa, tag); !strings.Contains(out, digest) {
		t.Errorf("want %s, got %s", digest, out)
	}
	expect(t, []int{0}, "verify", "--key", pub, "--log=none", tag) // which keeps what it reads
	second := w.image(t)
	_, digest, _ = strings.Cut(second, "@")
	if out := w.sign(t, w.ecdsa, tag); second == first || !strings.Contains(out, digest) {
		t.Errorf("want %s, got %s", digest, out)
	}
	if got := w.reg.Count("GET manifests"); got == 0 {
		t.Errorf("the tag was not asked for:\n%s", w.reg.Log())
	}
}

// What is wrong with the key is said before what is wrong with the image; and while a person may be typing a password nothing
// is asked.
func TestLookAhead(t *testing.T) {
	w := newAheadWorld(t)
	missing := w.reg.Host + "/app:missing"
	w.image(t)
	w.reg.Reset()
	code, _, said := quietly("sign", "--key", w.ecdsa, "--log=none", missing)
	if code != cli.ExitImageNotFound || !strings.Contains(said, "missing") || w.reg.Total() != 1 {
		t.Errorf("status %d, %d requests: %s", code, w.reg.Total(), said)
	}
	t.Setenv("COSIGN_PASSWORD", "wrong")
	code, _, said = quietly("sign", "--key", w.ecdsa, "--log=none", missing)
	if code != cli.ExitInput || !strings.Contains(said, "password") || strings.Contains(said, "missing:") {
		t.Errorf("status %d: %s", code, said)
	}
	t.Setenv("COSIGN_PASSWORD", "")
	for _, ask := range []struct {
		key  string
		asks bool
	}{{"", false}, {w.ecdsa, false}, {"gcpkms://x", false}} {
		if got := mayAsk(t, ask.key, false); got != ask.asks {
			t.Errorf("with a password given, %q: %t", ask.key, got)
		}
	}
	for _, ask := range []struct {
		key  string
		asks bool
	}{{"", false}, {w.ecdsa, true}, {"gcpkms://x", false}, {"env://KEY", true}} {
		if got := mayAsk(t, ask.key, true); got != ask.asks {
			t.Errorf("without, %q: %t", ask.key, got)
		}
	}
}

// mayAsk says whether opening a key may ask for a password.
func mayAsk(t *testing.T, key string, unset bool) bool {
	t.Helper()
	sys := cli.OS()
	if unset {
		sys.LookupEnv = func(string) (string, bool) { return "", false }
	}
	s := &imageSigning{}
	s.Key = key
	return s.asksPassword(&cli.Call{System: *sys})
}
