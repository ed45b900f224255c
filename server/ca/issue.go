package ca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/ca/principal"
)

// grant is the outcome of all checks of a request: this identity may have a certificate for this key. It is made in one
// place, by [Server.authorize], and is good for one certificate.
type grant struct {
	principal *principal.Principal
	issuer    issuerconfig.Issuer
	spki      []byte
	spent     atomic.Bool
}

// issue makes the certificate of a grant and returns it in DER. Errors are the server's, never the client's.
func (s *Server) issue(ctx context.Context, g *grant) ([]byte, *draft, error) {
	if g.spent.Swap(true) {
		return nil, nil, errors.New("the grant was used before")
	}
	d, err := s.draft(g)
	if err != nil {
		return nil, nil, err
	}
	var last *extension
	if s.cfg.CT != nil {
		p := poison()
		last = &p
	}
	first, err := d.tbs(last)
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.check(first, last); err != nil {
		return nil, nil, err
	}
	if s.cfg.Journal != nil {
		if err := s.cfg.Journal.Record(ctx, d.intent()); err != nil {
			return nil, nil, unrecorded(err)
		}
	}
	if s.cfg.CT == nil {
		der, err := s.sign(d, first)
		return der, d, err
	}
	precert, err := s.sign(d, first)
	if err != nil {
		return nil, nil, err
	}
	der, err := s.withSCT(ctx, d, first, precert)
	return der, d, err
}

// draft chooses serial number and validity.
func (s *Server) draft(g *grant) (*draft, error) {
	now := s.cfg.Now().UTC().Truncate(time.Second)
	end := now.Add(Lifetime)
	for _, cert := range s.cfg.Chain {
		if now.Before(cert.NotBefore) || now.Add(minRemaining).After(cert.NotAfter) {
			return nil, &refusal{kind: unavailable, message: "the authority's certificates are not valid now"}
		}
		if end.After(cert.NotAfter) {
			end = cert.NotAfter
		}
	}
	serial, err := newSerial(s.cfg.Rand)
	if err != nil {
		return nil, err
	}
	return &draft{
		issuer: s.signer.cert, alg: s.signer.alg, serial: serial, notBefore: now, notAfter: end,
		spki: g.spki, san: g.principal.SAN, extensions: g.principal.Extensions,
	}, nil
}

func (d *draft) intent() Intent {
	who := sha256.Sum256([]byte(d.extensions[identity.NameIssuerV2] + "\x00" + d.san.Value))
	key := sha256.Sum256(d.spki)
	return Intent{
		Serial: d.serial.Text(16), Identity: hex.EncodeToString(who[:]), Key: hex.EncodeToString(key[:]), Time: d.notBefore,
	}
}

// placeholder stands where the signature will be, so that the rest can be read before there is one.
var placeholder = make([]byte, 8)

// check parses a certificate that is not signed yet and lints it.
func (d *draft) check(tbs []byte, last *extension) (*identity.Certificate, error) {
	der, err := assemble(tbs, d.alg, placeholder)
	if err != nil {
		return nil, err
	}
	cert, err := identity.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	var oid asn1.ObjectIdentifier
	if last != nil {
		oid = last.oid
	}
	return cert, lint(cert, d, oid)
}

// sign puts the authority's signature to a TBSCertificate, and checks that of a key store: a faulty one must not get through,
// whose signatures could even give the key away. (An ECDSA key in memory has nonces that a fault does not repeat, and was
// probed at the start.)
func (s *Server) sign(d *draft, tbs []byte) ([]byte, error) {
	signature, err := s.signer.sign(tbs)
	if err != nil {
		return nil, fmt.Errorf("issuing key: %w", err)
	}
	if _, inMemory := s.signer.key.(*ecdsa.PrivateKey); !inMemory {
		if err := s.signer.cert.CheckSignature(s.signer.x509(), tbs, signature); err != nil {
			return nil, fmt.Errorf("issuing key: the signature does not verify: %w", err)
		}
	}
	return assemble(tbs, d.alg, signature)
}

// withSCT logs the precertificate and makes the certificate with the log's promise in it.
func (s *Server) withSCT(ctx context.Context, d *draft, first, precert []byte) ([]byte, error) {
	logCtx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	chain := [][]byte{precert}
	for _, cert := range s.cfg.Chain {
		chain = append(chain, cert.Raw)
	}
	sct, signed, err := s.cfg.CT.AddPreChain(logCtx, chain)
	if err != nil {
		return nil, &refusal{kind: unavailable, message: "the precertificate could not be entered into the CT log, try again", cause: err}
	}
	last, err := sctList(sct)
	if err != nil {
		return nil, fmt.Errorf("CT log: %w", err)
	}
	second, err := d.tbs(&last)
	if err != nil {
		return nil, err
	}
	cert, err := d.check(second, &last)
	if err != nil {
		return nil, err
	}
	if err := compare(cert, first); err != nil {
		return nil, err
	}
	if err := s.checkSCT(cert, signed); err != nil {
		return nil, fmt.Errorf("CT log: %w", err)
	}
	return s.sign(d, second)
}

// compare checks, before the certificate is signed, that it is the precertificate but for the last extension (RFC 6962
// 3.1).
func compare(cert *identity.Certificate, precertTBS []byte) error {
	logged, err := without(precertTBS, oidPoison)
	if err != nil {
		return fmt.Errorf("precertificate: %w", err)
	}
	issued, err := without(cert.X509.RawTBSCertificate, oidSCTList)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if !bytes.Equal(logged, issued) {
		return errors.New("precertificate and certificate differ")
	}
	return nil
}

// checkSCT checks that the log signed exactly this certificate; signed is what a log in this process says that it signed.
func (s *Server) checkSCT(cert *identity.Certificate, signed []byte) error {
	scts, err := cert.EmbeddedSCTs()
	if err != nil {
		return fmt.Errorf("the timestamp cannot be read: %w", err)
	}
	if len(scts) != 1 {
		return fmt.Errorf("%d timestamps instead of one", len(scts))
	}
	sct := scts[0]
	if signed == nil {
		if _, err := cert.VerifyEmbeddedSCT(sct, s.signer.cert, s.cfg.CTKey); err != nil {
			return err
		}
	} else {
		demanded, err := cert.EmbeddedSCTInput(sct, s.signer.cert)
		if err != nil {
			return err
		}
		if sct.LogID != s.ctID || !bytes.Equal(demanded, signed) {
			return errors.New("the log has signed something else than this certificate")
		}
	}
	if gap := s.cfg.Now().Sub(sct.Timestamp).Abs(); gap > maxClockGap {
		return fmt.Errorf("its clock and this one are %s apart", gap.Truncate(time.Second))
	}
	return nil
}
