//go:build linux

package crash

import (
	"bytes"
	"context"
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
	"net/url"
	"sync"
	"testing"
	"time"
)

// ledger is what clients have been promised.
type ledger struct {
	at           *place // where the server answers
	mu           sync.Mutex
	entries      []entry
	certificates []*x509.Certificate
	checkpoints  map[string][]string // of each log, by the path below which it lies, as clients have seen them
	refused      int                 // answers other than a promise
	lost         error               // why the last client that gave up did
}

// entry is an acknowledged entry of the transparency log.
type entry struct {
	index int64
	body  []byte
}

func newLedger(at *place) *ledger { return &ledger{at: at, checkpoints: map[string][]string{}} }

func (l *ledger) counts() (entries, certificates, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries), len(l.certificates), l.refused
}

func (l *ledger) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
}

func (l *ledger) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = err
}

// work has clients log entries and get certificates until each has had its number of answers or the server is gone.
func (l *ledger) work(ctx context.Context, t *testing.T, loggers, entries, certificates int) {
	t.Helper()
	var wg sync.WaitGroup
	for range loggers {
		wg.Go(func() {
			for range entries {
				if err := l.log(ctx); err != nil {
					l.lose(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range certificates {
			if err := l.certify(ctx); err != nil {
				l.lose(err)
				return
			}
		}
	})
	wg.Wait()
}

// callLimit bounds a request: a server that is being traced is slow.
const callLimit = time.Minute

// log uploads one entry. The error is that of a server that does not answer any more.
func (l *ledger) log(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(rand.Text()))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	code, answer, err := l.at.postJSON(ctx, "/api/v2/log/entries", "", map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": digest[:],
		"signature": map[string]any{"content": sig, "verifier": map[string]any{
			"publicKey": map[string]any{"rawBytes": spki}, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
		}},
	}})
	if err != nil {
		return err
	}
	if code != http.StatusCreated {
		l.refuse()
		return nil
	}
	var said struct {
		LogIndex int64  `json:"logIndex,string"`
		Body     []byte `json:"canonicalizedBody"`
		Proof    struct {
			Checkpoint struct {
				Envelope string `json:"envelope"`
			} `json:"checkpoint"`
		} `json:"inclusionProof"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("an answer 201 that is none: %w\n%s", err, answer)
	}
	if len(said.Body) == 0 || said.Proof.Checkpoint.Envelope == "" {
		return fmt.Errorf("an answer 201 without body or checkpoint: %s", answer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{said.LogIndex, said.Body})
	l.checkpoints[""] = append(l.checkpoints[""], said.Proof.Checkpoint.Envelope)
	return nil
}

const email = "alice@example.com"

// certify gets one certificate.
func (l *ledger) certify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	token, err := l.at.identityToken(ctx)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(email))
	proof, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	code, answer, err := l.at.postJSON(ctx, "/api/v2/signingCert", token, map[string]any{"publicKeyRequest": map[string]any{
		"publicKey":         map[string]any{"content": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))},
		"proofOfPossession": proof,
	}})
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		l.refuse()
		return nil
	}
	var said struct {
		Embedded struct {
			Chain struct {
				Certificates []string `json:"certificates"`
			} `json:"chain"`
		} `json:"signedCertificateEmbeddedSct"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || len(said.Embedded.Chain.Certificates) < 2 {
		return fmt.Errorf("an answer 200 without certificates: %s", answer)
	}
	block, _ := pem.Decode([]byte(said.Embedded.Chain.Certificates[0]))
	if block == nil {
		return errors.New("a certificate that is no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.certificates = append(l.certificates, cert)
	return nil
}

func (p *place) identityToken(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.address("/oidc/dev/token"), bytes.NewBufferString(url.Values{"email": {email}}.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var said struct {
		Token string `json:"id_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return "", err
	}
	return said.Token, nil
}
