package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/backup"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	translog "github.com/bulla-sign/bulla/server/log"
	"golang.org/x/mod/sumdb/note"
)

// deployment is a state directory with a log that can be written to.
type deployment struct {
	dir      *state.Dir
	log      *treelog.Log
	verifier note.Verifier
}

const tree = "log/one"

func newDeployment(t testing.TB) *deployment {
	t.Helper()
	f := &founding.Founder{Ring: keyring.Memory(), Now: time.Now}
	h, err := f.Found(t.Context(), "example", "https://sigstore.example.com")
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{}
	if d.dir, err = state.Create(filepath.Join(t.TempDir(), "state"), h); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"keys/a.key": "encrypted", "tuf/timestamp.json": "{}", "tuf/1.root.json": "{}", "secret": "not copied"} {
		if err := os.MkdirAll(filepath.Dir(d.dir.Path(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.dir.Path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signer, verifier := noteKeys(t)
	lock, err := treelog.NewFileLock(d.dir.Path("lock"))
	if err != nil {
		t.Fatal(err)
	}
	d.verifier = verifier
	d.log, err = treelog.Open(t.Context(), treelog.Config{Dir: d.dir.Path(tree), Origin: verifier.Name(), Signer: signer, Verifier: verifier, Lock: lock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.log.Close(context.Background()) })
	return d
}

func noteKeys(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	skey, _, err := note.GenerateKey(rand.Reader, "sigstore.example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifierOf(t, skey)
}

func verifierOf(t testing.TB, skey string) note.Verifier {
	t.Helper()
	vkey, err := publicOf(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := translog.Verifier("sigstore.example.com", vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// publicOf reads the public key out of a note's private key, PRIVATE+KEY+NAME+HASH+base64(1 ‖ seed).
func publicOf(skey string) (ed25519.PublicKey, error) {
	parts := strings.Split(skey, "+")
	raw, err := base64.StdEncoding.DecodeString(strings.Join(parts[4:], "+"))
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey), nil
}

func (d *deployment) source() backup.Source {
	return backup.Source{
		Dir: d.dir, Now: time.Now, Folders: []string{"keys", "tuf", "nosuch"}, Files: []string{"nosuch.yaml"},
		Trees: []backup.Tree{{Dir: tree, Layout: treelog.Entries}, {Dir: "log/never", Layout: treelog.Entries}},
	}
}

func accept(string, *backup.Manifest) error { return nil }

// A log is copied again and again while it grows; each copy is a whole log of some size.
func TestWhileGrowing(t *testing.T) {
	d := newDeployment(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	for i := range 64 { // they share batches
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := d.log.Add(t.Context(), fmt.Appendf(nil, "entry %d of %d", n, i)); err != nil && !errors.Is(err, treelog.ErrPushback) {
					t.Error(err)
					return
				}
			}
		})
	}
	var last uint64
	for i := 0; i < 6 || last < 300; i++ { // until partial tiles have become full ones
		var tape bytes.Buffer
		m, err := backup.Write(t.Context(), &tape, d.source())
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), fmt.Sprint("restored", i))
		if _, err := backup.Restore(&tape, to, accept); err != nil {
			t.Fatal(err)
		}
		r, err := treelog.Fsck(t.Context(), treelog.FsckConfig{Dir: filepath.Join(to, tree), Origin: d.verifier.Name(), Verifier: d.verifier})
		if err != nil {
			t.Fatalf("a copy of %d entries: %v", m.Trees[tree], err)
		}
		if r.Size != m.Trees[tree] || r.Size < last {
			t.Fatalf("the copy has %d entries, the manifest says %d, and the one before had %d", r.Size, m.Trees[tree], last)
		}
		last = r.Size
		if _, err := os.Stat(filepath.Join(to, "secret")); err == nil {
			t.Error("what nobody asked for is copied")
		}
	}
}

func TestRefused(t *testing.T) {
	d := newDeployment(t)
	var tape bytes.Buffer
	if _, err := backup.Write(t.Context(), &tape, d.source()); err != nil {
		t.Fatal(err)
	}
	good := tape.Bytes()
	refuse := func(name string, data []byte) {
		t.Helper()
		to := filepath.Join(t.TempDir(), "restored")
		if _, err := backup.Restore(bytes.NewReader(data), to, accept); err == nil {
			t.Errorf("%s is accepted", name)
		}
		for _, left := range []string{to, to + ".restoring"} {
			if _, err := os.Lstat(left); err == nil {
				t.Errorf("%s: %s is there", name, left)
			}
		}
	}
	refuse("nothing", nil)
	refuse("a text", []byte(strings.Repeat("no tar ", 1000)))
	refuse("a part", good[:len(good)/2])
	refuse("all but the manifest", rewrite(t, good, func(h *tar.Header, _ []byte) bool { return h.Name != "manifest.json" }))
	refuse("without a file", rewrite(t, good, func(h *tar.Header, _ []byte) bool { return h.Name != "keys/a.key" }))
	refuse("with another name", rewrite(t, good, func(h *tar.Header, _ []byte) bool {
		if h.Name == "keys/a.key" {
			h.Name = "keys/b.key"
		}
		return true
	}))
	refuse("with other contents", rewrite(t, good, func(h *tar.Header, data []byte) bool {
		if h.Name == "keys/a.key" {
			data[0] ^= 1
		}
		return true
	}))
	for _, name := range []string{"../escape", "/tmp/escape", "a/../../escape", "./a", ""} {
		refuse(fmt.Sprintf("the name %q", name), rewrite(t, good, func(h *tar.Header, _ []byte) bool {
			if h.Name == "keys/a.key" {
				h.Name = name
			}
			return true
		}))
	}
	for what, flag := range map[string]byte{"a symbolic link": tar.TypeSymlink, "a hard link": tar.TypeLink, "a device": tar.TypeChar, "a directory": tar.TypeDir} {
		refuse(what, rewrite(t, good, func(h *tar.Header, data []byte) bool {
			if h.Name == "keys/a.key" {
				h.Typeflag, h.Linkname, h.Size = flag, "/etc/passwd", 0
			}
			return true
		}))
	}
}

// rewrite copies a tar with what edit makes of each file.
func rewrite(t *testing.T, data []byte, edit func(h *tar.Header, data []byte) bool) []byte {
	t.Helper()
	var out bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(data)), tar.NewWriter(&out)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !edit(h, content) {
			continue
		}
		if h.Size == 0 {
			content = nil
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPlace(t *testing.T) {
	d := newDeployment(t)
	var tape bytes.Buffer
	if _, err := backup.Write(t.Context(), &tape, d.source()); err != nil {
		t.Fatal(err)
	}
	full, vacant := t.TempDir(), filepath.Join(t.TempDir(), "vacant")
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(bytes.NewReader(tape.Bytes()), full, accept); err == nil {
		t.Error("a directory that is not empty is written to")
	}
	no := errors.New("no")
	if _, err := backup.Restore(bytes.NewReader(tape.Bytes()), vacant, func(string, *backup.Manifest) error { return no }); !errors.Is(err, no) {
		t.Errorf("a refusal becomes %v", err)
	}
	if _, err := os.Lstat(vacant); err == nil {
		t.Error("what was refused is there")
	}
	if err := os.Mkdir(vacant, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(bytes.NewReader(tape.Bytes()), vacant, accept); err != nil {
		t.Errorf("into an empty directory: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	d := newDeployment(f)
	var tape bytes.Buffer
	if _, err := backup.Write(context.Background(), &tape, d.source()); err != nil {
		f.Fatal(err)
	}
	f.Add(tape.Bytes())
	f.Add([]byte("manifest.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		_, err := backup.Restore(bytes.NewReader(data), filepath.Join(parent, "state"), accept)
		entries, readErr := os.ReadDir(parent)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil && len(entries) > 0 {
			t.Errorf("refused (%v), and %v is there", err, entries)
		}
	})
}
