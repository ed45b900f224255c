package keys

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestParseReference(t *testing.T) {
	tests := []struct {
		ref  string
		want Reference
	}{
		{"cosign.key", Reference{File, "", "cosign.key"}},
		{"gitlab-cosign.pub", Reference{File, "", "gitlab-cosign.pub"}},
		{"k8s", Reference{File, "", "k8s"}},
		{"./a:b", Reference{File, "", "./a:b"}},
		{"env://KEY", Reference{Variable, "env", "KEY"}},
		{"https://x.example/k.pub", Reference{URL, "https", "https://x.example/k.pub"}},
		{"awskms:///alias/x", Reference{PlugIn, "awskms", "/alias/x"}},
		{"my-hsm://a://b", Reference{PlugIn, "my-hsm", "a://b"}},
		{"pkcs11:token=a", Reference{PKCS11, "pkcs11", "pkcs11:token=a"}},
		{"k8s://ns/name", Reference{Kubernetes, "k8s", "ns/name"}},
	}
	for _, tt := range tests {
		if got, err := ParseReference(tt.ref); err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v", tt.ref, got, err)
		}
	}
	for _, ref := range []string{
		"", "../x://y", "a/b://c", ".x://y", "://x", "x://", "env://", "env://A=B", "https://u:p@x.example/k",
		"https://", "a\x00b", "x y://z", strings.Repeat("x", maxReference+1),
	} {
		if got, err := ParseReference(ref); err == nil {
			t.Errorf("%.40q: accepted as %+v", ref, got)
		} else if strings.Contains(err.Error(), "u:p@") {
			t.Errorf("%.40q: the error repeats the password: %v", ref, err)
		}
	}
}

func environment(vars map[string]string) Environment {
	return Environment{
		LookupEnv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		Password:  func(context.Context, bool) ([]byte, error) { return []byte("bench"), nil },
	}
}

func TestOpen(t *testing.T) {
	key := testenv.ReadVector(t, "cosign-generated", "cosign.key")
	dir := t.TempDir()
	path := filepath.Join(dir, "gitlab-cosign.key")
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(key) }))
	defer server.Close()

	for name, tt := range map[string]struct {
		ref string
		env Environment
	}{
		"file, password asked for":    {path, environment(nil)},
		"COSIGN_PASSWORD before that": {path, failPassword(environment(map[string]string{"COSIGN_PASSWORD": "bench"}))},
		"BULLA_PASSWORD before both":  {path, environment(map[string]string{"COSIGN_PASSWORD": "x", "BULLA_PASSWORD": "bench"})},
		"variable":                    {"env://K", environment(map[string]string{"K": string(key)})},
		"URL":                         {server.URL, environment(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			signer, err := Open(t.Context(), tt.ref, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			alg, _ := algorithm.Default(signer.Public())
			if _, err := signer.Sign(t.Context(), alg, algorithm.Bytes(nil)); err != nil {
				t.Error(err)
			}
		})
	}
	_, err := Open(t.Context(), path, failPassword(environment(map[string]string{"COSIGN_PASSWORD": ""})))
	if !errors.Is(err, ErrWrongPassword) {
		t.Errorf("a password set to nothing must count: %v", err)
	}
}

func failPassword(e Environment) Environment {
	e.Password = func(context.Context, bool) ([]byte, error) { return nil, errors.New("asked for a password") }
	return e
}

func TestOpenRefuses(t *testing.T) {
	vectors := testenv.Vectors(t, "sigstore-rs", "keys")
	pub := testenv.Vectors(t, "cosign-generated", "cosign.pub")
	key := testenv.Vectors(t, "cosign-generated", "cosign.key")
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, maxKeyBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environment(map[string]string{"CERT": string(pemOf("CERTIFICATE", nil)), "PATH": "."})
	open := func(ref string) error { _, err := Open(t.Context(), ref, env); return err }
	public := func(ref string) error { _, err := OpenPublic(t.Context(), ref, env); return err }
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"plain PKCS#8", open(filepath.Join(vectors, "ecdsa_private.key")), "import-key-pair"},
		{"plain PKCS#1", open(filepath.Join(vectors, "rsa_private.key")), "import-key-pair"},
		{"public key to sign with", open(pub), "it holds a public key"},
		{"certificate to sign with", open("env://CERT"), "it holds a certificate"},
		{"wrong password", open(filepath.Join(vectors, "ecdsa_encrypted_private.key")), "wrong password"},
		{"missing file", open("nofile.key"), "nofile.key"},
		{"missing variable", open("env://NOPE"), "NOPE is not set"},
		{"large file", open(big), "more than 65536 bytes"},
		{"private key to verify with", public(key), "bulla public-key"},
		{"plain private key to verify with", public(filepath.Join(vectors, "ecdsa_private.key")), "it holds a private key"},
		{"certificate to verify with", public("env://CERT"), "it holds a certificate"},
		{"pkcs11", open("pkcs11:token=a"), "pkcs11"},
		{"k8s", public("k8s://ns/name"), "k8s"},
		{"cloud", open("awskms:///alias/x"), "AWS KMS are reached through the program sigstore-kms-awskms"},
		{"gitlab", open("gitlab://a/b"), "GitLab"},
		{"github", open("github://a/b"), "env://NAME"},
		{"unknown store", public("nosuch://x"), "no program sigstore-kms-nosuch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(strings.ToLower(tt.err.Error()), strings.ToLower(tt.want)) {
				t.Errorf("got %v, want %q in it", tt.err, tt.want)
			}
		})
	}
	if got, err := OpenPublic(t.Context(), pub, env); err != nil || got == nil {
		t.Errorf("the public key itself: %v", err)
	}
}

func TestFetchRefuses(t *testing.T) {
	pub := testenv.ReadVector(t, "cosign-generated", "cosign.pub")
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			w.Write(pub)
		case "/junk":
			w.Write([]byte("no key"))
		case "/large":
			w.Write(make([]byte, maxKeyBytes+1))
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
			w.Write(pub)
		}
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/ok?sig=s3cret", http.StatusFound))
	defer secure.Close()
	env := environment(nil)
	env.HTTP = secure.Client()

	if _, err := OpenPublic(t.Context(), plain.URL+"/ok", env); err != nil {
		t.Error(err)
	}
	for url, want := range map[string]string{
		plain.URL + "/gone":  "server returned HTTP 404",
		plain.URL + "/junk":  "no PEM block",
		plain.URL + "/large": "more than 65536 bytes",
		plain.URL + "/slow":  "Timeout",
		secure.URL:           "redirected from https to http",
	} {
		env.HTTP.Timeout = time.Minute
		if strings.HasSuffix(url, "/slow") {
			env.HTTP.Timeout = 100 * time.Millisecond
		}
		// What opens a signed URL, ours or one that we are led to, is not told.
		_, err := OpenPublic(t.Context(), url+"?sig=s3cret#s3cret", env)
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error tells the secret: %v", url, err)
		}
		if unanswered := !strings.HasSuffix(url, "/large") && !strings.HasSuffix(url, "/junk"); errors.Is(err, ErrNoAnswer) != unanswered {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), url) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
	for _, ref := range []string{plain.URL[:7] + "me:s3cret@" + plain.URL[7:] + "/ok?s3cret#s3cret", "https://me:s3cret@h:port/?s3cret"} {
		if _, err := OpenPublic(t.Context(), ref, env); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a URL with credentials: %v", err)
		}
	}
}

// PublicHalf reads what the reference names once, whatever it is.
func TestPublicHalf(t *testing.T) {
	key, err := Generate(rand.Reader, "")
	if err != nil {
		t.Fatal(err)
	}
	private, err := EncryptPEM(rand.Reader, key, []byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	der, err := algorithm.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"/a.key": private, "/a.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "/text": []byte("clay"),
		"/a.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if files[r.URL.Path] == nil {
			http.NotFound(w, r)
		}
		w.Write(files[r.URL.Path])
	}))
	defer server.Close()
	env := environment(map[string]string{"COSIGN_PASSWORD": "pw"})
	env.HTTP = server.Client()
	for path, want := range map[string]string{
		"/a.key": "", "/a.pub": "", "/text": "reading the private key from", "/a.crt": "reading the private key from", "/none": "HTTP 404",
	} {
		requests = 0
		pub, err := PublicHalf(t.Context(), server.URL+path, env)
		switch {
		case requests != 1:
			t.Errorf("%s: %d requests", path, requests)
		case want == "" && (err != nil || Hint(pub) != Hint(key.Public())):
			t.Errorf("%s: %v", path, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
