package ctlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Verifier verifies the checkpoints of the log with an origin and a key (C2SP static-ct-api, "Checkpoints"), for whoever
// reads a log's directory without opening it.
func Verifier(origin string, public crypto.PublicKey) (note.Verifier, error) {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("CT log %s: a key of type %T, not ECDSA on P-256", origin, public)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("CT log %s: public key: %w", origin, err)
	}
	return newHeadSigner(Config{PublicKey: key, Tree: treelog.Config{Origin: origin}}, sha256.Sum256(spki)), nil
}
