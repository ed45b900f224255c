package describe

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/tlog"
)

func (d *Describer) bundle(n *Node, data []byte) error {
	b, err := bundle.Decode(data)
	if err != nil {
		return err
	}
	n.add("Media type", b.MediaType)
	d.model(n, b)
	if err := b.Validate(bundle.ValidateOptions{AllowCertificateChain: true}); err != nil {
		n.problem(fmt.Errorf("the rules of bundle %s are broken: %w", b.Version, err))
	}
	return nil
}

func (d *Describer) blobBundle(n *Node, data []byte) error {
	b, err := bundle.DecodeCosignBlob(data, bundle.Detached{})
	if err != nil {
		return err
	}
	d.model(n, b)
	return nil
}

// rekorBundle describes an entry with its signed entry timestamp, which stands alone in cosign's older annotations.
func (d *Describer) rekorBundle(n *Node, data []byte) error {
	// The entry is read with the signature that it goes with; any will do, for nothing is compared.
	b, err := bundle.FromDetached(bundle.Detached{Signature: make([]byte, 64), RekorBundle: data})
	if err != nil {
		return err
	}
	for i := range b.Material.Entries {
		d.entry(n.add("Log entry", ""), &b.Material.Entries[i], nil)
	}
	return nil
}

// model describes a bundle of any format.
func (d *Describer) model(n *Node, b *bundle.Bundle) {
	content(n, b)
	m := &b.Material
	switch {
	case m.KeyHint != nil:
		n.add("Signed with", "a key that the verifier must have").some("Hint", *m.KeyHint)
	case len(m.Certificates) > 0:
		signed := n.add("Signed with", "a certificate")
		for i, der := range m.Certificates {
			below := signed
			if i > 0 {
				below = n.addf("Further certificate", "%d", i)
			}
			if err := d.certificate(below, der); err != nil {
				below.problem(err)
			}
		}
	default:
		n.add("Signed with", "a key or certificate that is not named here")
	}
	for i := range m.Entries {
		d.entry(n.addf("Log entry", "%d of %d", i+1, len(m.Entries)), &m.Entries[i], signatureOf(b))
	}
	if len(m.Entries) == 0 {
		n.add("Log entries", "none")
	}
	for i, der := range m.Timestamps {
		below := n.addf("Timestamp", "%d of %d", i+1, len(m.Timestamps))
		if err := d.token(below, der, signatureOf(b)); err != nil {
			below.problem(err)
		}
	}
	if len(m.Timestamps) == 0 {
		n.add("Timestamps", "none")
	}
	if len(m.SCT) > 0 {
		n.addf("Detached certificate transparency timestamp", "%d bytes", len(m.SCT))
	}
}

// signatureOf returns the bundle's signature, the first if there are several.
func signatureOf(b *bundle.Bundle) []byte {
	switch {
	case b.Message != nil:
		return b.Message.Signature
	case b.Envelope != nil && len(b.Envelope.Signatures) > 0:
		return b.Envelope.Signatures[0].Sig
	}
	return nil
}

func content(n *Node, b *bundle.Bundle) {
	if b.Envelope != nil {
		envelopeContent(n.add("Content", "DSSE envelope"), b.Envelope)
		return
	}
	if b.Message == nil {
		return
	}
	if b.Message.Payload != nil {
		below := n.add("Content", "signature over a document")
		if err := simpleSigning(below, b.Message.Payload); err != nil {
			below.problem(err)
		}
		signatureBytes(below, b.Message.Signature)
		return
	}
	below := n.add("Content", "signature over an artifact")
	if b.Message.Hash != 0 {
		below.add("Artifact, as stated", algorithm.HashName(b.Message.Hash)+":"+hex.EncodeToString(b.Message.Digest))
	}
	signatureBytes(below, b.Message.Signature)
}

// signatureBytes says what can be seen of a signature: its size, and whether it is in DER as ECDSA signatures are.
func signatureBytes(n *Node, sig []byte) {
	kind := ""
	switch {
	case bundle.Sniff(sig) == "signature" && len(sig) > 0 && sig[0] == 0x30:
		kind = ", ECDSA"
	case len(sig) == 64:
		kind = ", Ed25519 by its size"
	case len(sig) == 256 || len(sig) == 384 || len(sig) == 512:
		kind = ", RSA by its size"
	}
	n.addf("Signature", "%d bytes%s", len(sig), kind).add("SHA-256", fingerprint(sig))
}

func (d *Describer) envelope(n *Node, data []byte) error {
	e, err := bundle.ParseEnvelope(data)
	if err != nil {
		// In base64, as cosign's blob bundles and older signature files have it.
		b, detached := bundle.FromDetached(bundle.Detached{Signature: data})
		if detached != nil || b.Envelope == nil {
			return err
		}
		e = b.Envelope
	}
	envelopeContent(n, e)
	return nil
}

func envelopeContent(n *Node, e *bundle.Envelope) {
	n.add("Payload type", e.PayloadType)
	payload := n.addf("Payload", "%d bytes", len(e.Payload))
	payload.add("SHA-256", fingerprint(e.Payload))
	for _, s := range e.Signatures {
		signatureBytes(n, s.Sig)
		n.some("Key ID", s.KeyID)
	}
	if e.PayloadType == bundle.StatementPayloadType {
		below := n.add("Statement", "")
		if err := statement(below, e.Payload); err != nil {
			below.problem(err)
		}
	}
}

func statement(n *Node, data []byte) error {
	s, err := bundle.ParseStatement(data)
	if err != nil {
		return err
	}
	n.add("Type", s.Type)
	n.add("Predicate type", s.PredicateType)
	if s.Predicate == nil {
		n.add("Predicate", "none")
	} else {
		n.addf("Predicate", "%d bytes", len(s.Predicate))
	}
	for i := range s.Subjects {
		if i == maxListed {
			n.addf("Subjects", "%d more", len(s.Subjects)-i)
			break
		}
		subject := &s.Subjects[i]
		below := n.add("Subject", subject.Name)
		below.some("URI", subject.URI)
		for _, name := range slices.Sorted(maps.Keys(subject.Digests)) {
			below.add("Digest", name+":"+subject.Digests[name])
		}
		for _, name := range slices.Sorted(maps.Keys(subject.Annotations)) {
			below.add("Annotation "+name, string(subject.Annotations[name]))
		}
	}
	return nil
}

func simpleSigning(n *Node, data []byte) error {
	s, err := bundle.ParseSimpleSigning(data)
	if err != nil {
		return err
	}
	n.add("Type", s.Type)
	n.add("Image, as stated", s.DockerReference)
	n.add("Image digest", s.ManifestDigest)
	for _, name := range slices.Sorted(maps.Keys(s.Optional)) {
		n.add("Annotation "+name, string(s.Optional[name]))
	}
	return nil
}

// entry describes a log entry. sig is the signature that it comes with, nil if there is none to compare.
func (d *Describer) entry(n *Node, e *tlog.Entry, sig []byte) {
	n.add("Log", d.logName(e.LogID, false))
	n.addf("Index", "%d", e.LogIndex)
	n.add("Kind", e.Kind+" "+e.Version)
	if e.IntegratedTime != 0 {
		n.add("Integrated", when(time.Unix(e.IntegratedTime, 0)))
	}
	if len(e.Promise) > 0 {
		n.addf("Signed entry timestamp", "%d bytes", len(e.Promise))
	}
	if e.Proof != nil {
		proof(n.add("Inclusion proof", ""), e.Proof)
	}
	below := n.addf("Body", "%d bytes", len(e.Body))
	below.add("SHA-256", fingerprint(e.Body))
	if err := entryBody(below, e, sig); err != nil {
		below.problem(err)
	}
}

func proof(n *Node, p *tlog.InclusionProof) {
	n.addf("Index", "%d of %d", p.LogIndex, p.TreeSize)
	n.add("Root hash", hex.EncodeToString(p.RootHash))
	n.addf("Hashes", "%d", len(p.Hashes))
	if p.Checkpoint == "" {
		return
	}
	below := n.add("Checkpoint", "")
	c, err := tlog.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		below.problem(err)
		return
	}
	checkpoint(below, c)
}

func checkpoint(n *Node, c *tlog.Checkpoint) {
	n.add("Origin", c.Origin)
	n.addf("Tree size", "%d", c.Size)
	n.add("Root hash", hex.EncodeToString(c.Root[:]))
	for _, line := range c.Extensions {
		n.add("Extension", line)
	}
	for _, s := range c.Signatures {
		n.addf("Signed by", "%s, key %08x, %d bytes", s.Name, s.KeyHint, len(s.Signature))
	}
}

func entryBody(n *Node, e *tlog.Entry, sig []byte) error {
	body, err := tlog.ParseBody(e.Body)
	if err != nil {
		return err
	}
	if body.Kind != e.Kind || body.Version != e.Version {
		n.problem(fmt.Errorf("the body is %s %s, not what the entry states", body.Kind, body.Version))
	}
	for _, digest := range body.Digests {
		n.add("Digest of the "+body.Subject.String(), algorithm.HashName(digest.Hash)+":"+hex.EncodeToString(digest.Sum))
	}
	for i := range body.Signatures {
		logged := &body.Signatures[i]
		switch {
		case logged.Certificate != nil:
			n.add("Verifier", "a certificate").add("SHA-256", fingerprint(logged.Certificate))
		case logged.PublicKey != nil:
			n.add("Verifier", "a public key").add("SHA-256", fingerprint(logged.PublicKey))
		}
		switch {
		case logged.Signature == nil || sig == nil:
		case bytes.Equal(logged.Signature, sig):
			n.add("Signature", "the same as in this file")
		default:
			n.add("Signature", "another than in this file").add("SHA-256", fingerprint(logged.Signature))
		}
	}
	return nil
}

func (d *Describer) timestamp(n *Node, der []byte) error { return d.token(n, der, nil) }

func (d *Describer) detachedTimestamp(n *Node, data []byte) error {
	b, err := bundle.FromDetached(bundle.Detached{Signature: make([]byte, 64), Timestamp: data})
	if err != nil {
		return err
	}
	for _, der := range b.Material.Timestamps {
		if err := d.token(n, der, nil); err != nil {
			return err
		}
	}
	return nil
}

// token describes a timestamp. sig is what it should be over, nil if there is nothing to compare.
func (d *Describer) token(n *Node, der, sig []byte) error {
	t, err := timestamp.Parse(der)
	if err != nil {
		return err
	}
	n.add("Time", when(t.ClaimedTime))
	if t.Accuracy != 0 {
		n.add("Accuracy", t.Accuracy.String())
	}
	n.add("Imprint", algorithm.HashName(t.HashAlgorithm)+":"+hex.EncodeToString(t.Imprint))
	if sig != nil {
		n.add("Stamps", stamped(t, sig))
	}
	n.addf("Serial number", "%d", t.SerialNumber)
	n.add("Policy", t.Policy.String())
	if t.Nonce != nil {
		n.addf("Nonce", "%d", t.Nonce)
	}
	for i, c := range t.Certificates {
		below := n.addf("Embedded certificate", "%d of %d", i+1, len(t.Certificates))
		if err := d.certificate(below, c); err != nil {
			below.problem(err)
		}
	}
	return nil
}

// stamped says whether a timestamp's imprint is of the signature it comes with. That is a comparison, not a check of the
// authority.
func stamped(t *timestamp.Token, sig []byte) string {
	if Imprints(t, sig) {
		return "the signature in this file"
	}
	return "something else than the signature in this file"
}

// Imprints says whether a token's imprint is the hash of the message. The token's own signature is not looked at.
func Imprints(t *timestamp.Token, message []byte) bool {
	sum, err := algorithm.Bytes(message).Digest(crypto.Hash(t.HashAlgorithm), nil)
	return err == nil && bytes.Equal(sum, t.Imprint)
}
