package evidence_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/verify"
)

// shelf is a directory of evidence files.
type shelf struct {
	t   *testing.T
	dir string
}

func (s shelf) put(name string, data []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s shelf) path(name string) string {
	if name == "" {
		return ""
	}
	return filepath.Join(s.dir, name)
}

// stock writes evidence in every form.
func stock(t *testing.T) shelf {
	s := shelf{t, t.TempDir()}
	w := world.New(t)
	key, artifact, _ := w.Bundle(t, world.Spec{Log: world.LogV1SET, Version: bundle.Cosign})
	cert, _, _ := w.Bundle(t, world.Spec{Signer: world.Cert, Log: world.LogV1SET, Version: bundle.Cosign, Timestamp: true})
	other, _, _ := w.Bundle(t, world.Spec{Signer: world.Cert, Log: world.LogV1, Timestamp: true})
	keyed, _, _ := w.Bundle(t, world.Spec{Log: world.LogV1})
	encode := func(data []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	newCert, newKey := encode(other.Encode()), encode(keyed.Encode())
	s.put("a.txt", artifact)
	s.put("new.json", newCert)
	s.put("newkey.json", newKey)
	s.put("lines.jsonl", bytes.Join([][]byte{newCert, nil, newKey, []byte("{}")}, []byte("\r\n")))
	s.put("many.jsonl", bytes.Repeat([]byte("{}\n"), verify.MaxCandidates+1))
	s.put("key.cosign", encode(key.CosignBlob()))
	s.put("cert.cosign", encode(cert.CosignBlob()))
	s.put("key.sig", []byte(base64.StdEncoding.EncodeToString(key.Message.Signature)+"\n"))
	s.put("raw.sig", key.Message.Signature)
	s.put("cert.pem", mint.PEM(cert.Material.Certificates[0]))
	s.put("cert.der", cert.Material.Certificates[0])
	s.put("other.pem", mint.PEM(other.Material.Certificates[0]))
	s.put("cert.tsr", cert.Material.Timestamps[0])
	s.put("sct", []byte("an SCT"))
	s.put("empty", nil)
	s.put("space", []byte(" \n"))
	s.put("text", []byte("hello there"))
	if err := os.Truncate(s.put("large", nil), 128<<20+1); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoad(t *testing.T) {
	s := stock(t)
	signature, _ := os.ReadFile(s.path("key.sig"))
	for _, tt := range []struct {
		name  string
		files evidence.Files
		count int    // candidates that can be decoded
		bad   string // in the error of some candidate
		err   string // of all
		io    bool   // which is about reading
	}{
		{name: "bundle", files: evidence.Files{Bundle: "new.json"}, count: 1},
		{name: "lines", files: evidence.Files{Bundle: "lines.jsonl"}, count: 2, bad: "no mediaType"},
		{name: "blob bundle", files: evidence.Files{Bundle: "key.cosign"}, count: 1},
		{name: "blob bundle with a certificate beside", files: evidence.Files{Bundle: "key.cosign", Certificate: "cert.pem"}, count: 1},
		{name: "blob bundle with its certificate beside", files: evidence.Files{Bundle: "cert.cosign", Certificate: "cert.pem"}, count: 1},
		{name: "blob bundle with another's", files: evidence.Files{Bundle: "cert.cosign", Certificate: "other.pem"}, bad: "certificate"},
		{name: "blob bundle with a timestamp", files: evidence.Files{Bundle: "cert.cosign", Timestamp: "cert.tsr"}, count: 1},
		{name: "bundle with its certificate", files: evidence.Files{Bundle: "new.json", Certificate: "other.pem"}, count: 1},
		{name: "bundle with another's", files: evidence.Files{Bundle: "new.json", Certificate: "cert.pem"}, bad: "signed with another certificate than --certificate "},
		{name: "bundle with a timestamp", files: evidence.Files{Bundle: "new.json", Timestamp: "cert.tsr"}, bad: "leave out --rfc3161-timestamp"},
		{name: "bundle with an SCT", files: evidence.Files{Bundle: "new.json", SCT: "sct"}, bad: "leave out --sct"},
		{name: "signature in base64", files: evidence.Files{Signature: "key.sig"}, count: 1},
		{name: "raw signature", files: evidence.Files{Signature: "raw.sig"}, count: 1},
		{name: "signature itself", files: evidence.Files{Signature: "=" + strings.TrimSpace(string(signature))}, count: 1},
		{name: "with certificate, timestamp, SCT", files: evidence.Files{Signature: "raw.sig", Certificate: "cert.der", Timestamp: "cert.tsr", SCT: "sct"}, count: 1},
		{name: "both", files: evidence.Files{Bundle: "new.json", Signature: "key.sig"}, err: "not both"},
		{name: "neither", err: "no file to look beside", io: true},
		{name: "standard input", files: evidence.Files{Artifact: "-"}, err: "no file to look beside", io: true},
		{name: "too many lines", files: evidence.Files{Bundle: "many.jsonl"}, err: "more than 1024 documents"},
		{name: "too large", files: evidence.Files{Bundle: "large"}, err: "more than 134217728 bytes"},
		{name: "too large a certificate", files: evidence.Files{Bundle: "new.json", Certificate: "large"}, err: "more than 134217728 bytes"},
		{name: "empty", files: evidence.Files{Bundle: "empty"}, bad: "empty"},
		{name: "blank", files: evidence.Files{Bundle: "space"}, bad: "empty"},
		{name: "text", files: evidence.Files{Bundle: "text"}, bad: "JSON"},
		{name: "a certificate for a bundle", files: evidence.Files{Bundle: "cert.pem"}, bad: "certificate"},
		{name: "empty signature", files: evidence.Files{Signature: "empty"}, bad: "signature"},
		{name: "text for a signature", files: evidence.Files{Signature: "text"}, bad: "base64"},
		{name: "empty certificate", files: evidence.Files{Bundle: "new.json", Certificate: "space"}, err: "is empty"},
		{name: "text for a certificate", files: evidence.Files{Bundle: "new.json", Certificate: "text"}, err: "--certificate "},
		{name: "no bundle", files: evidence.Files{Bundle: "nosuch"}, err: "nosuch", io: true},
		{name: "no signature", files: evidence.Files{Signature: "nosuch"}, err: "nosuch", io: true},
		{name: "no certificate", files: evidence.Files{Bundle: "new.json", Certificate: "nosuch"}, err: "nosuch", io: true},
		{name: "a directory", files: evidence.Files{Bundle: "."}, err: "directory", io: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.files
			for _, name := range []*string{&f.Bundle, &f.Certificate, &f.Timestamp, &f.SCT} {
				*name = s.path(*name)
			}
			if literal, ok := strings.CutPrefix(f.Signature, "="); ok {
				f.Signature = literal
			} else {
				f.Signature = s.path(f.Signature)
			}
			found, err := f.Load(t.Context())
			if tt.err != "" {
				checkError(t, err, tt.err, tt.io)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkFound(t, found, tt.count, tt.bad)
		})
	}
}

func checkError(t *testing.T, err error, want string, io bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want one with %q", err, want)
	}
	var path *fs.PathError
	if got := errors.As(err, &path) || errors.Is(err, fs.ErrNotExist); got != io {
		t.Errorf("%v: is about reading: %v, want %v", err, got, io)
	}
}

func checkFound(t *testing.T, found *evidence.Found, count int, bad string) {
	t.Helper()
	if found.Beside {
		t.Error("what was named is said to be beside")
	}
	var errs []string
	for _, c := range found.Candidates {
		if c.Err != nil {
			errs = append(errs, c.Err.Error())
		} else if count--; c.Bundle == nil || c.Name == "" {
			t.Errorf("an empty candidate: %+v", c)
		}
	}
	if count != 0 {
		t.Errorf("%d candidates too few; errors: %q", count, errs)
	}
	if (bad == "") != (len(errs) == 0) || !strings.Contains(strings.Join(errs, "\n"), bad) {
		t.Errorf("errors %q, want one with %q", errs, bad)
	}
}

func TestBeside(t *testing.T) {
	s := stock(t)
	read := func(name string) []byte {
		data, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	artifact := s.path("a.txt")
	expect := func(keyless bool, want ...string) *evidence.Found {
		t.Helper()
		found, err := evidence.Files{Artifact: artifact, Keyless: keyless}.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i] = artifact + want[i]
		}
		if !found.Beside || strings.Join(found.Names, " ") != strings.Join(want, " ") {
			t.Errorf("found %q (beside: %v), want %q", found.Names, found.Beside, want)
		}
		return found
	}
	if _, err := (evidence.Files{Artifact: artifact}).Load(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), ".sigstore.json, .sigstore, .bundle, .sig") {
		t.Errorf("nothing there: %v", err)
	}
	// From the weakest to the strongest.
	s.put("a.txt.sig", read("key.sig"))
	expect(true, ".sig")
	s.put("a.txt.crt", read("other.pem"))
	expect(true, ".sig", ".crt")
	s.put("a.txt.pem", read("cert.pem"))
	if found := expect(true, ".sig", ".pem"); len(found.Candidates[0].Bundle.Material.Certificates) != 1 {
		t.Error("the certificate beside was not taken")
	}
	if found := expect(false, ".sig"); !found.Candidates[0].Bundle.Material.NoKey {
		t.Error("a certificate was taken where a key is demanded")
	}
	s.put("a.txt.bundle", read("key.cosign"))
	expect(true, ".bundle")
	s.put("a.txt.sigstore", read("newkey.json"))
	expect(true, ".sigstore")
	s.put("a.txt.sigstore.json", read("new.json"))
	expect(true, ".sigstore.json")
	// A broken one is not passed over for a weaker one.
	s.put("a.txt.sigstore.json", []byte("{}"))
	if found := expect(true, ".sigstore.json"); found.Candidates[0].Err == nil {
		t.Error("a broken bundle was passed over")
	}
}

// TestJoin changes nothing of what it is given.
func TestJoin(t *testing.T) {
	s := stock(t)
	w := world.New(t)
	older, _, _ := w.Bundle(t, world.Spec{Content: world.SimpleSigning})
	beside, err := evidence.Files{Certificate: s.path("cert.pem"), SCT: s.path("sct")}.Beside(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	joined, err := beside.Join(older)
	if err != nil {
		t.Fatal(err)
	}
	if len(joined.Material.Certificates) != 1 || joined.Material.NoKey || string(joined.Material.SCT) != "an SCT" {
		t.Errorf("not joined: %+v", joined.Material)
	}
	if len(older.Material.Certificates) != 0 || !older.Material.NoKey || older.Material.SCT != nil {
		t.Errorf("the bundle itself was changed: %+v", older.Material)
	}
	again, err := beside.Join(joined)
	if err != nil || len(again.Material.Certificates) != 1 {
		t.Errorf("the same certificate a second time: %v", err)
	}
	joined.Material.SCT = []byte("another")
	if _, err := beside.Join(joined); err == nil || !strings.Contains(err.Error(), "another certificate timestamp") {
		t.Errorf("another SCT: %v", err)
	}
	var nothing evidence.Beside
	if got, err := nothing.Join(older); err != nil || !got.Material.NoKey {
		t.Errorf("nothing beside: %v", err)
	}
}
