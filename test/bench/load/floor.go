package load

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
)

// Signatures is a task with the signatures alone that a whole keyless signing costs the services, with an intermediate on
// P-256: token, proof of possession, precertificate, certificate, SCT, timestamp, log entry. What its processor time is on
// a machine, as busy as it is in a run, is the floor under what the services can take there.
func Signatures() (Task, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte("what is signed"))
	token, err := rsa.SignPKCS1v15(rand.Reader, issuer, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	proof, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	return func(context.Context, int) error {
		if err := rsa.VerifyPKCS1v15(&issuer.PublicKey, crypto.SHA256, digest[:], token); err != nil {
			return err
		}
		for range 2 { // the proof of possession, the log entry
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], proof) {
				return errors.New("a signature does not verify")
			}
		}
		for range 4 { // precertificate, certificate, SCT, timestamp
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
