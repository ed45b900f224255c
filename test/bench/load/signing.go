package load

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/timestamp"
)

// Entries makes n different uploads for a log with Rekor's API v2, ahead of time.
func Entries(n int) ([][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	verifier := map[string]any{"publicKey": map[string]any{"rawBytes": spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
	bodies := make([][]byte, n)
	for i := range bodies {
		digest := sha256.Sum256([]byte(rand.Text()))
		if bodies[i], err = upload(key, digest[:], verifier); err != nil {
			return nil, err
		}
	}
	return bodies, nil
}

func upload(key *ecdsa.PrivateKey, digest []byte, verifier any) ([]byte, error) {
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	return uploadOf(digest, sig, verifier)
}

func uploadOf(digest, sig []byte, verifier any) ([]byte, error) {
	return json.Marshal(map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": digest, "signature": map[string]any{"content": sig, "verifier": verifier},
	}})
}

// Log is a task that enters the next upload.
func Log(c *http.Client, url string, bodies [][]byte) Task {
	return func(ctx context.Context, i int) error {
		if i >= len(bodies) {
			return errors.New("there are no more uploads")
		}
		_, err := Post(ctx, c, Request{url + "/api/v2/log/entries", "application/json", bodies[i], http.StatusCreated})
		return err
	}
}

// Stamp is a task that gets a timestamp; url is the full address.
func Stamp(c *http.Client, url string) (Task, error) {
	request, err := timestamp.NewRequest(algorithm.Bytes([]byte("what is stamped")), crypto.SHA256, rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := request.Marshal()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _ int) error {
		_, err := Post(ctx, c, Request{url, "application/timestamp-query", der, http.StatusOK})
		return err
	}, nil
}

// Services are what a whole signing calls.
type Services struct {
	CA, TSA, Log string // TSA: the full address
	Token, Email string
}

// Sign is a task that does a whole signing: certificate, signature, timestamp, log entry. Keys are made ahead of time.
func Sign(c *http.Client, s Services, keys []*ecdsa.PrivateKey) Task {
	return func(ctx context.Context, i int) error {
		key := keys[i%len(keys)]
		leaf, err := s.certificate(ctx, c, key)
		if err != nil {
			return err
		}
		digest := sha256.Sum256([]byte(rand.Text()))
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			return err
		}
		request, err := timestamp.NewRequest(algorithm.Bytes(sig), crypto.SHA256, rand.Reader)
		if err != nil {
			return err
		}
		der, err := request.Marshal()
		if err != nil {
			return err
		}
		if _, err := Post(ctx, c, Request{s.TSA, "application/timestamp-query", der, http.StatusOK}); err != nil {
			return err
		}
		body, err := uploadOf(digest[:], sig, map[string]any{
			"x509Certificate": map[string]any{"rawBytes": leaf}, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
		})
		if err != nil {
			return err
		}
		_, err = Post(ctx, c, Request{s.Log + "/api/v2/log/entries", "application/json", body, http.StatusCreated})
		return err
	}
}

func (s *Services) certificate(ctx context.Context, c *http.Client, key *ecdsa.PrivateKey) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(s.Email))
	proof, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"credentials": map[string]any{"oidcIdentityToken": s.Token},
		"publicKeyRequest": map[string]any{
			"publicKey":         map[string]any{"algorithm": "ECDSA", "content": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))},
			"proofOfPossession": proof,
		},
	})
	if err != nil {
		return nil, err
	}
	answer, err := Post(ctx, c, Request{s.CA + "/api/v2/signingCert", "application/json", body, http.StatusOK})
	if err != nil {
		return nil, err
	}
	type chain struct {
		Chain struct {
			Certificates []string `json:"certificates"`
		} `json:"chain"`
	}
	var said struct {
		Embedded chain `json:"signedCertificateEmbeddedSct"`
		Detached chain `json:"signedCertificateDetachedSct"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return nil, err
	}
	certificates := append(said.Embedded.Chain.Certificates, said.Detached.Chain.Certificates...)
	if len(certificates) == 0 {
		return nil, fmt.Errorf("no certificate in %.200s", answer)
	}
	block, _ := pem.Decode([]byte(certificates[0]))
	if block == nil {
		return nil, errors.New("a certificate that is no PEM")
	}
	return block.Bytes, nil
}
