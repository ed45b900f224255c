package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"
	"io"

	"filippo.io/edwards25519"

	"github.com/bulla-sign/bulla/algorithm"
)

// signEd25519 makes a pure Ed25519 signature (RFC 8032, 5.1.6) from two digests of the message, so that the message need
// not be in memory: r = H(prefix || Z || M), then k = H(R || A || M).
//
// Z is fresh randomness that the RFC does not have. The message is read twice, and a file can change in between: with
// the RFC's r, two signatures that share R but not k would give the private key away. With Z no R comes twice. Should
// the generator fail and Z repeat, what remains is the RFC's own scheme. Verifiers cannot see the difference.
func signEd25519(rand io.Reader, key ed25519.PrivateKey, m algorithm.Message) ([]byte, error) {
	h := sha512.Sum512(key.Seed())
	s, err := new(edwards25519.Scalar).SetBytesWithClamping(h[:32])
	if err != nil {
		return nil, err
	}
	// Z fills the hash's block together with the secret half, which keeps the message out of the secret's block.
	first := make([]byte, sha512.BlockSize)
	copy(first, h[32:])
	if _, err := io.ReadFull(rand, first[32:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %v", err)
	}
	r, err := scalarDigest(m, first)
	if err != nil {
		return nil, err
	}
	point := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	k, err := scalarDigest(m, append(point[:32:32], key.Public().(ed25519.PublicKey)...))
	if err != nil {
		return nil, err
	}
	return append(point, new(edwards25519.Scalar).MultiplyAdd(k, s, r).Bytes()...), nil
}

func scalarDigest(m algorithm.Message, prefix []byte) (*edwards25519.Scalar, error) {
	digest, err := m.Digest(crypto.SHA512, prefix)
	if err != nil {
		return nil, err
	}
	return new(edwards25519.Scalar).SetUniformBytes(digest)
}
