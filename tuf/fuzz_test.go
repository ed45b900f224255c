package tuf_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tuf"
)

// inMemory answers requests from files without a network.
type inMemory struct{ r *repository }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	w := newRecorder()
	m.r.ServeHTTP(w, req)
	return w.Result(), nil
}

// Whatever a mirror answers in place of one file, a client neither fails otherwise than by an error, nor takes anything
// for a trusted root but what was signed.
func FuzzMirror(f *testing.F) {
	names := []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"}
	r := sameRepository(f)
	good := r.copyFiles()
	root := publicTargets(f)[0].Data
	for i, name := range names {
		if name == "2.root.json" {
			name = "1.root.json"
		}
		f.Add(uint8(i), good[name])
		f.Add(uint8(i), bytes.Replace(good[name], []byte("{"), []byte(`{"signed":null,`), 1))
		f.Add(uint8(i), bytes.ReplaceAll(good[name], []byte(`"length"`), []byte(`"Length"`)))
	}
	f.Add(uint8(3), []byte(`{"signed":{"_type":"targets","version":1,"expires":"2030-01-01T00:00:00Z","targets":{"x":null}},"signatures":[]}`))
	f.Add(uint8(1), []byte(`{"signed":{"_type":"timestamp","version":1e400,"expires":"2030-01-01T00:00:00Z","meta":{}},"signatures":[]}`))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		files := r.copyFiles()
		files[names[int(which)%len(names)]] = data
		mirror := &repository{t: t, clock: r.clock, files: files}
		c, err := tuf.New(tuf.Config{
			Mirror: "http://mirror.test/repo", Root: r.root1, Now: r.clock.Now, HTTP: &http.Client{Transport: inMemory{mirror}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Refresh(context.Background())
		if err == nil {
			want := testenv.SHA256(root)
			if sum := "sha256:" + hexOf(got.Root.Source.SHA256[:]); sum != want {
				t.Errorf("accepted another trusted root, %s", sum)
			}
		}
	})
}

// Whatever is given for the root to begin with.
func FuzzFirstRoot(f *testing.F) {
	r := sameRepository(f)
	f.Add(r.root1)
	f.Add([]byte(`{"signed":{"_type":"root","version":1,"expires":"2030-01-01T00:00:00Z","keys":{"a":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}},"roles":{"root":{"keyids":["a"],"threshold":1}}},"signatures":[{"keyid":"a","sig":"00"}]}`))
	f.Add([]byte(`{"signed":{"_type":"root","roles":{"root":{"keyids":[""],"threshold":-1}}},"signatures":[{"keyid":"","sig":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := tuf.New(tuf.Config{Mirror: "http://mirror.test/repo", Root: data, Now: r.clock.Now, HTTP: &http.Client{Transport: inMemory{r}}})
		if err == nil {
			_, _ = c.Refresh(context.Background())
		}
	})
}

// A document that can be read can be written, and means the same then.
func FuzzDocument(f *testing.F) {
	r := sameRepository(f)
	for _, data := range r.copyFiles() {
		f.Add(data)
	}
	root, err := tuf.ParseDocument(r.root1)
	if err != nil {
		f.Fatal(err)
	}
	key := r.keys["root"][0]
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := tuf.ParseDocument(data)
		if err != nil {
			return
		}
		payload, err := d.Payload()
		if err != nil {
			return
		}
		_ = d.Verify(root)
		_ = d.Verify(d)
		_, _, _, _ = d.Signatures(root)
		_, _ = d.RootSpec()
		_, _ = d.TargetNames()
		if err := d.Sign(key); err != nil {
			t.Fatal(err)
		}
		again, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		d2, err := tuf.ParseDocument(again)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, again)
		}
		if payload2, err := d2.Payload(); err != nil || !bytes.Equal(payload, payload2) {
			t.Errorf("%v, or what is signed changed from\n%s\nto\n%s", err, payload, payload2)
		}
	})
}
