package tlog

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/bits"
)

// HashSize is the size of every hash in a Merkle tree of this package: SHA-256, the only one that RFC 6962 and Rekor use.
const HashSize = sha256.Size

// maxProofHashes bounds a proof: an inclusion proof in a tree of at most 2^63-1 leaves has at most 63 hashes, a
// consistency proof one more.
const maxProofHashes = 64

// ErrProof is wrapped by the errors of well-formed proofs that do not prove what they should: the computed root differs
// from the expected one.
var ErrProof = errors.New("merkle proof does not match")

// LeafHash returns the hash of a leaf: SHA-256(0x00 || body) (RFC 6962 2.1).
func LeafHash(body []byte) [HashSize]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(body)
	return [HashSize]byte(h.Sum(nil))
}

// nodeHash is SHA-256(0x01 || left || right) (RFC 6962 2.1).
func nodeHash(left, right []byte) [HashSize]byte {
	var buf [1 + 2*HashSize]byte
	buf[0] = 1
	copy(buf[1:], left)
	copy(buf[1+HashSize:], right)
	return sha256.Sum256(buf[:])
}

// RootFromInclusion computes the root of a tree of size leaves that follows from the leaf hash at index (from 0) and its
// audit path, 32 bytes each from the leaf upwards (RFC 6962 2.1.1, RFC 9162 2.1.3.2). The path must have exactly the
// length that index and size call for.
func RootFromInclusion(index, size int64, leaf [HashSize]byte, proof [][]byte) ([HashSize]byte, error) {
	var none [HashSize]byte
	if size <= 0 {
		return none, fmt.Errorf("inclusion proof: tree size %d is not positive", size)
	}
	if index < 0 || index >= size {
		return none, fmt.Errorf("inclusion proof: index %d is outside the tree of size %d", index, size)
	}
	if err := checkHashes("inclusion proof", proof); err != nil {
		return none, err
	}
	fn, sn := uint64(index), uint64(size-1)
	// Siblings exist at every level below the one where the paths of leaf and last leaf meet; above it only to the left.
	inner := bits.Len64(fn ^ sn)
	if want := inner + bits.OnesCount64(fn>>inner); len(proof) != want {
		return none, fmt.Errorf("inclusion proof: has %d hashes, index %d in a tree of size %d needs %d",
			len(proof), index, size, want)
	}
	root := leaf
	for i, sibling := range proof[:inner] {
		if fn>>i&1 == 1 {
			root = nodeHash(sibling, root[:])
		} else {
			root = nodeHash(root[:], sibling)
		}
	}
	for _, left := range proof[inner:] {
		root = nodeHash(left, root[:])
	}
	return root, nil
}

// VerifyInclusion checks that the leaf hash stands at index (from 0) in the tree of size leaves with the given root
// (RFC 6962 2.1.1). It returns an error that wraps [ErrProof] when a well-formed proof leads to another root.
func VerifyInclusion(index, size int64, leaf, root [HashSize]byte, proof [][]byte) error {
	got, err := RootFromInclusion(index, size, leaf, proof)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got[:], root[:]) != 1 {
		return fmt.Errorf("inclusion proof: %w: index %d, tree size %d: computed root %x, want %x", ErrProof, index, size, got, root)
	}
	return nil
}

// VerifyConsistency checks that the tree of size2 leaves with root2 extends the tree of size1 leaves with root1
// (RFC 6962 2.1.2, RFC 9162 2.1.4.2). Equal sizes need equal roots and an empty proof. Size 0 is refused: the RFC defines
// no proof from the empty tree, which every tree extends, so accepting one would look like a check that never took place.
func VerifyConsistency(size1, size2 int64, root1, root2 [HashSize]byte, proof [][]byte) error {
	if size1 <= 0 {
		return fmt.Errorf("consistency proof: first size %d is not positive: nothing can be proved from the empty tree", size1)
	}
	if size2 < size1 {
		return fmt.Errorf("consistency proof: second size %d is smaller than the first, %d", size2, size1)
	}
	if err := checkHashes("consistency proof", proof); err != nil {
		return err
	}
	if size1 == size2 {
		if len(proof) != 0 {
			return fmt.Errorf("consistency proof: has %d hashes, equal sizes need none", len(proof))
		}
		if root1 != root2 {
			return fmt.Errorf("consistency proof: %w: equal sizes %d, roots %x and %x", ErrProof, size1, root1, root2)
		}
		return nil
	}
	got1, got2, err := rootsFromConsistency(uint64(size1), uint64(size2), root1, proof)
	if err != nil {
		return err
	}
	if got1 != root1 {
		return fmt.Errorf("consistency proof: %w: computed root %x for size %d, want %x", ErrProof, got1, size1, root1)
	}
	if got2 != root2 {
		return fmt.Errorf("consistency proof: %w: computed root %x for size %d, want %x", ErrProof, got2, size2, root2)
	}
	return nil
}

// rootsFromConsistency computes both roots that follow from a consistency proof, 0 < size1 < size2. The proof starts at
// the largest complete subtree that ends at size1; when that is the whole first tree, root1 itself is the start.
func rootsFromConsistency(size1, size2 uint64, root1 [HashSize]byte, proof [][]byte) (got1, got2 [HashSize]byte, err error) {
	shift := bits.TrailingZeros64(size1)
	fn, sn := (size1-1)>>shift, (size2-1)>>shift
	inner := bits.Len64(fn ^ sn)
	want := inner + bits.OnesCount64(fn>>inner)
	start := root1
	if fn != 0 {
		want++
	}
	if len(proof) != want {
		return got1, got2, fmt.Errorf("consistency proof: has %d hashes, sizes %d and %d need %d", len(proof), size1, size2, want)
	}
	if fn != 0 {
		start = [HashSize]byte(proof[0])
		proof = proof[1:]
	}
	got1, got2 = start, start
	for i, sibling := range proof[:inner] {
		if fn>>i&1 == 1 {
			got1, got2 = nodeHash(sibling, got1[:]), nodeHash(sibling, got2[:])
		} else {
			got2 = nodeHash(got2[:], sibling)
		}
	}
	for _, left := range proof[inner:] {
		got1, got2 = nodeHash(left, got1[:]), nodeHash(left, got2[:])
	}
	return got1, got2, nil
}

func checkHashes(what string, proof [][]byte) error {
	if len(proof) > maxProofHashes {
		return fmt.Errorf("%s: has %d hashes, at most %d are possible", what, len(proof), maxProofHashes)
	}
	for i, h := range proof {
		if len(h) != HashSize {
			return fmt.Errorf("%s: hash %d has %d bytes, want %d", what, i, len(h), HashSize)
		}
	}
	return nil
}

// Verify checks that the leaf hash is in the tree that the proof itself states (index, size, root). Whether a log vouches
// for that root is another question: see [Checkpoint.VerifyHead].
func (p *InclusionProof) Verify(leaf [HashSize]byte) error {
	if len(p.RootHash) != HashSize {
		return fmt.Errorf("inclusion proof: root hash has %d bytes, want %d", len(p.RootHash), HashSize)
	}
	return VerifyInclusion(p.LogIndex, p.TreeSize, leaf, [HashSize]byte(p.RootHash), p.Hashes)
}
