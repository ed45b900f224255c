package blob

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
)

func TestOpen(t *testing.T) {
	content := "hello\n"
	file := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a.txt" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	}))
	defer server.Close()
	src := Sources{
		Stdin:     strings.NewReader(content),
		LookupEnv: func(k string) (string, bool) { return content, k == "BLOB" },
		HTTP:      server.Client(),
	}
	want := sha256.Sum256([]byte(content))
	const hexSum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	for _, ref := range []string{file, "-", "env://BLOB", server.URL + "/a.txt", "sha256:" + hexSum} {
		b, err := Open(context.Background(), ref, src)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		sum, err := b.Digest(crypto.SHA256, nil)
		if err != nil || !bytes.Equal(sum, want[:]) {
			t.Errorf("%s: digest %x, %v", ref, sum, err)
		}
	}
	for _, ref := range []string{"env://NONE", "none.txt", t.TempDir(), "sha256:" + strings.ToUpper(hexSum), "sha256:abc"} {
		if _, err := Open(context.Background(), ref, src); err == nil {
			t.Errorf("%s was opened", ref)
		}
	}
	b, err := Open(context.Background(), server.URL+"/none", src)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Digest(crypto.SHA256, nil); err == nil || !strings.Contains(err.Error(), "HTTP 404") {
		t.Errorf("a missing URL gave %v", err)
	}
}

func TestStreamIsReadOnce(t *testing.T) {
	b, err := Open(context.Background(), "-", Sources{Stdin: strings.NewReader("hello\n")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Hash(Need{Hash: crypto.SHA256}, Need{Hash: crypto.SHA512, Prefix: []byte("p")}); err != nil {
		t.Fatal(err)
	}
	want := sha512.Sum512([]byte("phello\n"))
	if got, err := b.Digest(crypto.SHA512, []byte("p")); err != nil || !bytes.Equal(got, want[:]) {
		t.Errorf("digest with prefix: %x, %v", got, err)
	}
	if _, err := b.Digest(crypto.SHA384, nil); !errors.Is(err, algorithm.ErrDigestUnavailable) {
		t.Errorf("a digest that was not asked for in time gave %v", err)
	}
}

func TestBareDigestKnowsNothingElse(t *testing.T) {
	b := FromDigest("image", crypto.SHA256, make([]byte, 32))
	if _, err := b.Digest(crypto.SHA512, nil); !errors.Is(err, algorithm.ErrDigestUnavailable) {
		t.Errorf("SHA-512 of a SHA-256 digest gave %v", err)
	}
}

// What is hashed is what the server stores, however it labels it; and an artifact asked for over TLS comes over TLS.
func TestDownload(t *testing.T) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write([]byte("hello\n"))
	_ = zip.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip") // as some servers say of every .tar.gz
		_, _ = w.Write(packed.Bytes())
	}))
	defer plain.Close()
	b, err := Open(t.Context(), plain.URL+"/a.tar.gz", Sources{HTTP: plain.Client()})
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(packed.Bytes())
	if sum, err := b.Digest(crypto.SHA256, nil); err != nil || !bytes.Equal(sum, want[:]) {
		t.Errorf("digest %x, %v; want that of the bytes served", sum, err)
	}
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/a.txt?sig=s3cret", http.StatusFound))
	defer secure.Close()
	b, err = Open(t.Context(), secure.URL, Sources{HTTP: secure.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Digest(crypto.SHA256, nil); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "from https to http") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("redirected to plain HTTP: %v", err)
	}
}

func TestDisplayName(t *testing.T) {
	for ref, want := range map[string]string{
		"a.txt": "a.txt", "-": "-", "what?.txt": "what?.txt", "me@host:a#b": "me@host:a#b", "sha256:ab": "sha256:ab", "env://A?b": "env://A?b",
		"https://h.test/a/b.txt":                     "https://h.test/a/b.txt",
		"https://h.test":                             "https://h.test",
		"https://h.test?s3cret":                      "https://h.test",
		"https://h.test#s3cret/x":                    "https://h.test",
		"http://me:s3cret@h.test:8/a.txt?s3cret#s/3": "http://h.test:8/a.txt",
		"http://s3@cret@h.test/a@b":                  "http://h.test/a@b",
	} {
		if got := DisplayName(ref); got != want {
			t.Errorf("%s is shown as %s, want %s", ref, got, want)
		}
	}
}

// What opens a URL is in no error about it, whatever goes wrong.
func TestErrorsHideSecrets(t *testing.T) {
	half := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			return
		}
		http.NotFound(w, r)
	}))
	defer half.Close()
	at := strings.TrimPrefix(half.URL, "http://")
	for _, ref := range []string{
		"http://me:s3cret@" + at + "/none?s3cret", "http://me:s3cret@" + at + "/half?s3cret#s3cret",
		"http://me:s3cret@h.test:port/?s3cret", "https://me:s3cret@127.0.0.1:1/?s3cret",
	} {
		b, err := Open(t.Context(), ref, Sources{HTTP: half.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Digest(crypto.SHA256, nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(b.Name, "s3cret") {
			t.Errorf("%s: %v", b.Name, err)
		}
		if r, err := b.Open(); err == nil {
			r.Close()
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Error(err)
		}
	}
}

// What can be read again can be opened any number of times; a stream and a digest cannot.
func TestReopen(t *testing.T) {
	src := Sources{Stdin: strings.NewReader("hello"), LookupEnv: func(string) (string, bool) { return "hello", true }}
	for ref, again := range map[string]bool{"env://A": true, "-": false, "sha256:" + strings.Repeat("0", 64): false} {
		b, err := Open(t.Context(), ref, src)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r, err := algorithm.Opener(b).Open()
			if again != (err == nil) || !again && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("%s: %v", ref, err)
			}
			if !again {
				continue
			}
			if data, err := io.ReadAll(r); string(data) != "hello" || err != nil {
				t.Errorf("%s: %q, %v", ref, data, err)
			}
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// An artifact without end is given up when the user does.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b, err := Open(ctx, "-", Sources{Stdin: endless{}})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	done := make(chan error, 1)
	go func() { done <- b.Hash(Need{Hash: crypto.SHA256}) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still reading")
	}
}
