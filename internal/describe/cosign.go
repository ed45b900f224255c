package describe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/tlog"
)

// Cosign writes a bundle in the lines of cosign 3.1's "bundle inspect", for scripts that read those. Values are escaped
// as everywhere here, which cosign does not do.
func (d *Describer) Cosign(w io.Writer, b *bundle.Bundle) error {
	root := &Node{}
	root.add("Bundle Media Type", b.MediaType)
	d.cosignMaterial(root.add("Verification Material", ""), b)
	cosignContent(root.add("Content", ""), b)
	for _, n := range root.Items {
		if err := n.cosignText(w, 0); err != nil {
			return err
		}
	}
	return nil
}

// cosignText writes a line as a list item; one without a value ends in a colon.
func (n *Node) cosignText(w io.Writer, depth int) error {
	line := fmt.Sprintf("%s- %s:", indent(depth), Printable(n.Label))
	if n.Value != "" {
		line += " " + Printable(n.Value)
	}
	if _, err := io.WriteString(w, line+"\n"); err != nil {
		return err
	}
	for _, below := range n.Items {
		if err := below.cosignText(w, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// warn adds one of cosign's warnings.
func (n *Node) warn(format string, args ...any) { n.addf("[!] WARNING", format, args...) }

// present is how cosign shows bytes.
func present(data []byte) string { return fmt.Sprintf("Present (%d bytes)", len(data)) }

func (d *Describer) cosignMaterial(n *Node, b *bundle.Bundle) {
	m := &b.Material
	switch {
	case m.KeyHint != nil:
		key := n.add("Content", "Public Key Identifier")
		if *m.KeyHint == "" {
			key.warn("Public key hint is empty")
		} else {
			key.add("Hint", hexOfBase64(*m.KeyHint))
		}
	case m.Chain:
		chain := n.add("Content", "X.509 Certificate Chain")
		if len(m.Certificates) == 0 {
			chain.warn("Certificate chain is empty")
		} else {
			chain.addf("Certificates", "%d", len(m.Certificates))
		}
		for i, der := range m.Certificates {
			d.cosignCertificate(chain.add(fmt.Sprintf("Certificate [%d]", i), ""), der)
		}
		if b.Version == bundle.V03 {
			chain.warn("v0.3 bundle should use single certificate, not chain")
		}
	case len(m.Certificates) == 1:
		cert := n.add("Content", "X.509 Certificate")
		d.cosignCertificate(cert, m.Certificates[0])
		if b.Version != bundle.V03 {
			cert.warn("v0.1/v0.2 bundle should use certificate chain, not single certificate")
		}
	}
	if len(m.Entries) > 0 {
		entries := n.addf("Transparency Log Entries", "%d", len(m.Entries))
		for i := range m.Entries {
			d.cosignEntry(entries.add(fmt.Sprintf("Entry [%d]", i), ""), &m.Entries[i], b.Version)
		}
	}
	if len(m.Timestamps) > 0 {
		stamps := n.add("Timestamp Verification Data", "")
		stamps.addf("RFC3161 Timestamps", "%d", len(m.Timestamps))
		for i, der := range m.Timestamps {
			cosignTimestamp(stamps.add(fmt.Sprintf("Timestamp [%d]", i), ""), der)
		}
	}
}

// hexOfBase64 shows a hint as cosign does: its bytes in hexadecimal, or itself if it is not base64.
func hexOfBase64(hint string) string {
	if raw, err := base64.StdEncoding.DecodeString(hint); err == nil {
		return hex.EncodeToString(raw)
	}
	return hint
}

func (d *Describer) cosignEntry(n *Node, e *tlog.Entry, version bundle.Version) {
	n.addf("Log Index", "%d", e.LogIndex)
	if url := d.logURL(e.LogID, false); url != "" {
		n.add("Log URL", url)
	} else {
		n.add("Log ID", hex.EncodeToString(e.LogID))
	}
	if e.Kind != "" || e.Version != "" {
		n.add("Kind", e.Kind)
		n.add("Version", e.Version)
	}
	if e.IntegratedTime == 0 {
		n.add("Integrated Time", "0 (Not set)")
	} else {
		n.add("Integrated Time", when(time.Unix(e.IntegratedTime, 0)))
	}
	if e.Promise != nil {
		n.add("Inclusion Promise", "").add("Signed Entry Timestamp", present(e.Promise))
	} else if version == bundle.V01 {
		n.warn("v0.1 bundle tlog entry MUST contain an inclusion promise")
	}
	if e.Proof != nil {
		cosignProof(n.add("Inclusion Proof", ""), e.Proof)
	}
	if len(e.Body) > 0 {
		n.add("Canonicalized Body", present(e.Body))
	}
	if e.Proof == nil && version != bundle.V01 {
		n.warn("%s bundle tlog entry MUST contain an inclusion proof", version)
	}
}

func cosignProof(n *Node, p *tlog.InclusionProof) {
	n.addf("Log Index", "%d", p.LogIndex)
	n.addf("Tree Size", "%d", p.TreeSize)
	n.addf("Hashes", "%d", len(p.Hashes))
	if p.Checkpoint == "" {
		return
	}
	below := n.add("Checkpoint", "")
	c, err := tlog.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		below.addf("Envelope", "Present (%d bytes)", len(p.Checkpoint))
		return
	}
	below.add("Origin", c.Origin)
	below.addf("Tree Size", "%d", c.Size)
	if len(c.Extensions) > 0 {
		other := below.addf("Other Content", "%d lines", len(c.Extensions))
		for i, line := range c.Extensions {
			other.add(fmt.Sprintf("[%d]", i), line)
		}
	}
	witnesses := below.addf("Witnesses", "%d", len(c.Signatures))
	for _, s := range c.Signatures {
		// cosign counts the signature without the four bytes of the key's hint.
		witnesses.addf(s.Name, "Signature Present (%d bytes)", len(s.Signature))
	}
}

func cosignTimestamp(n *Node, der []byte) {
	t, err := timestamp.Parse(der)
	if err != nil {
		return
	}
	n.add("Time", when(t.ClaimedTime))
	n.add("Hash Algorithm", crypto.Hash(t.HashAlgorithm).String())
	n.add("Message Imprint", present(t.Imprint))
	n.add("Serial Number", t.SerialNumber.String())
	n.add("Policy", t.Policy.String())
}

func cosignContent(n *Node, b *bundle.Bundle) {
	if m := b.Message; m != nil {
		n.add("Type", "Message Signature")
		if name, ok := algorithm.BundleHashName(m.Hash); ok {
			digest := n.add("Message Digest", "")
			digest.add("Algorithm", name)
			digest.add("Digest", present(m.Digest))
		}
		n.add("Signature", present(m.Signature))
		return
	}
	e := b.Envelope
	n.add("Type", "DSSE Envelope")
	n.add("Payload Type", e.PayloadType)
	n.add("Payload", present(e.Payload))
	if e.PayloadType == bundle.StatementPayloadType {
		cosignStatement(n, e.Payload)
	}
	sigs := n.addf("Signatures", "%d", len(e.Signatures))
	if len(e.Signatures) != 1 {
		n.warn("DSSE envelope MUST contain only one signature")
	}
	for i, s := range e.Signatures {
		below := sigs.add(fmt.Sprintf("Signature [%d]", i), "")
		below.add("Signature", present(s.Sig))
		if s.KeyID == "" {
			continue
		}
		below.add("Key Hint", hexOfBase64(s.KeyID))
		if hint := b.Material.KeyHint; hint != nil && *hint != s.KeyID {
			below.warn("Key hint mismatch with Verification Material")
		}
	}
}

func cosignStatement(n *Node, payload []byte) {
	s, err := bundle.ParseStatement(payload)
	if err != nil {
		return
	}
	below := n.add("Payload Content (in-toto)", "")
	below.add("Predicate Type", s.PredicateType)
	subjects := below.addf("Subjects", "%d", len(s.Subjects))
	for i := range s.Subjects {
		if s.Subjects[i].Name != "" {
			subjects.add("Name", s.Subjects[i].Name)
		}
	}
}

// cosignKey describes a certificate's public key.
func cosignKey(n *Node, pub crypto.PublicKey) {
	short := func(raw []byte) string {
		s := hex.EncodeToString(raw)
		return fmt.Sprintf("%s...%s (%d bytes)", s[:8], s[len(s)-8:], len(raw))
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		n.add("Algorithm", "ECDSA")
		n.add("Curve", k.Curve.Params().Name)
		if raw, err := k.Bytes(); err == nil {
			n.add("Public Key", short(raw))
		}
	case ed25519.PublicKey:
		n.add("Algorithm", "Ed25519")
		n.add("Public Key", short(k))
	case *rsa.PublicKey:
		n.add("Algorithm", "RSA")
		n.addf("Key Size", "%d bits", k.N.BitLen())
	default:
		n.add("Algorithm", "Unknown")
	}
}

func joined(list []string) string { return strings.Join(list, ", ") }
