package monitor

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// A real log, on Tessera, is followed while it is written to.
func TestRealLog(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lock, err := treelog.NewFileLock(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := treelog.Open(t.Context(), treelog.Config{
		Dir: filepath.Join(dir, "log"), Origin: testOrigin, Layout: treelog.Entries, Signer: signer, Verifier: verifier, Lock: lock,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	srv := httptest.NewServer(log)
	defer srv.Close()
	key, err := tlog.ParseVerifierKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	alice := newPerson(t, mint.NewCA(t, mint.CAOptions{}), "alice@bulla.test", "https://a.test")
	b := watchLog(t, newTreeLog(t, Rekor), Watch{Name: "w", Subject: "alice@bulla.test"})
	b.conf.URL, b.conf.Key = srv.URL, ed25519.PublicKey(key.Key)
	b.path += ".real"
	b.reopen()
	want, indices := int64(0), []int64{}
	for round := range 4 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		last := uint64(0)
		add := func(entry []byte) (index uint64) {
			index, err := log.Add(t.Context(), entry)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			last = max(last, index)
			return index
		}
		for i := range 149 {
			wg.Go(func() { add(fmt.Appendf(nil, "round %d entry %d", round, i)) })
		}
		wg.Go(func() { indices = append(indices, int64(add(rekorBody(t, alice.cert, nil)))) })
		wg.Wait()
		if _, err := log.Await(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		want += 150
		b.want()
		b.wantRead(want)
	}
	var found []int64
	for _, x := range b.follower.status().Found {
		found = append(found, x.Index)
	}
	if !slices.Equal(found, indices) {
		t.Errorf("found at %v, added at %v", found, indices)
	}
}
