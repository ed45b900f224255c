package ctlog

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

type sth struct {
	Size      uint64 `json:"tree_size"`
	Timestamp uint64 `json:"timestamp"`
	Root      []byte `json:"sha256_root_hash"`
	Signature []byte `json:"tree_head_signature"`
}

type entryJSON struct {
	Leaf  []byte   `json:"leaf_input"`
	Extra []byte   `json:"extra_data"`
	Path  [][]byte `json:"audit_path"`
}

// The requests of RFC 6962 agree with the tiles and the checkpoint, for every entry and every size.
func TestLegacyReads(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	const n = 9
	w.fill(t, s, n-1)
	leaf := w.ca.leaf(t, nil)
	tls, err := s.AddChain(t.Context(), w.ca.chain(leaf))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.tree.Await(t.Context(), indexOf(t, tls)); err != nil {
		t.Fatal(err)
	}
	var head sth
	getJSON(t, s, &head, "/ct/v1/get-sth")
	checkHead(t, s, head)

	hashes := leafHashes(t, s, n)
	for size := uint64(1); size <= n; size++ {
		root := rootOf(t, s, size)
		for at := range size {
			var byHash struct {
				Index uint64   `json:"leaf_index"`
				Path  [][]byte `json:"audit_path"`
			}
			getJSON(t, s, &byHash, "/ct/v1/get-proof-by-hash?tree_size=%d&hash=%s", size, url.QueryEscape(base64.StdEncoding.EncodeToString(hashes[at][:])))
			var e entryJSON
			getJSON(t, s, &e, "/ct/v1/get-entry-and-proof?leaf_index=%d&tree_size=%d", at, size)
			if byHash.Index != at || tlog.LeafHash(e.Leaf) != hashes[at] {
				t.Fatalf("entry %d in %d: index %d", at, size, byHash.Index)
			}
			for _, path := range [][][]byte{byHash.Path, e.Path} {
				if err := tlog.VerifyInclusion(int64(at), int64(size), hashes[at], root, path); err != nil {
					t.Fatalf("entry %d in %d: %v", at, size, err)
				}
			}
		}
		var proof struct{ Consistency [][]byte }
		getJSON(t, s, &proof, "/ct/v1/get-sth-consistency?first=%d&second=%d", size, n)
		if err := tlog.VerifyConsistency(int64(size), n, root, rootOf(t, s, n), proof.Consistency); err != nil {
			t.Errorf("from %d to %d: %v", size, n, err)
		}
	}
	var proof struct{ Consistency [][]byte }
	getJSON(t, s, &proof, "/ct/v1/get-sth-consistency?first=0&second=%d", n)
	if proof.Consistency == nil || len(proof.Consistency) > 0 {
		t.Errorf("consistency with the empty tree: %x", proof.Consistency)
	}
	checkEntries(t, w, s, leaf)
}

// checkHead checks that the signed tree head is the checkpoint's.
func checkHead(t *testing.T, s *Server, head sth) {
	t.Helper()
	rw := get(s, "/checkpoint")
	opened, err := s.heads.open(rw.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if head.Size != opened.size || head.Timestamp != opened.timestamp || !bytes.Equal(head.Root, opened.root[:]) || !bytes.Equal(head.Signature, opened.signature) {
		t.Errorf("get-sth %+v, checkpoint %+v", head, opened)
	}
	if rw.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("checkpoint of type %s", rw.Header().Get("Content-Type"))
	}
	if millis(present) > head.Timestamp {
		t.Errorf("timestamp %d", head.Timestamp)
	}
}

// leafHashes reads the level 0 tile over HTTP.
func leafHashes(t *testing.T, s *Server, n int) (out [][tlog.HashSize]byte) {
	t.Helper()
	rw := get(s, "/tile/0/000.p/%d", n)
	if rw.Code != http.StatusOK || rw.Body.Len() != n*tlog.HashSize {
		t.Fatalf("tile: status %d, %d bytes", rw.Code, rw.Body.Len())
	}
	for data := rw.Body.Bytes(); len(data) > 0; data = data[tlog.HashSize:] {
		out = append(out, [tlog.HashSize]byte(data))
	}
	return out
}

func rootOf(t *testing.T, s *Server, size uint64) [tlog.HashSize]byte {
	t.Helper()
	root, err := tlog.RootFromTiles(int64(size), func(tile tlog.Tile) ([]byte, error) {
		return s.tree.Tile(uint64(tile.Level), uint64(tile.Index), tile.Width)
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// checkEntries checks get-entries against the data tile and the issuers, as a monitor would.
func checkEntries(t *testing.T, w *world, s *Server, last *x509.Certificate) {
	t.Helper()
	var all struct{ Entries []entryJSON }
	getJSON(t, s, &all, "/ct/v1/get-entries?start=0&end=100000")
	rw := get(s, "/tile/data/000.p/%d", len(all.Entries))
	tile, err := treelog.CT.Split(rw.Body.Bytes())
	if err != nil || len(tile) != len(all.Entries) || len(tile) != 9 {
		t.Fatalf("%d entries, %d in the tile: %v", len(all.Entries), len(tile), err)
	}
	for i, e := range all.Entries {
		hash, err := treelog.CT.LeafHash(tile[i])
		if err != nil || hash != tlog.LeafHash(e.Leaf) {
			t.Errorf("entry %d: leaf hash %x: %v", i, hash, err)
		}
		extra := cryptobyte.String(e.Extra)
		var der, chain cryptobyte.String
		if i < 8 {
			if !extra.ReadUint24LengthPrefixed(&der) {
				t.Fatalf("entry %d: no precertificate", i)
			}
			if cert, err := x509.ParseCertificate(der); err != nil || cert.CheckSignatureFrom(w.ca.cert) != nil {
				t.Errorf("entry %d: precertificate: %v", i, err)
			}
		} else if !bytes.Contains(e.Leaf, last.Raw) {
			t.Error("the last entry is not the certificate")
		}
		if !extra.ReadUint24LengthPrefixed(&chain) || !extra.Empty() {
			t.Fatalf("entry %d: malformed chain", i)
		}
		for _, want := range []*x509.Certificate{w.ca.cert, w.root.cert} {
			if !chain.ReadUint24LengthPrefixed(&der) || !bytes.Equal(der, want.Raw) {
				t.Errorf("entry %d: %q is not in the chain", i, want.Subject)
			}
		}
	}
	for _, cert := range []*x509.Certificate{w.ca.cert, w.root.cert} {
		sum := sha256.Sum256(cert.Raw)
		rw := get(s, "/issuer/%s", hex.EncodeToString(sum[:]))
		if rw.Code != http.StatusOK || !bytes.Equal(rw.Body.Bytes(), cert.Raw) || rw.Header().Get("Content-Type") != "application/pkix-cert" {
			t.Errorf("issuer %q: status %d", cert.Subject, rw.Code)
		}
	}
	getJSON(t, s, &all, "/ct/v1/get-entries?start=3&end=4")
	if len(all.Entries) != 2 {
		t.Errorf("%d entries of 3 to 4", len(all.Entries))
	}
}

// An answer ends where the bundle does that it begins in, and the next one goes on there.
func TestEntriesOfTwoBundles(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	var wg sync.WaitGroup
	for range tlog.TileWidth + 3 {
		precert, _ := w.ca.precert(t)
		wg.Go(func() {
			sct, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
			if err == nil {
				_, err = s.tree.Await(t.Context(), indexOf(t, sct))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range []struct{ start, end, want int }{{250, 258, 6}, {256, 1000, 3}, {257, 257, 1}, {0, 1000, 256}} {
		var got struct{ Entries []entryJSON }
		getJSON(t, s, &got, "/ct/v1/get-entries?start=%d&end=%d", c.start, c.end)
		if len(got.Entries) != c.want {
			t.Errorf("%d entries from %d to %d, want %d", len(got.Entries), c.start, c.end, c.want)
		}
		for i, e := range got.Entries {
			if hash, err := s.tree.LeafHash(uint64(c.start + i)); err != nil || hash != tlog.LeafHash(e.Leaf) {
				t.Errorf("entry %d is another one: %v", c.start+i, err)
			}
		}
	}
}

func TestLegacyRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 3)
	hash := url.QueryEscape(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	for _, query := range []string{
		"get-sth-consistency", "get-sth-consistency?first=1", "get-sth-consistency?first=2&second=1", "get-sth-consistency?first=1&second=4",
		"get-sth-consistency?first=-1&second=2", "get-sth-consistency?first=1&second=0x2", "get-sth-consistency?first=1&first=1&second=2",
		"get-sth-consistency?first=1&second=99999999999999999999",
		"get-proof-by-hash?tree_size=3", "get-proof-by-hash?tree_size=3&hash=%zz", "get-proof-by-hash?tree_size=3&hash=AAAA",
		"get-proof-by-hash?tree_size=4&hash=" + hash, "get-proof-by-hash?tree_size=3&hash=" + hash, "get-proof-by-hash?tree_size=0&hash=" + hash,
		"get-entries", "get-entries?start=3&end=3", "get-entries?start=1&end=0", "get-entries?start=&end=1", "get-entries?start=0&end=9223372036854775808",
		"get-entry-and-proof?leaf_index=3&tree_size=3", "get-entry-and-proof?leaf_index=0&tree_size=4", "get-entry-and-proof?leaf_index=0&tree_size=0",
	} {
		if rw := get(s, "/ct/v1/%s", query); rw.Code != http.StatusBadRequest || rw.Body.Len() == 0 {
			t.Errorf("%s: status %d: %s", query, rw.Code, rw.Body)
		}
	}
}

// The index of hashes finds every leaf, over runs and tails, and takes nothing for found that only begins alike.
func TestIndex(t *testing.T) {
	prefixes := make([]uint32, runLength)
	for i := range prefixes {
		prefixes[i] = uint32(i*2654435761) >> 7 << 7 // many that are equal
	}
	r := newRun(prefixes)
	for i := 1; i < runLength; i++ {
		if r.prefixes[i-1] > r.prefixes[i] || prefixes[r.places[i]] != r.prefixes[i] {
			t.Fatalf("place %d of the run is wrong", i)
		}
	}
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 4)
	hashes := leafHashes(t, s, 4)
	find := func(hash [32]byte, size, want uint64, found bool) {
		t.Helper()
		place, ok, err := s.index.find(hash, size)
		if err != nil || ok != found || ok && place != want {
			t.Errorf("%d, %v, %v", place, ok, err)
		}
	}
	find(hashes[1], 2, 1, true)
	find(hashes[3], 2, 0, false) // not among the first two
	find(hashes[3], 4, 3, true)
	alike := hashes[2]
	alike[31] ^= 1
	find(alike, 4, 0, false)
	// As if the entries known so far were a run.
	s.index.runs = []run{newRun(append(s.index.tail, make([]uint32, runLength-4)...))}
	find(hashes[2], 4, 2, true)
	find(alike, 4, 0, false)
}
