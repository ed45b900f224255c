package tsa

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/timestamp"
)

// DefaultPolicy is the policy of Sigstore's time-stamp authorities: 1.3.6.1.4.1.57264.2.
const DefaultPolicy = "1.3.6.1.4.1.57264.2"

// maxChain is the most certificates of an authority. Verifiers of trust roots accept no long ones; two or three are usual.
const maxChain = 8

// Config is what an authority is made of.
type Config struct {
	// Chain is the certificate that signs, then its issuers, a self-signed root last; at least two. The first has the
	// critical extended key usage timeStamping alone. Required.
	Chain []*x509.Certificate
	// Key is the key of Chain[0]: ECDSA on P-256, P-384 or P-521, or RSA of at least 2048 bits. Required.
	Key crypto.Signer
	// Policy is the policy under which tokens are made, and the only one that a request may name; nil stands for
	// [DefaultPolicy].
	Policy asn1.ObjectIdentifier
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Rand is where serial numbers come from, and what the key is given to sign with; nil is the system's.
	Rand io.Reader
	// Log is told of failures of the key and of the clock; nil is silent.
	Log *slog.Logger
	// Metrics is where the service registers its metrics; nil for none.
	Metrics prometheus.Registerer
}

// New checks the configuration and returns the service. The key signs once: a token over an empty message, which must
// verify as a client would verify it. A clock outside of the certificates' validity is no error of New, see
// [Server.Ready]: the other services of a process can still work.
func New(_ context.Context, cfg Config) (*Server, error) {
	cfg.defaults()
	if err := checkChain(cfg.Chain); err != nil {
		return nil, fmt.Errorf("time-stamp authority: %w", err)
	}
	w, err := newWriter(cfg)
	if err != nil {
		return nil, fmt.Errorf("time-stamp authority: %w", err)
	}
	c, err := newClock(cfg.Now, cfg.Chain)
	if err != nil {
		return nil, fmt.Errorf("time-stamp authority: %w", err)
	}
	if err := selfTest(w, cfg.Chain, time.Unix(c.start, 0).UTC()); err != nil {
		return nil, fmt.Errorf("time-stamp authority: a first token does not verify: %w", err)
	}
	m, err := newMetrics(cfg.Metrics, cfg.Chain)
	if err != nil {
		return nil, fmt.Errorf("time-stamp authority: metrics: %w", err)
	}
	return &Server{
		reader: reader{policy: cfg.Policy}, writer: w, clock: c, metrics: m, log: cfg.Log,
		chain: encodeChain(cfg.Chain),
	}, nil
}

func (cfg *Config) defaults() {
	if cfg.Policy == nil {
		cfg.Policy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
}

// checkChain checks that a chain has the shape that every client of Sigstore reads; whether it holds is found out by
// selfTest.
func checkChain(chain []*x509.Certificate) error {
	if len(chain) < 2 || len(chain) > maxChain {
		return fmt.Errorf("a chain of %d certificates, must be 2 to %d: the signer's first, a self-signed root last", len(chain), maxChain)
	}
	for i, cert := range chain {
		if cert == nil {
			return fmt.Errorf("certificate %d of the chain is missing", i)
		}
	}
	root := chain[len(chain)-1]
	if err := root.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("the last certificate of the chain, %q, is not self-signed: %w", root.Subject, err)
	}
	return nil
}

// selfTest makes a token and verifies it the way that clients do: this finds a key that is another certificate's, a
// certificate that may not stamp, and a path that does not hold.
func selfTest(w *writer, chain []*x509.Certificate, at time.Time) error {
	authority, err := timestamp.NewAuthority(chain)
	if err != nil {
		return err
	}
	if authority.Leaf == nil {
		return fmt.Errorf("the first certificate of the chain, %q, may not stamp: a critical extended key usage timeStamping, and it alone, is needed",
			chain[0].Subject)
	}
	nothing := sha256.Sum256(nil)
	empty, err := imprint(hashOIDs[crypto.SHA256], nothing[:])
	if err != nil {
		return err
	}
	der, err := w.reply(&request{hash: crypto.SHA256, imprint: empty}, at)
	if err != nil {
		return err
	}
	token, err := timestamp.Parse(der)
	if err != nil {
		return err
	}
	_, err = token.Verify(algorithm.Bytes(nil), authority)
	if errors.Is(err, timestamp.ErrOtherSigner) {
		return fmt.Errorf("the key is not that of %q: %w", chain[0].Subject, err)
	}
	return err
}
