package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base32"
	"fmt"
	"io"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/keys"
)

// signTimeout bounds one signature by a key store elsewhere: a request to one of the services does not wait longer either.
const signTimeout = 20 * time.Second

// foreign is a key that somebody else holds, as a crypto.Signer.
type foreign struct{ key keys.Signer }

func fromKeys(key keys.Signer) crypto.Signer { return &foreign{key} }

// Public returns the public key.
func (f *foreign) Public() crypto.PublicKey { return f.key.Public() }

// Sign signs a digest, or with crypto.Hash(0) and an Ed25519 key a whole message.
func (f *foreign) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	alg, err := algorithmFor(f.Public(), opts)
	if err != nil {
		return nil, err
	}
	m := algorithm.Bytes(digest)
	if h := opts.HashFunc(); h != 0 {
		m = algorithm.Precomputed(h, digest)
	}
	ctx, cancel := context.WithTimeout(context.Background(), signTimeout)
	defer cancel()
	return f.key.Sign(ctx, alg, m)
}

// algorithmFor returns the algorithm that crypto.Signer's arguments ask for.
func algorithmFor(pub crypto.PublicKey, opts crypto.SignerOpts) (algorithm.Algorithm, error) {
	_, pss := opts.(*rsa.PSSOptions)
	for _, a := range algorithm.Alternatives(pub) {
		switch pub.(type) {
		case ed25519.PublicKey:
			details := algorithm.Ed25519
			if opts.HashFunc() != 0 {
				details = algorithm.Ed25519ph
			}
			if a.Details() == details {
				return a, nil
			}
		case *rsa.PublicKey:
			if a.Hash() == opts.HashFunc() && isPSS(a) == pss {
				return a, nil
			}
		case *ecdsa.PublicKey:
			if a.Hash() == opts.HashFunc() {
				return a, nil
			}
		}
	}
	return algorithm.Algorithm{}, fmt.Errorf("the key store's key (%T) does not sign with %v", pub, opts.HashFunc())
}

func isPSS(a algorithm.Algorithm) bool {
	switch a.Details() {
	case algorithm.RSAPSSx2048SHA256, algorithm.RSAPSSx3072SHA256, algorithm.RSAPSSx4096SHA256:
		return true
	}
	return false
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see its documentation
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}
