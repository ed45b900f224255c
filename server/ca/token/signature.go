package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"math/big"
)

// hashes are those of the algorithms (RFC 7518 3.1) that sign a digest. EdDSA signs the input itself (RFC 8037 3.1).
var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
}

// signedBy says whether the token's signature (RFC 7515 5.2) is one by the key, which [fits] has found to be one for the
// token's algorithm: of that family, and for ECDSA on its curve. The header was read by [peek], strictly and once; reading
// it again here, as a library does, would be a second opinion of it.
func (t *unverified) signedBy(key crypto.PublicKey) bool {
	if k, ok := key.(ed25519.PublicKey); ok {
		return ed25519.Verify(k, []byte(t.input), t.signature)
	}
	hash := hashes[t.Algorithm]
	h := hash.New()
	h.Write([]byte(t.input))
	digest := h.Sum(nil)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if t.Algorithm[0] == 'P' {
			return rsa.VerifyPSS(k, hash, digest, t.signature, nil) == nil
		}
		return rsa.VerifyPKCS1v15(k, hash, digest, t.signature) == nil
	case *ecdsa.PublicKey:
		// RFC 7518 3.4: both numbers, each in as many octets as the curve's field has.
		size := (k.Params().BitSize + 7) / 8
		if len(t.signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(t.signature[:size]), new(big.Int).SetBytes(t.signature[size:])
		return ecdsa.Verify(k, digest, r, s)
	}
	return false
}
