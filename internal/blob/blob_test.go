package blob

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
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
	case <-time.After(10 * time.Second):
		t.Fatal("still reading")
	}
}
