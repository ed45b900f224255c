package keys

import (
	"fmt"
	"sync"

	"github.com/bulla-sign/bulla/keys/internal/scrypt"
)

// Password opens and makes encrypted private keys under one password. To derive a key from a password takes a tenth of a
// second and 64 MiB, on purpose; a Password remembers what it has derived, and the keys that it makes have the salt of the
// last derivation, so that a server derives once for all its keys. (A salt keeps apart the keys of different people; whoever
// has guessed this password has all of them in any case.) It may be used by many at once.
type Password struct {
	password []byte

	mu      sync.Mutex
	derived map[derivation]*[boxKey]byte
	last    string // the salt of the last derivation with the parameters of new keys
}

// derivation is what a derived key depends on, beside the password.
type derivation struct {
	n    int
	salt string
}

// maxDerived bounds what a Password remembers. Nobody has so many keys with salts of their own in one place.
const maxDerived = 256

// NewPassword returns a Password, which keeps the bytes given.
func NewPassword(password []byte) *Password { return &Password{password: password} }

// Bytes returns the password.
func (p *Password) Bytes() []byte { return p.password }

// salt is what a new key gets: the one that is in use, or else the one given.
func (p *Password) salt(fresh []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != "" {
		return []byte(p.last)
	}
	return fresh
}

// box returns the key and the nonce of a file, whose parameters have been checked. One derivation at a time is enough to
// have in memory.
func (p *Password) box(k *encryptedKey) (*[boxKey]byte, *[boxNonce]byte, error) {
	if len(p.password) > maxPasswordBytes {
		return nil, nil, fmt.Errorf("the password is longer than %d bytes", maxPasswordBytes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	of := derivation{k.KDF.Params.N, string(k.KDF.Salt)}
	if p.derived[of] == nil {
		key, err := scrypt.Key(p.password, k.KDF.Salt, of.n, boxKey) // check has seen that r is 8 and p is 1
		if err != nil {
			return nil, nil, err
		}
		if p.derived == nil || len(p.derived) >= maxDerived {
			p.derived = make(map[derivation]*[boxKey]byte)
		}
		p.derived[of] = (*[boxKey]byte)(key)
	}
	if of.n == scryptN && len(of.salt) == saltSize {
		p.last = of.salt
	}
	return p.derived[of], (*[boxNonce]byte)(k.Cipher.Nonce), nil
}
