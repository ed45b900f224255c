package artifact

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/oci/carry"
)

func TestImage(t *testing.T) {
	s := NewSet()
	m, err := s.Image(Image{Content: FromBytes([]byte("hello\n")), Annotations: map[string]string{"b": "2", "a": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	// What cosign 3.1.3 makes of the same file, see TestUploadBlob in test/interop.
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",` +
		`"size":233,"digest":"sha256:`
	if !strings.HasPrefix(string(m.Body), want) || !strings.HasSuffix(string(m.Body),
		`"layers":[{"mediaType":"text/plain","size":6,"digest":"sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}],"annotations":{"a":"1","b":"2"}}`) {
		t.Errorf("%s", m.Body)
	}
	again, err := s.Manifest(context.Background(), m.Digest)
	if err != nil || again != m {
		t.Errorf("%v, %v", again, err)
	}
	if _, err := s.Manifest(context.Background(), "latest"); !errors.Is(err, carry.ErrNotFound) {
		t.Errorf("a manifest that was not made: %v", err)
	}
	if _, err := s.Blob(context.Background(), m, carry.Descriptor{Digest: m.Digest}); !errors.Is(err, carry.ErrNotFound) {
		t.Errorf("a blob that was not made: %v", err)
	}
	subject := carry.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}
	about, err := s.Image(Image{Content: FromBytes(nil), MediaType: "text/spdx", ConfigType: "application/x", Subject: &subject})
	if err != nil || !strings.Contains(string(about.Body), `,"subject":{"mediaType":"`+m.MediaType+`","size":`) {
		t.Errorf("%v, %s", err, about.Body)
	}
}

func TestIndex(t *testing.T) {
	s := NewSet()
	m, err := s.Index([]Image{
		{Content: FromBytes([]byte("a")), Platform: Platform{OS: "linux", Architecture: "arm64"}},
		{Content: FromBytes([]byte("b")), Platform: Platform{OS: "darwin"}},
		{Content: FromBytes([]byte("c"))},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"platform":{"architecture":"arm64","os":"linux"}`, `"platform":{"architecture":"","os":"darwin"}`} {
		if strings.Count(string(m.Body), want) != 1 {
			t.Errorf("%s is not once in %s", want, m.Body)
		}
	}
	if strings.Count(string(m.Body), `"platform"`) != 2 || strings.Contains(string(m.Body), "layers") || strings.Contains(string(m.Body), `"config"`) {
		t.Errorf("%s", m.Body)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Repeat("x", 4000)
	write(text)
	c, err := FromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b := FromBytes([]byte(text)); c.Digest != b.Digest || c.Size != b.Size || c.Sniffed != "text/plain" {
		t.Errorf("%+v", c)
	}
	s := NewSet()
	m, err := s.Image(Image{Content: c})
	if err != nil {
		t.Fatal(err)
	}
	read := func() (string, error) {
		r, err := s.Blob(context.Background(), m, carry.Descriptor{Digest: c.Digest, Size: c.Size})
		if err != nil {
			return "", err
		}
		defer r.Close()
		var out strings.Builder
		_, err = io.Copy(&out, r)
		return out.String(), err
	}
	if got, err := read(); err != nil || got != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, other := range []string{text[1:] + "y", text + "more", text[1:], ""} {
		write(other)
		if _, err := read(); err == nil || !strings.Contains(err.Error(), "has changed") {
			t.Errorf("a file that was changed to %d bytes: %v", len(other), err)
		}
	}
	if _, err := FromFile(dir); err == nil {
		t.Error("a directory is content")
	}
	if _, err := FromFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
