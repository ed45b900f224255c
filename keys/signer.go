package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
)

// Signer holds one private key, or knows who does.
type Signer interface {
	// Public returns an *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey.
	Public() crypto.PublicKey
	// Sign signs m and has checked the signature with the public key before it returns it. ECDSA signatures are ASN.1
	// DER, Ed25519 ones 64 bytes, Ed25519ph with the empty context, RSA PSS with a salt as long as the hash.
	Sign(ctx context.Context, alg algorithm.Algorithm, m algorithm.Message) ([]byte, error)
}

// FromSigner makes a Signer of a key in memory or of another library's key handle. Pure Ed25519 works with an
// [ed25519.PrivateKey] only: a handle would need the whole message at once.
func FromSigner(key crypto.Signer) (Signer, error) {
	if key == nil {
		return nil, errors.New("no private key given")
	}
	if err := checkPublic(key.Public()); err != nil {
		return nil, err
	}
	return &local{key: key, public: key.Public()}, nil
}

type local struct {
	key    crypto.Signer
	public crypto.PublicKey
}

func (l *local) Public() crypto.PublicKey { return l.public }

func (l *local) Sign(ctx context.Context, alg algorithm.Algorithm, m algorithm.Message) ([]byte, error) {
	if err := alg.CheckKey(l.public); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	memo := memoize(m)
	sig, err := l.sign(alg, memo)
	if err != nil {
		return nil, err
	}
	return checkOwn(alg, l.public, memo, sig)
}

func (l *local) sign(alg algorithm.Algorithm, m algorithm.Message) ([]byte, error) {
	if isPureEd25519(alg) {
		key, ok := l.key.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("a key of type %T signs digests, and pure Ed25519 has none; use Ed25519ph", l.key)
		}
		return signEd25519(rand.Reader, key, m)
	}
	digest, err := m.Digest(alg.Hash(), nil)
	if err != nil {
		return nil, err
	}
	var opts crypto.SignerOpts = alg.Hash()
	switch l.public.(type) {
	case ed25519.PublicKey:
		opts = &ed25519.Options{Hash: alg.Hash()}
	case *rsa.PublicKey:
		if strings.HasPrefix(alg.Name(), "rsa-sign-pss-") {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: alg.Hash()}
		}
	case *ecdsa.PublicKey:
	}
	sig, err := l.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %v", alg.Name(), err)
	}
	return sig, nil
}

// checkOwn returns sig if it verifies. A key store that answers with another key's signature, or a fault in the
// arithmetic (which can give an RSA or Ed25519 key away), must not get out.
func checkOwn(alg algorithm.Algorithm, pub crypto.PublicKey, m algorithm.Message, sig []byte) ([]byte, error) {
	if err := alg.Verify(pub, m, sig); err != nil {
		return nil, fmt.Errorf("the signature just made does not verify with its own public key: %w", err)
	}
	return sig, nil
}

func isPureEd25519(alg algorithm.Algorithm) bool { return alg.Name() == "ed25519" }

// Hint returns what bundles carry to name a public key: base64(SHA-256(PKIX DER)). It is empty for a key that has no
// such encoding.
func Hint(pub crypto.PublicKey) string {
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// memo remembers digests, so that a file is not read again to check the signature that was made over it.
type memo struct {
	message algorithm.Message
	digests map[string][]byte
}

func memoize(m algorithm.Message) *memo {
	return &memo{message: m, digests: make(map[string][]byte)}
}

func (m *memo) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	key := string(rune(h)) + string(prefix)
	if d, ok := m.digests[key]; ok {
		return d, nil
	}
	if m.message == nil {
		return nil, errors.New("no message given")
	}
	d, err := m.message.Digest(h, prefix)
	if err != nil {
		return nil, err
	}
	m.digests[key] = d
	return d, nil
}

// Open passes on what the message can do as an [algorithm.Opener].
func (m *memo) Open() (io.ReadCloser, error) {
	if o, ok := m.message.(algorithm.Opener); ok {
		return o.Open()
	}
	return nil, fmt.Errorf("the message cannot be read again: %w", errors.ErrUnsupported)
}
