package tlog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// The literal definitions of RFC 6962 2.1, as slow as they are plain.

func refSplit(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func refRoot(d [][]byte) [32]byte {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, d[0]...))
	}
	k := refSplit(len(d))
	l, r := refRoot(d[:k]), refRoot(d[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func refPath(m int, d [][]byte) [][]byte {
	if len(d) == 1 {
		return nil
	}
	k := refSplit(len(d))
	if m < k {
		h := refRoot(d[k:])
		return append(refPath(m, d[:k]), h[:])
	}
	h := refRoot(d[:k])
	return append(refPath(m-k, d[k:]), h[:])
}

func refProof(m int, d [][]byte) [][]byte { return refSubproof(m, d, true) }

func refSubproof(m int, d [][]byte, whole bool) [][]byte {
	n := len(d)
	if m == n {
		if whole {
			return nil
		}
		h := refRoot(d)
		return [][]byte{h[:]}
	}
	k := refSplit(n)
	if m <= k {
		h := refRoot(d[k:])
		return append(refSubproof(m, d[:k], whole), h[:])
	}
	h := refRoot(d[:k])
	return append(refSubproof(m-k, d[k:], false), h[:])
}

func refLeaves(n int) [][]byte {
	var d [][]byte
	for i := range n {
		d = append(d, binary.BigEndian.AppendUint32([]byte("leaf"), uint32(i)))
	}
	return d
}

func clone(proof [][]byte) [][]byte {
	var c [][]byte
	for _, h := range proof {
		c = append(c, append([]byte(nil), h...))
	}
	return c
}

// spoiled returns variations of a proof, none of which proves anything.
func spoiled(proof [][]byte) map[string][][]byte {
	zero := make([]byte, 32)
	bad := map[string][][]byte{
		"one more":        append(clone(proof), zero),
		"one more before": append([][]byte{zero}, clone(proof)...),
	}
	for i := range proof {
		flipped := clone(proof)
		flipped[i][31] ^= 1
		bad["flipped"+string(rune('0'+i))] = flipped
	}
	if len(proof) > 0 {
		bad["truncated"] = clone(proof)[1:]
		bad["cut"] = clone(proof)[:len(proof)-1]
		short := clone(proof)
		short[0] = short[0][:31]
		bad["short hash"] = short
	}
	return bad
}

func TestInclusionAgainstReference(t *testing.T) {
	all := refLeaves(70)
	for n := 1; n <= len(all); n++ {
		d := all[:n]
		root := refRoot(d)
		for m := range n {
			proof, leaf := refPath(m, d), LeafHash(d[m])
			if err := VerifyInclusion(int64(m), int64(n), leaf, root, proof); err != nil {
				t.Fatalf("leaf %d of %d: %v", m, n, err)
			}
			for name, bad := range spoiled(proof) {
				if VerifyInclusion(int64(m), int64(n), leaf, root, bad) == nil {
					t.Errorf("leaf %d of %d: %s proof accepted", m, n, name)
				}
			}
			for _, other := range []int{m - 1, m + 1, m ^ 2, n} {
				if other != m && VerifyInclusion(int64(other), int64(n), leaf, root, proof) == nil {
					t.Errorf("leaf %d of %d accepted at %d", m, n, other)
				}
			}
			wrong := root
			wrong[0] ^= 1
			if err := VerifyInclusion(int64(m), int64(n), leaf, wrong, proof); !errors.Is(err, ErrProof) {
				t.Errorf("leaf %d of %d, wrong root: %v", m, n, err)
			}
			if VerifyInclusion(int64(m), int64(n), LeafHash([]byte("no")), root, proof) == nil {
				t.Errorf("leaf %d of %d: another leaf accepted", m, n)
			}
		}
	}
}

func TestConsistencyAgainstReference(t *testing.T) {
	all := refLeaves(40)
	for n := 1; n <= len(all); n++ {
		root2 := refRoot(all[:n])
		for m := 1; m <= n; m++ {
			root1, proof := refRoot(all[:m]), refProof(m, all[:n])
			a, b := int64(m), int64(n)
			if err := VerifyConsistency(a, b, root1, root2, proof); err != nil {
				t.Fatalf("%d to %d: %v", m, n, err)
			}
			for name, bad := range spoiled(proof) {
				if VerifyConsistency(a, b, root1, root2, bad) == nil {
					t.Errorf("%d to %d: %s proof accepted", m, n, name)
				}
			}
			wrong1, wrong2 := root1, root2
			wrong1[5] ^= 4
			wrong2[5] ^= 4
			if err := VerifyConsistency(a, b, wrong1, root2, proof); !errors.Is(err, ErrProof) {
				t.Errorf("%d to %d, wrong first root: %v", m, n, err)
			}
			if err := VerifyConsistency(a, b, root1, wrong2, proof); !errors.Is(err, ErrProof) {
				t.Errorf("%d to %d, wrong second root: %v", m, n, err)
			}
			if m != n && VerifyConsistency(b, a, root2, root1, proof) == nil {
				t.Errorf("%d to %d: accepted backwards", m, n)
			}
		}
	}
}

func TestProofBounds(t *testing.T) {
	var zero [32]byte
	many := make([][]byte, 65)
	for i := range many {
		many[i] = zero[:]
	}
	for _, c := range []struct {
		name        string
		index, size int64
		proof       [][]byte
		want        string
	}{
		{"negative index", -1, 1, nil, "outside the tree"},
		{"index at size", 5, 5, nil, "outside the tree"},
		{"empty tree", 0, 0, nil, "not positive"},
		{"negative size", 0, -3, nil, "not positive"},
		{"too many hashes", 0, math.MaxInt64, many, "at most 64"},
		{"largest tree", math.MaxInt64 - 1, math.MaxInt64, nil, "needs 62"},
		{"largest tree, first leaf", 0, math.MaxInt64, many[:62], "needs 63"},
		{"hash of 31 bytes", 0, 2, [][]byte{zero[:31]}, "31 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := RootFromInclusion(c.index, c.size, zero, c.proof)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := RootFromInclusion(0, math.MaxInt64, zero, many[:63]); err != nil {
		t.Errorf("largest tree: %v", err)
	}
	if err := VerifyConsistency(1, math.MaxInt64, zero, zero, many[:63]); !errors.Is(err, ErrProof) {
		t.Errorf("largest tree: %v", err)
	}
	if err := VerifyConsistency(0, 0, zero, zero, nil); err == nil || !strings.Contains(err.Error(), "empty tree") {
		t.Errorf("from the empty tree: %v", err)
	}
	if err := (&InclusionProof{TreeSize: 1, RootHash: zero[:16]}).Verify(zero); err == nil || !strings.Contains(err.Error(), "16 bytes") {
		t.Errorf("short root: %v", err)
	}
	if err := (&InclusionProof{TreeSize: 1, RootHash: zero[:]}).Verify(zero); err != nil {
		t.Errorf("single leaf: %v", err)
	}
}

type proofVector struct {
	LeafIdx, TreeSize, Size1, Size2 uint64
	Root, LeafHash, Root1, Root2    []byte
	Proof                           [][]byte
	WantErr                         bool
}

// hash32 makes a hash of any bytes, so that vectors with hashes of another length ("don't care 1") still differ or agree.
// What no [32]byte can hold becomes a hash that nothing else has.
func hash32(b []byte) [32]byte {
	if len(b) == 32 {
		return [32]byte(b)
	}
	return sha256.Sum256(append([]byte("not a hash: "), b...))
}

func readProofVectors(t *testing.T, kind string, check func(v proofVector) error) int {
	t.Helper()
	n := 0
	root := testenv.Vectors(t, "merkle", "testdata", kind)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v proofVector
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		n++
		if err := check(v); (err != nil) != v.WantErr {
			t.Errorf("%s: error %v, want one: %v", strings.TrimPrefix(path, root), err, v.WantErr)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMerkleVectors(t *testing.T) {
	n := readProofVectors(t, "inclusion", func(v proofVector) error {
		if len(v.LeafHash) != 32 {
			return errors.New("the leaf hash is no hash: the type refuses it")
		}
		return VerifyInclusion(int64(v.LeafIdx), int64(v.TreeSize), hash32(v.LeafHash), hash32(v.Root), v.Proof)
	})
	n += readProofVectors(t, "consistency", func(v proofVector) error {
		return VerifyConsistency(int64(v.Size1), int64(v.Size2), hash32(v.Root1), hash32(v.Root2), v.Proof)
	})
	if n != 196 {
		t.Errorf("read %d vectors, want 196", n)
	}
}

// FuzzInclusion compares the iterative verifier with the definition: for every tree, leaf and position it accepts the
// proof exactly when the definition yields it.
func FuzzInclusion(f *testing.F) {
	f.Add(uint8(1), uint8(0), uint8(0), []byte{})
	f.Add(uint8(7), uint8(6), uint8(6), []byte{1})
	f.Add(uint8(64), uint8(33), uint8(32), []byte{0, 0, 4})
	f.Fuzz(func(t *testing.T, size, index, claimed uint8, edit []byte) {
		n := int(size%80) + 1
		m, c := int(index)%n, int64(claimed)
		d := refLeaves(n)
		proof, same := refPath(m, d), int(claimed) == m
		// Each byte of the edit flips a bit of one hash, or drops the last one.
		for i, b := range edit {
			switch {
			case len(proof) == 0:
			case b == 0:
				proof, same = proof[:len(proof)-1], false
			default:
				proof = clone(proof)
				proof[i%len(proof)][0] ^= b
				same = false
			}
		}
		if !same && len(edit) > 0 {
			// Edits may cancel out: believe the definition.
			same = int(claimed) == m && equalProof(proof, refPath(m, d))
		}
		err := VerifyInclusion(c, int64(n), LeafHash(d[m]), refRoot(d), proof)
		if (err == nil) != same {
			t.Fatalf("leaf %d of %d at %d: error %v, want accepted: %v", m, n, c, err, same)
		}
	})
}

func equalProof(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if string(a[i]) != string(b[i]) {
			return false
		}
	}
	return true
}
