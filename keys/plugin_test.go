package keys

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestPlugIn(t *testing.T) {
	dir := testenv.KMSPlugIn(t, "testkms")
	t.Setenv("BULLA_TESTKMS_DIR", t.TempDir())
	env := Environment{PlugInDirs: []string{dir}}

	for ref, alg := range map[string]string{
		"testkms://a": "", "testkms://dir/b?x": "ecdsa-sha2-384-nistp384",
		"testkms://ed": "ed25519-ph", "testkms://rsa": "rsa-sign-pkcs1-2048-sha256",
	} {
		created, err := CreateKey(t.Context(), ref, alg, env)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		signer, err := Open(t.Context(), ref, env)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		pub, err := OpenPublic(t.Context(), ref, env)
		if err != nil || Hint(pub) != Hint(created) || Hint(signer.Public()) != Hint(created) {
			t.Fatalf("%s: the keys differ (%v)", ref, err)
		}
		def, _ := algorithm.Default(pub)
		sig, err := signer.Sign(t.Context(), def, algorithm.Bytes([]byte("clay")))
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if err := def.Verify(pub, algorithm.Bytes([]byte("clay")), sig); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	t.Run("found on PATH", func(t *testing.T) {
		onPath := environment(map[string]string{"PATH": "relative:" + t.TempDir() + ":" + dir})
		if _, err := OpenPublic(t.Context(), "testkms://a", onPath); err != nil {
			t.Error(err)
		}
	})
	t.Run("never from the current directory", func(t *testing.T) {
		t.Chdir(dir)
		for _, path := range []string{"", ".", ":", "./"} {
			if _, err := OpenPublic(t.Context(), "testkms://a", environment(map[string]string{"PATH": path})); err == nil {
				t.Errorf("PATH=%q: the program in the current directory was run", path)
			}
		}
	})
	t.Run("messages", func(t *testing.T) { testPlugInMessages(t, env) })
	t.Run("refusals", func(t *testing.T) { testPlugInRefusals(t, env) })
	t.Run("faults", func(t *testing.T) { testPlugInFaults(t, env) })
}

// changing is a message that is another one each time it is opened.
type changing struct {
	algorithm.Message
	opened int
}

func (c *changing) Open() (io.ReadCloser, error) {
	c.opened++
	return io.NopCloser(strings.NewReader(strings.Repeat("x", c.opened))), nil
}

// failing is a message that cannot be read to its end.
type failing struct{ algorithm.Message }

func (failing) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("the disk is gone")))), nil
}

// Plug-ins may sign the digest, or the message and ignore the digest; either must come out right.
func testPlugInMessages(t *testing.T, env Environment) {
	large := bytes.Repeat([]byte("clay "), 1<<20) // far more than a pipe holds
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, large, 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := blob.Open(t.Context(), file, blob.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	fromStream, err := blob.Open(t.Context(), "-", blob.Sources{Stdin: bytes.NewReader(large)})
	if err != nil {
		t.Fatal(err)
	}
	if err := fromStream.Hash(blob.Need{Hash: crypto.SHA256}); err != nil {
		t.Fatal(err)
	}
	clay := algorithm.Bytes([]byte("clay"))
	for _, tt := range []struct {
		name, key, alg, fault string
		message               algorithm.Message
		want                  string // in the error
	}{
		{"empty", "a", "", "ignore-digest", algorithm.Bytes(nil), ""},
		{"by message", "a", "", "ignore-digest", clay, ""},
		{"by message, large", "a", "", "ignore-digest", algorithm.Bytes(large), ""},
		{"by message, file", "a", "", "ignore-digest", fromFile, ""},
		{"by digest, unread", "a", "", "", algorithm.Bytes(large), ""},
		{"by digest, unread file", "rsa", "", "", fromFile, ""},
		{"by digest, stream", "a", "", "", fromStream, ""},
		{"by message, stream", "a", "", "ignore-digest", fromStream, "does not verify with its own public key"},
		{"another message than the digest", "a", "", "ignore-digest", &changing{Message: clay}, "does not verify with its own public key"},
		{"unreadable", "a", "", "ignore-digest", failing{clay}, "the disk is gone"},
		{"pure Ed25519", "ed", "ed25519", "", clay, ""},
		{"pure Ed25519, file", "ed", "ed25519", "", fromFile, ""},
		{"pure Ed25519, stream", "ed", "ed25519", "", fromStream, "made over the message itself"},
		{"pure Ed25519, another message", "ed", "ed25519", "", &changing{Message: clay}, "does not verify with its own public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("BULLA_TESTKMS_FAULT", tt.fault)
			signer, err := Open(t.Context(), "testkms://"+tt.key, env)
			if err != nil {
				t.Fatal(err)
			}
			alg, _ := algorithm.Default(signer.Public())
			if tt.alg != "" {
				alg, _ = algorithm.ForName(tt.alg)
			}
			sig, err := signer.Sign(t.Context(), alg, tt.message)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := alg.Verify(signer.Public(), tt.message, sig); err != nil {
				t.Error(err)
			}
		})
	}
}

func testPlugInRefusals(t *testing.T, env Environment) {
	for ref, tt := range map[string]struct{ alg, want string }{
		"testkms://a":    {"", "exists"},
		"testkms://new":  {"dsa", `does not make keys for algorithm "dsa"`},
		"plain.key":      {"", "cannot be created"},
		"nosuch://x":     {"", "sigstore-kms-nosuch"},
		"env://VARIABLE": {"", "cannot be created"},
	} {
		if _, err := CreateKey(t.Context(), ref, tt.alg, env); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", ref, err, tt.want)
		}
	}
	if _, err := Open(t.Context(), "testkms://missing", env); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a key that does not exist: %v", err)
	}
	signer, err := Open(t.Context(), "testkms://ed", env)
	if err != nil {
		t.Fatal(err)
	}
	pure, _ := algorithm.ForName("ed25519")
	if _, err := signer.Sign(t.Context(), pure, &shifting{}); err == nil || !strings.Contains(err.Error(), "use Ed25519ph") {
		t.Errorf("pure Ed25519: %v", err)
	}
	p256, _ := algorithm.ForName(DefaultAlgorithm)
	if _, err := signer.Sign(t.Context(), p256, algorithm.Bytes(nil)); err == nil {
		t.Error("an Ed25519 key signed by ECDSA")
	}
}

func testPlugInFaults(t *testing.T, env Environment) {
	signer, err := Open(t.Context(), "testkms://a", env)
	if err != nil {
		t.Fatal(err)
	}
	alg, _ := algorithm.Default(signer.Public())
	for fault, want := range map[string]string{
		"hang":      "did not answer in time",
		"flood":     "wrote more than 1048576 bytes",
		"garbage":   "not the protocol's JSON",
		"silent":    "wrote no answer (exit status 1)",
		"error":     "the [31mtoken is locked",
		"other-key": "does not verify with its own public key",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Setenv("BULLA_TESTKMS_FAULT", fault)
			limit := time.Minute
			if fault == "hang" {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := signer.Sign(ctx, alg, algorithm.Bytes(nil))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	t.Run("no-key", func(t *testing.T) {
		t.Setenv("BULLA_TESTKMS_FAULT", "no-key")
		if _, err := OpenPublic(t.Context(), "testkms://a", env); err == nil || !strings.Contains(err.Error(), "without a public key") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("exit status is ignored", func(t *testing.T) {
		t.Setenv("BULLA_TESTKMS_FAULT", "exit")
		if _, err := signer.Sign(t.Context(), alg, algorithm.Bytes(nil)); err != nil {
			t.Error(err)
		}
	})
	t.Run("stderr is bounded and printable", func(t *testing.T) {
		t.Setenv("BULLA_TESTKMS_FAULT", "chatty")
		var out bytes.Buffer
		env.Stderr = &out
		if _, err := OpenPublic(t.Context(), "testkms://a", env); err != nil {
			t.Fatal(err)
		}
		if out.Len() == 0 || out.Len() > maxPlugInStderr || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%d bytes, starting %.40q", out.Len(), out.String())
		}
	})
}

func TestPlugInMustBeExecutable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sigstore-kms-x"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sigstore-kms-y"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"x://k", "y://k"} {
		if _, err := Open(t.Context(), ref, Environment{PlugInDirs: []string{dir}}); err == nil || !strings.Contains(err.Error(), "no program") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}
