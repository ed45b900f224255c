// Package ca is a certificate authority for code signing that speaks the API of Fulcio (sigstore/fulcio): whoever presents
// an identity token and proves to hold a key gets a certificate for ten minutes that names the identity.
//
// A request is answered in this order: the token is verified (package token) and becomes a name (package principal), the
// key is judged and its possession proven, the certificate is composed and checked against the profile, the intent is
// recorded, the precertificate is signed and logged, the certificate is signed and compared with it. What comes out of
// the checks is a grant, which is good for one certificate.
//
//	s, err := ca.New(ctx, ca.Config{Chain: chain, Key: key, CT: log, CTKey: logKey, Issuers: issuers})
//	for _, pattern := range s.Patterns() { mux.Handle(pattern, s) }
//
// REST (versions 2 and 1) and gRPC share one handler and so one port; gRPC needs HTTP/2.
package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/ca/token"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// Limits of the service.
const (
	// MaxBody bounds a request: a token of at most 32 KiB, a key or a CSR of a few. Fulcio takes 4 MiB and needs them no more.
	MaxBody = 256 << 10
	// Lifetime is how long a certificate is valid, as Fulcio's specification has it.
	Lifetime = 10 * time.Minute
	// minRemaining is how long the issuing certificate must still be valid: a client needs time to sign.
	minRemaining = time.Minute
	// logTimeout bounds the wait for the CT log.
	logTimeout = 30 * time.Second
	// maxClockGap is how far the CT log's clock may be from this one. A certificate whose timestamp lies outside of the
	// validity of the log's key in the trusted root would be refused by everybody, and nobody would know why.
	maxClockGap = 10 * time.Minute
)

// CT is a log for certificate transparency.
type CT interface {
	// AddPreChain logs a precertificate with its issuers up to the root, in DER, and returns the SCT in TLS encoding
	// (RFC 6962 3.2). A log in this process also returns the bytes that it has signed. They are compared with those that the
	// certificate demands, which binds the SCT to it without the arithmetic; where there are none, the signature is verified.
	AddPreChain(ctx context.Context, chain [][]byte) (sct, signed []byte, err error)
}

// Journal keeps a record of what is about to be signed.
type Journal interface {
	// Record returns once the intent is durable; without that, nothing is signed.
	Record(ctx context.Context, intent Intent) error
}

// Intent is a certificate that is about to be signed.
type Intent struct {
	Serial   string    `json:"serial"`   // hexadecimal
	Identity string    `json:"identity"` // SHA-256 of issuer, NUL, name; hexadecimal
	Key      string    `json:"key"`      // SHA-256 of the SubjectPublicKeyInfo, hexadecimal
	Time     time.Time `json:"time"`     // notBefore
}

// Config is what an authority is made of.
type Config struct {
	// Chain is the issuing certificate, then its issuers, a self-signed root last; at least two. Required.
	Chain []*x509.Certificate
	// Key is that of Chain[0]: ECDSA on P-256, P-384 or P-521, or RSA. Required.
	Key crypto.Signer
	// CT gives the timestamp that is embedded in each certificate, and CTKey is the key that it must verify under.
	// Required, unless WithoutCT says that there shall be none: clients refuse such certificates unless told otherwise.
	CT        CT
	CTKey     crypto.PublicKey
	WithoutCT bool
	// Issuers whose tokens are accepted. Required.
	Issuers *issuerconfig.Config
	// Keys of issuers that run in this process, by URL; they are not asked over the network.
	Keys map[string]token.KeySet
	// DialContext opens connections to issuers, and Proxy chooses a proxy for them; see [token.Config]. Nil: the usual.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	Proxy       func(*http.Request) (*url.URL, error)
	// Limit is asked once per verified token, with the identity that it is for; nil: no limit. Without ok, the client is
	// told to wait.
	Limit func(identity string) (ok bool, retryAfter time.Duration)
	// Journal records intents; nil: none.
	Journal Journal
	// Now is the clock; nil: the system's.
	Now func() time.Time
	// Rand is where serial numbers come from, and what the key is given to sign with; nil: the system's.
	Rand io.Reader
	// Log gets a line per certificate and per refusal, never a token; nil: silent.
	Log *slog.Logger
	// Metrics is where the service registers its metrics; nil: nowhere.
	Metrics prometheus.Registerer
}

// Server is the authority. It is an http.Handler.
type Server struct {
	cfg      Config
	tokens   *token.Verifier
	signer   *signer
	ctID     [sha256.Size]byte // the CT log's id (RFC 6962 3.2); of no use without one
	chainPEM []string          // of Chain
	grpc     *grpc.Server
	metrics  *metrics
	log      *slog.Logger
}

// New checks the configuration and returns the service. The key signs once, to see that it is the certificate's. A clock
// outside of the chain's validity is no error here, see [Server.Ready].
func New(_ context.Context, cfg Config) (*Server, error) {
	s, err := newServer(cfg)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return s, nil
}

func newServer(cfg Config) (*Server, error) {
	cfg.defaults()
	if err := checkChain(cfg.Chain); err != nil {
		return nil, err
	}
	signer, err := newSigner(cfg.Chain[0], cfg.Key, cfg.Rand)
	if err != nil {
		return nil, err
	}
	if err := checkCT(cfg); err != nil {
		return nil, err
	}
	tokens, err := token.New(token.Config{
		Issuers: cfg.Issuers, Keys: cfg.Keys, Now: cfg.Now, DialContext: cfg.DialContext, Proxy: cfg.Proxy,
	})
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s := &Server{cfg: cfg, tokens: tokens, signer: signer, metrics: m, log: cfg.Log}
	for _, cert := range cfg.Chain {
		s.chainPEM = append(s.chainPEM, encodePEM(cert.Raw))
	}
	if cfg.CT != nil {
		spki, err := algorithm.MarshalPublicKey(cfg.CTKey)
		if err != nil {
			return nil, fmt.Errorf("key of the CT log: %w", err)
		}
		s.ctID = sha256.Sum256(spki)
	}
	s.grpc = s.newGRPC()
	return s, nil
}

func (cfg *Config) defaults() {
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

// checkCT refuses an authority that would not log its certificates by accident.
func checkCT(cfg Config) error {
	switch {
	case cfg.CT == nil && !cfg.WithoutCT:
		return errors.New("no CT log is given: clients refuse certificates that are in none; say so if that is meant")
	case cfg.CT != nil && cfg.WithoutCT:
		return errors.New("a CT log is given, and that there shall be none")
	case cfg.CT == nil:
		return nil
	case cfg.CTKey == nil:
		return errors.New("the key of the CT log is missing, without which its timestamps cannot be checked")
	}
	if _, err := algorithm.Default(cfg.CTKey); err != nil {
		return fmt.Errorf("key of the CT log: %w", err)
	}
	return nil
}

// Ready says whether certificates can be issued now: the chain is valid, and the CT log is ready if it can tell.
func (s *Server) Ready(ctx context.Context) error {
	now := s.cfg.Now()
	for i, cert := range s.cfg.Chain {
		if now.Before(cert.NotBefore) || now.Add(minRemaining).After(cert.NotAfter) {
			return fmt.Errorf("certificate authority: certificate %d of the chain (%s) is valid from %s to %s, now it is %s", i,
				cert.Subject, cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	for _, part := range []any{s.cfg.CT, s.cfg.Journal} {
		if p, ok := part.(interface{ Ready(context.Context) error }); ok {
			if err := p.Ready(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends the service, after requests have ended.
func (s *Server) Close(context.Context) error {
	s.grpc.Stop()
	s.tokens.Close()
	return nil
}
