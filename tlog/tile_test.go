package tlog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// dirReader reads tiles of a log that lies in a directory.
func dirReader(dir string) TileReader {
	return func(t Tile) ([]byte, error) { return os.ReadFile(filepath.Join(dir, filepath.FromSlash(t.Path()))) }
}

// memTiles makes the tiles of a tree out of its leaves, straight from the definition of tlog-tiles.
func memTiles(leaves [][]byte) TileReader {
	return func(t Tile) ([]byte, error) {
		span := 1
		for range t.Level {
			span *= TileWidth
		}
		var data []byte
		for i := range t.Width {
			start := (int(t.Index)*TileWidth + i) * span
			if start+span > len(leaves) {
				return nil, errors.New("no such tile")
			}
			h := refRoot(leaves[start : start+span])
			data = append(data, h[:]...)
		}
		return data, nil
	}
}

func TestTilesAgainstReference(t *testing.T) {
	testenv.Unwatched(t)
	all := refLeaves(70000)
	var remembered Subtrees // as the tree grows
	for _, n := range []int{1, 2, 3, 15, 255, 256, 257, 300, 511, 512, 1000, 65536, 70000} {
		d := all[:n]
		root, err := RootFromTiles(int64(n), memTiles(d))
		if err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		if want := refRoot(d); root != want {
			t.Fatalf("size %d: root %x, want %x", n, root, want)
		}
		for _, m := range []int{0, 1, n / 2, n - 2, n - 1} {
			if m < 0 || m >= n {
				continue
			}
			proof, err := ProofFromTiles(int64(m), int64(n), memTiles(d))
			if err != nil {
				t.Fatalf("leaf %d of %d: %v", m, n, err)
			}
			if !equalProof(proof, refPath(m, d)) {
				t.Errorf("leaf %d of %d: not the path of the definition", m, n)
			}
			for range 2 {
				if again, err := remembered.ProofFromTiles(int64(m), int64(n), memTiles(d)); err != nil || !equalProof(again, proof) {
					t.Errorf("leaf %d of %d: another path with what is remembered, %v", m, n, err)
				}
			}
		}
	}
	tiles := map[Tile][]byte{}
	read := func(tile Tile) ([]byte, error) {
		if tiles[tile] == nil {
			tiles[tile], _ = memTiles(all[:65536])(tile)
		}
		return tiles[tile], nil
	}
	for i := 0; i < 65536; i += 16 {
		if _, err := remembered.ProofFromTiles(int64(i), 65536, read); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(remembered.hashes); n > maxSubtrees {
		t.Errorf("%d subtrees are remembered", n)
	}
	if root, err := RootFromTiles(0, nil); err != nil || root != refRoot(nil) {
		t.Errorf("empty tree: %x, %v", root, err)
	}
}

func TestTilesRefused(t *testing.T) {
	short := func(t Tile) ([]byte, error) { return make([]byte, t.Width*32-1), nil }
	missing := func(Tile) ([]byte, error) { return nil, errors.New("not there") }
	for name, c := range map[string]struct {
		run  func() error
		want string
	}{
		"negative size":      {func() error { _, err := RootFromTiles(-1, short); return err }, "negative"},
		"short tile":         {func() error { _, err := RootFromTiles(5, short); return err }, "159 bytes, want 160"},
		"missing tile":       {func() error { _, err := RootFromTiles(300, missing); return err }, "tile/0/001.p/44: not there"},
		"huge, short tile":   {func() error { _, err := RootFromTiles(math.MaxInt64, short); return err }, "bytes, want"},
		"leaf outside":       {func() error { _, err := ProofFromTiles(5, 5, short); return err }, "outside the tree"},
		"negative leaf":      {func() error { _, err := ProofFromTiles(-1, 5, short); return err }, "outside the tree"},
		"proof, short tile":  {func() error { _, err := ProofFromTiles(0, math.MaxInt64, short); return err }, "bytes, want"},
		"entries, no length": {func() error { _, err := SplitEntries([]byte{0}, 1); return err }, "before the length"},
		"entries, cut":       {func() error { _, err := SplitEntries([]byte{0, 2, 7}, 1); return err }, "inside entry 0"},
		"entries, more":      {func() error { _, err := SplitEntries([]byte{0, 1, 7, 0}, 1); return err }, "after the last"},
		"entries, too many":  {func() error { _, err := SplitEntries(nil, 257); return err }, "width 257"},
		"entries, none":      {func() error { _, err := SplitEntries(nil, 0); return err }, "width 0"},
	} {
		if err := c.run(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestTilePath(t *testing.T) {
	for want, tile := range map[string]Tile{
		"tile/0/x001/x234/067":     {0, 1234067, 256},
		"tile/3/000.p/8":           {3, 0, 8},
		"tile/1/999":               {1, 999, 256},
		"tile/1/x001/000.p/255":    {1, 1000, 255},
		"tile/0/x001/x000/000.p/1": {0, 1000000, 1},
	} {
		if got := tile.Path(); got != want {
			t.Errorf("%+v: %s, want %s", tile, got, want)
		}
	}
	if got := (Tile{0, 1234067, 3}).EntriesPath(); got != "tile/entries/x001/x234/067.p/3" {
		t.Error(got)
	}
}

func TestTesseraLog(t *testing.T) {
	vkey, err := ParseVerifierKey(strings.TrimSpace(string(testenv.ReadVector(t, "tlog", "tessera", "vkey.txt"))))
	if err != nil {
		t.Fatal(err)
	}
	if vkey.Type != NoteEd25519 {
		t.Fatalf("type %d", vkey.Type)
	}
	id := binary.BigEndian.AppendUint32(nil, vkey.KeyHint)
	dir := testenv.Vectors(t, "tlog", "tessera", "log")
	names, err := filepath.Glob(filepath.Join(dir, "checkpoint*"))
	if err != nil || len(names) != 17 {
		t.Fatalf("%d checkpoints, want 17: %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCheckpoint(string(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := c.VerifySignature(vkey.Name, id, ed25519.PublicKey(vkey.Key)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		root, err := RootFromTiles(c.Size, dirReader(dir))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.VerifyHead(c.Size, root[:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checkTesseraEntries(t, dir, c)
	}
}

func checkTesseraEntries(t *testing.T, dir string, c *Checkpoint) {
	if c.Size == 0 {
		return
	}
	data, err := os.ReadFile(filepath.Join(dir, Tile{Width: int(c.Size)}.EntriesPath()))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := SplitEntries(data, int(c.Size))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		proof, err := ProofFromTiles(int64(i), c.Size, dirReader(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyInclusion(int64(i), c.Size, LeafHash(e), c.Root, proof); err != nil {
			t.Errorf("entry %d of %d: %v", i, c.Size, err)
		}
	}
}

func TestSunlightLog(t *testing.T) {
	var log struct {
		Description string `json:"description"`
		Key         []byte `json:"key"`
	}
	if err := json.Unmarshal(testenv.ReadVector(t, "tlog", "sunlight-skylight", "tree", "log.v3.json"), &log); err != nil {
		t.Fatal(err)
	}
	pub, err := algorithm.ParsePublicKey(log.Key)
	if err != nil {
		t.Fatal(err)
	}
	note := string(testenv.ReadVector(t, "tlog", "sunlight-skylight", "tree", "checkpoint"))
	c, err := ParseCheckpoint(note)
	if err != nil {
		t.Fatal(err)
	}
	at, err := c.VerifyTreeHead(log.Description, pub)
	if err != nil || at != 1767139200000 {
		t.Errorf("tree head: %d, %v", at, err)
	}
	other := *c
	other.Size++
	if _, err := other.VerifyTreeHead(log.Description, pub); !errors.Is(err, ErrCheckpointSignature) {
		t.Errorf("another size: %v", err)
	}
	other = *c
	other.Extensions = []string{"more"}
	if _, err := other.VerifyTreeHead(log.Description, pub); err == nil {
		t.Error("extension lines are not signed, yet accepted")
	}
	if _, err := c.VerifyTreeHead("rome2026h2.example.org", pub); !errors.Is(err, ErrCheckpointSignature) {
		t.Errorf("another origin: %v", err)
	}
	for i := range c.Signatures[0].Signature {
		bad := *c
		bad.Signatures = []NoteSignature{c.Signatures[0]}
		bad.Signatures[0].Signature = bytes.Clone(c.Signatures[0].Signature)
		bad.Signatures[0].Signature[i] ^= 1
		if _, err := bad.VerifyTreeHead(log.Description, pub); err == nil {
			t.Errorf("byte %d changed, accepted", i)
		}
		bad.Signatures[0].Signature = c.Signatures[0].Signature[:i]
		if _, err := bad.VerifyTreeHead(log.Description, pub); err == nil {
			t.Errorf("cut at %d, accepted", i)
		}
	}
}

// The tiles below sunlight-skylight/tree are placeholders; those of the mirror are real.
func TestSunlightMirror(t *testing.T) {
	dir := testenv.Vectors(t, "tlog", "sunlight-skylight", "witness", "mirror", "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706")
	data, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCheckpoint(string(data))
	if err != nil {
		t.Fatal(err)
	}
	if root, err := RootFromTiles(c.Size, dirReader(dir)); err != nil || root != c.Root {
		t.Errorf("root %x, %v, want %x", root, err, c.Root)
	}
}

func TestSunlightDataTile(t *testing.T) {
	for _, dir := range [][2]string{{"sunlight-navigli2025h2", "003.p/10"}} {
		data := testenv.ReadVector(t, "tlog", dir[0], "tile", "data", dir[1])
		hashes := testenv.ReadVector(t, "tlog", dir[0], "tile", "0", dir[1])
		n := 0
		for ; len(data) > 0; n++ {
			leaf, rest, err := cutTileLeaf(data)
			if err != nil {
				t.Fatalf("%v, leaf %d: %v", dir, n, err)
			}
			data = rest
			if h := LeafHash(leaf); !bytes.Equal(h[:], hashes[n*32:n*32+32]) {
				t.Errorf("%v, leaf %d: hash %x", dir, n, h)
			}
		}
		if n*32 != len(hashes) {
			t.Errorf("%v: %d leaves, %d hashes", dir, n, len(hashes)/32)
		}
	}
}

// cutTileLeaf cuts the MerkleTreeLeaf of RFC 6962 3.4 out of a data tile of a static CT log.
func cutTileLeaf(data []byte) (leaf, rest []byte, err error) {
	opaque := func(at, size int) int {
		n := 0
		for _, b := range data[at : at+size] {
			n = n<<8 | int(b)
		}
		return at + size + n
	}
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("cut short")
		}
	}()
	end, precert := 10, data[9] == 1
	if precert {
		end += 32
	}
	end = opaque(opaque(end, 3), 2)
	leaf = append([]byte{0, 0}, data[:end]...)
	if precert {
		end = opaque(end, 3)
	}
	return leaf, data[opaque(end, 2):], nil
}
