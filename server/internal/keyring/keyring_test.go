package keyring_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/server/internal/keyring"
)

func environment(password string) keys.Environment {
	return keys.Environment{
		LookupEnv: func(string) (string, bool) { return "", false },
		Password:  func(context.Context, bool) ([]byte, error) { return []byte(password), nil },
	}
}

func TestMakeAndOpen(t *testing.T) {
	dir := t.TempDir()
	ring := keyring.New(dir, environment("secret"))
	ref, key, err := ring.Make(t.Context(), "log-1", "ed25519")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, ref))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v, %v", info, err)
	}
	// Another process, which comes by after the first one died, finds the key and makes no other.
	again, same, err := keyring.New(dir, environment("secret")).Make(t.Context(), "log-1", "ed25519")
	if err != nil || again != ref || !same.Public().(ed25519.PublicKey).Equal(key.Public()) {
		t.Errorf("made again: %s, %v", again, err)
	}
	if _, err := keyring.New(dir, environment("other")).Open(t.Context(), ref); !errors.Is(err, keys.ErrWrongPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := ring.Open(t.Context(), "keys/nosuch.key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if ring.Exists("keys/nosuch.key") || !ring.Exists(ref) || !ring.Exists("awskms://x") {
		t.Error("Exists does not know what there is")
	}
	if _, _, err := ring.Make(t.Context(), "x", "rot13"); err == nil {
		t.Error("a key of an unknown algorithm is made")
	}
}

func TestMemory(t *testing.T) {
	ring := keyring.Memory()
	ref, key, err := ring.Make(t.Context(), "ca", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open(t.Context(), ref); err != nil || got != key {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ring.Open(t.Context(), "other"); err == nil {
		t.Error("a key that was never made is opened")
	}
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := keyring.NewPasswordFile(path); err != nil {
		t.Fatal(err)
	}
	if err := keyring.NewPasswordFile(path); err == nil {
		t.Error("a password file is overwritten")
	}
	password, err := keyring.PasswordFile(path)(t.Context(), false)
	if err != nil || len(password) < 50 || strings.ContainsAny(string(password), "\r\n") {
		t.Errorf("the password has %d bytes, %v", len(password), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.PasswordFile(path)(t.Context(), false); err == nil {
		t.Error("a file that others may read is accepted")
	}
	if _, err := keyring.PasswordFile(path+"x")(t.Context(), false); err == nil {
		t.Error("a file that is not there is accepted")
	}
}

// A key behind a plug-in program signs as one in memory does.
func TestPlugIn(t *testing.T) {
	env := environment("")
	env.PlugInDirs = []string{testenv.KMSPlugIn(t, "testkms")}
	t.Setenv("BULLA_TESTKMS_DIR", t.TempDir())
	for _, alg := range []string{"ecdsa-sha2-256-nistp256", "rsa-sign-pkcs1-2048-sha256", "ed25519"} {
		t.Run(alg, func(t *testing.T) {
			ref := "testkms://" + alg
			if _, err := keys.CreateKey(t.Context(), ref, alg, env); err != nil {
				t.Fatal(err)
			}
			key, err := keyring.New(t.TempDir(), env).Open(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			message := []byte("a message")
			sum := sha256.Sum256(message)
			switch pub := key.Public().(type) {
			case *ecdsa.PublicKey:
				sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(pub, sum[:], sig) {
					t.Errorf("the signature does not verify: %v", err)
				}
				if _, err := key.Sign(rand.Reader, sum[:], crypto.SHA1); err == nil {
					t.Error("it signs with SHA-1")
				}
			case *rsa.PublicKey:
				sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
				if err != nil || rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig) != nil {
					t.Errorf("the signature does not verify: %v", err)
				}
			case ed25519.PublicKey:
				sig, err := key.Sign(rand.Reader, message, crypto.Hash(0))
				if err != nil || !ed25519.Verify(pub, message, sig) {
					t.Errorf("the signature does not verify: %v", err)
				}
			default:
				t.Fatalf("a key of type %T", pub)
			}
		})
	}
}
