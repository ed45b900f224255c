package cache

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, dir string, limit int64) *Cache {
	t.Helper()
	c, err := Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t testing.TB, c *Cache, content string) string {
	t.Helper()
	digest := hash("", []byte(content))
	if err := c.Put(digest, "text/plain", []byte(content)); err != nil {
		t.Fatal(err)
	}
	return digest
}

// size is what lies below a directory.
func size(t testing.TB, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += info.Size()
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestGetAndPut(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "a", "b"), 1<<20)
	digest := put(t, c, "content\nwith lines")
	got, mediaType, ok := c.Get(digest, 100)
	if string(got) != "content\nwith lines" || mediaType != "text/plain" || !ok {
		t.Errorf("got %q, %q, %t", got, mediaType, ok)
	}
	long := hash("sha512:", []byte("x"))
	if err := c.Put(long, "", []byte("x")); err != nil {
		t.Error(err)
	}
	if got, _, ok := c.Get(long, 1); string(got) != "x" || !ok {
		t.Errorf("got %q, %t", got, ok)
	}
	if _, _, ok := c.Get(digest, 5); ok {
		t.Error("more than was asked for")
	}
	if _, _, ok := c.Get(digest, 100); !ok {
		t.Error("it went since somebody wanted less")
	}
	for _, none := range []string{"", "sha256:", "sha256:../../x", hash("", nil), "md5:" + strings.Repeat("0", 32), strings.ToUpper(digest)} {
		if _, _, ok := c.Get(none, 100); ok {
			t.Errorf("%q is there", none)
		}
	}
	for name, err := range map[string]error{
		"another digest":            c.Put(hash("", []byte("y")), "", []byte("z")),
		"no digest":                 c.Put("sha256:../x", "", []byte("z")),
		"a media type of two lines": c.Put(hash("", []byte("z")), "a\nb", []byte("z")),
	} {
		if err == nil {
			t.Errorf("%s was kept", name)
		}
	}
	var none *Cache
	if _, _, ok := none.Get(digest, 100); ok || none.Put(digest, "", nil) != nil {
		t.Error("no cache")
	}
	if _, err := Open(c.path(digest), 1); err == nil {
		t.Error("a file is no cache")
	}
	if info, err := os.Stat(c.dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may look: %v, %v", info.Mode(), err)
	}
}

// What somebody changed in the directory was never there.
func TestTampered(t *testing.T) {
	c := open(t, t.TempDir(), 1<<20)
	digest := put(t, c, "content")
	for _, bad := range []string{"text/plain\ncontenT", "text/plain\n", "", "content", strings.Repeat("x", 300) + "\ncontent", "text/plain\ncontent\n"} {
		if err := os.WriteFile(c.path(digest), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _, ok := c.Get(digest, 1000); ok {
			t.Errorf("%q: got %q", bad, got)
		}
		if _, err := os.Stat(c.path(digest)); err == nil {
			t.Errorf("%q stayed", bad)
		}
	}
	put(t, c, "content")
	if _, _, ok := c.Get(digest, 100); !ok {
		t.Error("it cannot be put again")
	}
}

// The directory keeps its size, and what was used last.
func TestBound(t *testing.T) {
	const limit = 100_000
	dir := t.TempDir()
	c := open(t, dir, limit)
	old := time.Now().Add(-48 * time.Hour)
	var digests []string
	for i := range 300 {
		digests = append(digests, put(t, c, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 1000))))
		if err := os.Chtimes(c.path(digests[i]), old, old.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		c.Get(digests[0], 2000) // is used all the time
		if used := size(t, dir); used > limit {
			t.Fatalf("after %d: %d bytes", i, used)
		}
	}
	if _, _, ok := c.Get(digests[0], 2000); !ok {
		t.Error("what is used went")
	}
	if _, _, ok := c.Get(digests[299], 2000); !ok {
		t.Error("the last went")
	}
	if _, _, ok := c.Get(digests[1], 2000); ok {
		t.Error("the oldest stayed")
	}
	large := bytes.Repeat([]byte("y"), limit/share+1)
	if err := c.Put(hash("", large), "", large); err != nil {
		t.Error(err)
	}
	if _, _, ok := c.Get(hash("", large), limit); ok {
		t.Error("one took the room of many")
	}
}

// TestWriter is the body of the processes of TestProcesses.
func TestWriter(t *testing.T) {
	dir := os.Getenv("CACHE_WRITER_DIR")
	if dir == "" {
		t.Skip("started by TestProcesses")
	}
	c := open(t, dir, 50_000)
	for i := range 120 {
		content := fmt.Sprintf("%d %s", i%60, strings.Repeat("x", 900))
		digest := put(t, c, content)
		if got, _, ok := c.Get(digest, 2000); ok && string(got) != content {
			t.Errorf("got %.20q", got)
		}
	}
}

func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestWriter$")
			cmd.Env = append(os.Environ(), "CACHE_WRITER_DIR="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %s: %v\n%s", strconv.Itoa(i), err, out)
			}
		})
	}
	group.Wait()
	// Each may add so much before it looks again.
	if used := size(t, dir); used > 2*50_000 {
		t.Errorf("%d bytes", used)
	}
}

func FuzzGet(f *testing.F) {
	f.Add([]byte("text/plain\ncontent"))
	f.Add([]byte("\n"))
	c := open(f, f.TempDir(), 1<<20)
	digest := hash("", []byte("content"))
	if err := os.MkdirAll(filepath.Dir(c.path(digest)), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(c.path(digest), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _, ok := c.Get(digest, 1000); ok && string(got) != "content" {
			t.Errorf("got %q", got)
		}
	})
}
