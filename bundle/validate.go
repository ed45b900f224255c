package bundle

import (
	"bytes"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/tlog"
)

// ValidateOptions relax the rules of [Bundle.Validate].
type ValidateOptions struct {
	// AllowCertificateChain accepts x509CertificateChain in bundles from v0.3 on,
	// where it is meant for certificates of private authorities only.
	AllowCertificateChain bool
}

// Validate checks the rules of the bundle's version (the comments in
// sigstore_bundle.proto, and what other clients refuse) and the limits of this
// package. It checks no signature and no certificate. Values are checked only
// as far as the formats inside are not read elsewhere.
//
//   - v0.1: each log entry has an inclusion promise; a proof needs a checkpoint
//   - v0.2 on: each log entry has an inclusion proof with a checkpoint
//   - v0.3 on: a single certificate; a chain only if opts allow it, and then
//     without self-signed certificates
//   - up to v0.2 a self-signed certificate may close the chain (old clients
//     wrote the root), where it is without effect, and stand nowhere else
//   - exactly one DSSE signature
//   - no log entry and no timestamp twice
func (b *Bundle) Validate(opts ValidateOptions) error {
	if b.Version < V01 || b.Version > Cosign {
		return malformed("", "bundle of unknown version")
	}
	if (b.Message == nil) == (b.Envelope == nil) {
		return malformed("", "exactly one of messageSignature and dsseEnvelope is required")
	}
	if err := b.validateKey(opts); err != nil {
		return err
	}
	if err := b.validateEntries(); err != nil {
		return err
	}
	if err := b.validateTimestamps(); err != nil {
		return err
	}
	if b.Message != nil {
		return b.Message.validate()
	}
	return b.Envelope.validate()
}

// chainPath is the path of a chain's certificates.
const chainPath = "verificationMaterial.x509CertificateChain.certificates"

func (b *Bundle) validateKey(opts ValidateOptions) error {
	const path = "verificationMaterial"
	m := &b.Material
	certs := m.Chain || len(m.Certificates) > 0
	switch {
	case m.KeyHint != nil && certs:
		return malformed(path, "both publicKey and a certificate are given")
	case m.NoKey && (b.Version != Cosign || m.KeyHint != nil || certs):
		return malformed(path, "marked as naming no key, which is for cosign's older formats only")
	case m.SCT != nil && b.Version != Cosign:
		return malformed(path, "a detached signed certificate timestamp is for cosign's older formats only")
	case m.KeyHint != nil || m.NoKey:
		return nil
	case m.Chain && b.Version == V03 && !opts.AllowCertificateChain:
		return malformed(path+".x509CertificateChain",
			"not allowed in bundle v0.3, which takes a single certificate; chains of a private authority must be allowed explicitly")
	case m.Chain && len(m.Certificates) == 0:
		return malformed(chainPath, "empty, the first must be the signing certificate")
	case len(m.Certificates) == 0:
		return malformed(path, "names neither a key nor a certificate")
	case len(m.Certificates) > MaxCertificates:
		return malformed(chainPath, strconv.Itoa(len(m.Certificates))+" certificates, more than the limit of "+strconv.Itoa(MaxCertificates))
	case len(m.Certificates) > 1 && !m.Chain:
		return malformed(path, "several certificates outside of a chain")
	}
	return b.validateCertificates()
}

func (b *Bundle) validateCertificates() error {
	certs := b.Material.Certificates
	for i := range certs {
		err := b.validateCertificate(i)
		switch {
		case err == nil:
		case b.Material.Chain:
			return within(at(chainPath, i), err)
		default:
			return within("verificationMaterial.certificate", err)
		}
	}
	return nil
}

func (b *Bundle) validateCertificate(i int) error {
	certs := b.Material.Certificates
	if err := size("rawBytes", certs[i]); err != nil {
		return err
	}
	if i == 0 {
		return nil // what the signing certificate must be is for identity to say
	}
	self, ok := selfIssued(certs[i])
	switch {
	case !ok:
		return malformed("rawBytes", "not a DER certificate")
	case self && b.Version == V03:
		return malformed("rawBytes", "self-signed: a root belongs in the trusted root, not into the bundle")
	case self && i < len(certs)-1:
		return malformed("rawBytes", "self-signed, with certificates after it: a chain goes from the signing certificate towards the root")
	}
	return nil
}

// selfIssued reports whether issuer and subject of a certificate are equal
// (RFC 5280 4.1.2). ok is false when der does not look like a certificate.
func selfIssued(der []byte) (self, ok bool) {
	var cert, tbs, serial, alg, issuer, validity, subject cryptobyte.String
	in := cryptobyte.String(der)
	ok = in.ReadASN1(&cert, asn1.SEQUENCE) && in.Empty() &&
		cert.ReadASN1(&tbs, asn1.SEQUENCE) &&
		tbs.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) &&
		tbs.ReadASN1(&serial, asn1.INTEGER) &&
		tbs.ReadASN1(&alg, asn1.SEQUENCE) &&
		tbs.ReadASN1(&issuer, asn1.SEQUENCE) &&
		tbs.ReadASN1(&validity, asn1.SEQUENCE) &&
		tbs.ReadASN1(&subject, asn1.SEQUENCE)
	return ok && bytes.Equal(issuer, subject), ok
}

func (b *Bundle) validateTimestamps() error {
	const path = "verificationMaterial.timestampVerificationData.rfc3161Timestamps"
	stamps := b.Material.Timestamps
	if len(stamps) > maxTimestamps {
		return malformed(path, strconv.Itoa(len(stamps))+" timestamps, more than the limit of "+strconv.Itoa(maxTimestamps))
	}
	for i, der := range stamps {
		if err := size("signedTimestamp", der); err != nil {
			return within(at(path, i), err)
		}
		for j := range i {
			if bytes.Equal(stamps[j], der) {
				return malformed(at(path, i), "the same as "+at("rfc3161Timestamps", j)+": one timestamp must not count twice")
			}
		}
	}
	return nil
}

func (b *Bundle) validateEntries() error {
	const path = "verificationMaterial.tlogEntries"
	entries := b.Material.Entries
	if len(entries) > maxEntries {
		return malformed(path, strconv.Itoa(len(entries))+" log entries, more than the limit of "+strconv.Itoa(maxEntries))
	}
	for i := range entries {
		if err := b.validateEntry(&entries[i]); err != nil {
			return within(at(path, i), err)
		}
		for j := range i {
			if entries[j].LogIndex == entries[i].LogIndex && bytes.Equal(entries[j].LogID, entries[i].LogID) {
				return malformed(at(path, i), "the same log and index as "+at("tlogEntries", j)+": one log entry must not count twice")
			}
		}
	}
	return nil
}

func (b *Bundle) validateEntry(e *tlog.Entry) error {
	switch {
	case e.LogIndex < 0:
		return malformed("logIndex", "negative")
	case len(e.LogID) == 0:
		return malformed("logId", "missing: it says which log's key to use")
	case len(e.LogID) > maxLogID:
		return malformed("logId.keyId", "longer than "+strconv.Itoa(maxLogID)+" bytes")
	case e.Kind == "" || e.Version == "":
		return malformed("kindVersion", "missing or incomplete")
	case e.IntegratedTime < 0:
		return malformed("integratedTime", "negative")
	case len(e.Body) == 0:
		return malformed("canonicalizedBody", "missing: without it the entry cannot be verified offline")
	}
	if e.Promise != nil {
		if err := size("inclusionPromise.signedEntryTimestamp", e.Promise); err != nil {
			return err
		}
	}
	switch {
	case b.Version == V01 && e.Promise == nil:
		return malformed("inclusionPromise", "missing, required in bundle v0.1")
	case (b.Version == V02 || b.Version == V03) && e.Proof == nil:
		return malformed("inclusionProof", "missing, required in bundle "+b.Version.String())
	case b.Version == Cosign && e.Promise == nil && e.Proof == nil:
		return malformed("", "neither inclusion promise nor inclusion proof")
	}
	if e.Proof == nil {
		return nil
	}
	return within("inclusionProof", validateProof(e.Proof))
}

// maxLogID leaves room beyond the 32 bytes of SHA-256 that all known logs use.
const maxLogID = 64

// hashBytes is the length of the tree hashes of every known log (SHA-256).
const hashBytes = 32

func validateProof(p *tlog.InclusionProof) error {
	switch {
	case p.TreeSize <= 0:
		return malformed("treeSize", "missing or not positive")
	case p.LogIndex < 0 || p.LogIndex >= p.TreeSize:
		return malformed("logIndex", "is "+strconv.FormatInt(p.LogIndex, 10)+", outside of a tree of size "+strconv.FormatInt(p.TreeSize, 10))
	case len(p.RootHash) != hashBytes:
		return malformed("rootHash", strconv.Itoa(len(p.RootHash))+" bytes, want 32")
	case len(p.Hashes) > maxHashes:
		return malformed("hashes", strconv.Itoa(len(p.Hashes))+" hashes, more than any tree is high")
	case p.Checkpoint == "":
		return malformed("checkpoint", "missing: without a signed tree head the inclusion proof proves nothing")
	case len(p.Checkpoint) > maxItem:
		return malformed("checkpoint.envelope", "longer than "+strconv.Itoa(maxItem)+" bytes")
	}
	for i, h := range p.Hashes {
		if len(h) != hashBytes {
			return malformed(at("hashes", i), strconv.Itoa(len(h))+" bytes, want 32")
		}
	}
	return nil
}

func (m *MessageSignature) validate() error {
	const path = "messageSignature"
	switch {
	case m.Hash == 0 && len(m.Digest) > 0:
		return malformed(path+".messageDigest.algorithm", "missing beside a digest")
	case m.Hash != 0 && len(m.Digest) != m.Hash.Size():
		return malformed(path+".messageDigest.digest", strconv.Itoa(len(m.Digest))+" bytes, want "+strconv.Itoa(m.Hash.Size())+" of "+m.Hash.String())
	}
	return size(path+".signature", m.Signature)
}

func (e *Envelope) validate() error {
	const path = "dsseEnvelope"
	switch {
	case e.PayloadType == "":
		return malformed(path+".payloadType", "missing or empty")
	case len(e.Payload) == 0:
		return malformed(path+".payload", "missing or empty")
	case len(e.Signatures) != 1:
		return malformed(path+".signatures", strconv.Itoa(len(e.Signatures))+" signatures, want exactly one")
	}
	return size(path+".signatures[0].sig", e.Signatures[0].Sig)
}

// size refuses an empty item and one beyond maxItem.
func size(path string, b []byte) error {
	switch {
	case len(b) == 0:
		return malformed(path, "missing or empty")
	case len(b) > maxItem:
		return malformed(path, strconv.Itoa(len(b))+" bytes, more than the limit of "+strconv.Itoa(maxItem))
	}
	return nil
}

// within puts prefix in front of err's path.
func within(prefix string, err error) error {
	e, ok := err.(*FormatError)
	switch {
	case !ok:
		return err
	case e.Path == "":
		e.Path = prefix
	default:
		e.Path = prefix + "." + e.Path
	}
	return e
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
