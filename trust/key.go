package trust

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
)

// Key is a managed key: one that signs without a certificate. It is not part of a trusted root's file.
type Key struct {
	Name    string            // for reports: the file name or reference the key was given by
	Public  crypto.PublicKey  // ECDSA, RSA or Ed25519
	Details algorithm.Details // the only algorithm allowed; Unspecified: those of [algorithm.Alternatives]
	Window  Window            // when signatures by the key count
	Hint    string            // what bundles name the key by: base64 of SHA-256 of its DER
}

// NewKey makes a key and computes its hint. The error says why the key, or the key with those details, cannot be used.
func NewKey(name string, pub crypto.PublicKey, details algorithm.Details, window Window) (Key, error) {
	k := Key{Name: name, Public: pub, Details: details, Window: window}
	if err := window.check(); err != nil {
		return Key{}, fmt.Errorf("key's window %w", err)
	}
	if details == algorithm.Unspecified {
		if _, err := algorithm.Default(pub); err != nil {
			return Key{}, err
		}
	} else {
		alg, err := algorithm.ForDetails(details)
		if err != nil {
			return Key{}, err
		}
		if err := alg.CheckKey(pub); err != nil {
			return Key{}, err
		}
	}
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(der)
	k.Hint = base64.StdEncoding.EncodeToString(sum[:])
	return k, nil
}

// Algorithms returns the algorithms that a signature by the key may have been made with, the likeliest first.
func (k *Key) Algorithms() ([]algorithm.Algorithm, error) {
	if k.Details != algorithm.Unspecified {
		alg, err := algorithm.ForDetails(k.Details)
		if err != nil {
			return nil, err
		}
		return []algorithm.Algorithm{alg}, nil
	}
	algs := algorithm.Alternatives(k.Public)
	if len(algs) == 0 {
		return nil, errors.New("no algorithm takes the key")
	}
	return algs, nil
}

// plain strips the package name that the standard library puts before its errors.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }
