package ctlog

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera/ctonly"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Server is an open log. All methods may be called at once by many.
type Server struct {
	prefix string
	key    crypto.Signer
	id     [32]byte // SHA-256 of the public key: the log's ID
	now    func() time.Time
	log    *slog.Logger

	tree    *treelog.Log
	heads   *headSigner
	issuers *issuers
	index   *index
	recent  *recent
	metrics *metrics
	accept  atomic.Pointer[acceptor]
}

// SetRoots replaces the accepted roots. Chains that are being checked are still checked against the old ones.
func (s *Server) SetRoots(roots []*x509.Certificate) error {
	a, err := newAcceptor(roots)
	if err != nil {
		return err
	}
	s.accept.Store(a)
	return nil
}

// AddChain logs a certificate with its chain, DER, leaf first, and returns the SCT in TLS encoding (RFC 6962 3.2). It
// returns once the entry is durable.
func (s *Server) AddChain(ctx context.Context, chain [][]byte) ([]byte, error) {
	ts, err := s.add(ctx, chain, certificate)
	if err != nil {
		return nil, err
	}
	return ts.tls()
}

// AddPreChain is AddChain for a precertificate (RFC 6962 3.1). The SCT is for the certificate that has the list of SCTs in
// the place of the poison. The second value is what its signature is over, as this process has just signed it; nil for a
// precertificate that had been logged before.
func (s *Server) AddPreChain(ctx context.Context, chain [][]byte) (timestamp, signed []byte, err error) {
	return s.addPreChain(ctx, chain, precertificate)
}

// AddIssued is AddPreChain for an authority in the same process, about a precertificate that it has just signed itself: that
// signature, and no other check, is left out.
func (s *Server) AddIssued(ctx context.Context, chain [][]byte) (timestamp, signed []byte, err error) {
	return s.addPreChain(ctx, chain, issued)
}

func (s *Server) addPreChain(ctx context.Context, chain [][]byte, as kind) (timestamp, signed []byte, err error) {
	ts, err := s.add(ctx, chain, as)
	if err != nil {
		return nil, nil, err
	}
	timestamp, err = ts.tls()
	return timestamp, ts.signed, err
}

// add logs a chain and counts the outcome.
func (s *Server) add(ctx context.Context, chain [][]byte, as kind) (*sct, error) {
	ts, outcome, err := s.submit(ctx, chain, as)
	s.metrics.count(as != certificate, outcome)
	if outcome == outcomeFailed {
		s.log.ErrorContext(ctx, "a submission failed", "log", s.heads.name, "error", err)
	}
	return ts, err
}

func (s *Server) submit(ctx context.Context, chain [][]byte, as kind) (*sct, string, error) {
	if err := s.tree.Refusal(); err != nil {
		return nil, outcomeUnavailable, err
	}
	now := s.now()
	sub, err := s.accept.Load().check(chain, as, now)
	if err != nil {
		return nil, outcomeRefused, err
	}
	fingerprint := sha256.Sum256(sub.leaf.Raw)
	if ts := s.recent.get(fingerprint); ts != nil {
		return ts, outcomeRepeated, nil
	}
	if err := s.issuers.store(sub.issuers); err != nil {
		return nil, outcomeFailed, err
	}
	entry := sub.entry(millis(now))
	s.heads.observe(entry.Timestamp)
	index, err := s.tree.AddCT(ctx, entry)
	if err != nil {
		if unavailable(err) {
			return nil, outcomeUnavailable, err
		}
		return nil, outcomeFailed, err
	}
	ts := &sct{logID: s.id, timestamp: entry.Timestamp, extensions: leafIndex(index)}
	// What an SCT is over (RFC 6962 3.2: version, signature_type certificate_timestamp, the entry) has the same bytes as the
	// leaf (3.4: version, leaf_type timestamped_entry, the entry).
	signed := entry.MerkleTreeLeaf(index)
	if ts.signature, err = digitallySign(s.key, signed); err != nil {
		return nil, outcomeFailed, err
	}
	s.recent.put(fingerprint, ts)
	fresh := *ts
	fresh.signed = signed
	return &fresh, outcomeLogged, nil
}

// entry is what goes into the tree.
func (s *submission) entry(timestamp uint64) *ctonly.Entry {
	e := &ctonly.Entry{Timestamp: timestamp, Certificate: s.leaf.Raw, FingerprintsChain: s.issuers.fingerprints}
	if s.tbs != nil {
		e.IsPrecert, e.IssuerKeyHash = true, s.issuers.issuerKey[:]
		e.Certificate, e.Precertificate = s.tbs, s.leaf.Raw
	}
	return e
}

// unavailable tells what is nobody's fault: the log takes no entries now, or the submitter has left.
func unavailable(err error) bool {
	for _, target := range []error{
		treelog.ErrPushback, treelog.ErrFull, treelog.ErrFrozen, treelog.ErrForked, treelog.ErrFailed, treelog.ErrClosed,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// Freeze ends the log: it takes no more chains, publishes what it has, and is only read from now on, for good.
func (s *Server) Freeze(ctx context.Context) error { return s.tree.Freeze(ctx) }

// Ready returns nil when the log can do what it is there for: take chains and publish them, or, frozen, be read.
func (s *Server) Ready(ctx context.Context) error { return s.tree.Ready(ctx) }

// Close publishes what was taken, as far as the context allows, and lets go of the directory.
func (s *Server) Close(ctx context.Context) error {
	s.metrics.unregister()
	return s.tree.Close(ctx)
}
