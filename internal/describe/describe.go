package describe

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// maxDocuments bounds the lines of a JSON Lines file that are described. Files of attestations have a few; those beyond
// are counted.
const maxDocuments = 1000

// ErrUnknown says that a file is none of the formats that are known.
var ErrUnknown = errors.New("this is no evidence in a format that is known")

// Describer describes files. Root, which may be nil, gives names to the logs and authorities that it knows: an entry that
// names a known log's ID need not be of that log.
type Describer struct {
	Root *trust.Root
}

// formats are the describers by what [bundle.Sniff] returns.
func (d *Describer) formats() map[bundle.Format]func(*Node, []byte) error {
	return map[bundle.Format]func(*Node, []byte) error{
		"sigstore bundle":        d.bundle,
		"cosign blob bundle":     d.blobBundle,
		"dsse envelope":          d.envelope,
		"in-toto statement":      statement,
		"simple signing payload": simpleSigning,
		"rekor bundle":           d.rekorBundle,
		"cosign timestamp":       d.detachedTimestamp,
		"timestamp response":     d.timestamp,
		"timestamp token":        d.timestamp,
		"signature":              signature,
		"certificate":            d.certificates,
		"public key":             publicKey,
		"private key":            privateKey,
		"trusted root":           trustedRoot,
		"signing config":         signingConfig,
		"client trust config":    clientConfig,
		"oci manifest":           manifest,
		"tuf metadata":           tufMetadata,
		formatCheckpoint:         checkpointFile,
	}
}

// formatCheckpoint is text, which Sniff leaves to others.
const formatCheckpoint bundle.Format = "checkpoint"

// File describes the content of a file. A file of a known format that is malformed is described as far as it goes, with
// a problem among its items; one of no known format gives an error that wraps [ErrUnknown].
func (d *Describer) File(data []byte) (*Document, error) {
	format := sniff(data)
	if format == "json lines" {
		return d.lines(data), nil
	}
	describe, ok := d.formats()[format]
	if !ok {
		return nil, fmt.Errorf("%w (%d bytes)", ErrUnknown, len(data))
	}
	root := &Node{}
	err := describe(root, data)
	if err != nil {
		root.problem(err)
	}
	return &Document{Format: string(format), Items: root.Items, malformed: err}, nil
}

func sniff(data []byte) bundle.Format {
	if format := bundle.Sniff(data); format != "" {
		return format
	}
	if bytes.Contains(data, []byte("\n\n\u2014 ")) { // the first signature line of a signed note
		return formatCheckpoint
	}
	return ""
}

// lines describes each line of a JSON Lines file.
func (d *Describer) lines(data []byte) *Document {
	out := &Document{Format: "json lines"}
	count := 0
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if count++; count > maxDocuments {
			continue
		}
		doc := &Document{Format: "unknown"}
		if bundle.Sniff(line) != "json lines" {
			if known, err := d.File(line); err == nil {
				doc = known
			}
		}
		if out.malformed == nil && doc.malformed != nil {
			out.malformed = fmt.Errorf("document %d: %w", count, doc.malformed)
		}
		out.Documents = append(out.Documents, doc)
	}
	head := &Node{Label: "Documents", Value: fmt.Sprint(count)}
	if count > maxDocuments {
		head.Value += fmt.Sprintf(", of which the first %d are shown", maxDocuments)
	}
	out.Items = []*Node{head}
	return out
}

func (d *Describer) certificates(n *Node, data []byte) error {
	text := bytes.TrimSpace(data)
	if decoded, err := base64.StdEncoding.Strict().DecodeString(string(text)); err == nil {
		text = decoded
	}
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		return d.certificate(n.add("Certificate", ""), data)
	}
	count := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if count++; count > bundle.MaxCertificates {
			return fmt.Errorf("there are more than %d blocks; the others are not shown", bundle.MaxCertificates)
		}
		if block.Type != "CERTIFICATE" {
			n.add("PEM block", block.Type)
			continue
		}
		cert := n.addf("Certificate", "%d", count)
		if err := d.certificate(cert, block.Bytes); err != nil {
			cert.problem(err)
		}
	}
	return nil
}

func (d *Describer) certificate(n *Node, der []byte) error {
	c, err := identity.ParseCertificate(der)
	if err != nil {
		return err
	}
	for _, line := range c.Describe() {
		n.add(line.Label, line.Value)
	}
	n.add("Public key", keyName(c.X509.PublicKey))
	n.some("Usage", usages(c.X509))
	n.some("Authority", d.authorityName(c.X509.AuthorityKeyId))
	n.add("SHA-256", fingerprint(der))
	scts, err := c.EmbeddedSCTs()
	if err != nil {
		return err
	}
	for _, s := range scts {
		below := n.add("Certificate transparency timestamp", when(s.Timestamp))
		below.add("Log", d.logName(s.LogID[:], true))
	}
	return nil
}

func publicKey(n *Node, data []byte) error {
	pub, err := algorithm.ParsePublicKeyPEM(data)
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		pub, err = algorithm.ParsePublicKey(data)
	}
	if err != nil {
		return err
	}
	n.add("Public key", keyName(pub))
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return err
	}
	n.add("SHA-256", fingerprint(der))
	n.add("Hint in bundles", base64Sum(der))
	if alg, err := algorithm.Default(pub); err != nil {
		n.problem(err)
	} else {
		n.add("Signs with", alg.Name())
	}
	return nil
}

// privateKey says as little as there is to say without the password, and never more than the kind.
func privateKey(n *Node, data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil {
		return errors.New("no PEM block could be read")
	}
	n.add("Private key", strings.ToLower(block.Type))
	encrypted := strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != ""
	n.addf("Encrypted", "%t", encrypted)
	if !encrypted {
		n.problem(errors.New("whoever can read this file can sign with the key"))
	}
	return nil
}

func checkpointFile(n *Node, data []byte) error {
	c, err := tlog.ParseCheckpoint(string(data))
	if err != nil {
		return err
	}
	checkpoint(n, c)
	return nil
}

// signature describes a signature that stands alone.
func signature(n *Node, data []byte) error {
	raw := data
	if decoded, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(data))); err == nil {
		raw = decoded
		n.add("Encoding", "base64")
	}
	signatureBytes(n, raw)
	return nil
}

// manifest describes an OCI manifest or index as far as it concerns evidence.
func manifest(n *Node, data []byte) error {
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int64  `json:"size"`
	}
	var m struct {
		MediaType    string            `json:"mediaType"`
		ArtifactType string            `json:"artifactType"`
		Config       *descriptor       `json:"config"`
		Layers       []descriptor      `json:"layers"`
		Manifests    []descriptor      `json:"manifests"`
		Subject      *descriptor       `json:"subject"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	n.some("Media type", m.MediaType)
	n.some("Artifact type", m.ArtifactType)
	n.add("SHA-256", fingerprint(data))
	show := func(label string, list ...descriptor) {
		for i, d := range list {
			if i == maxListed {
				n.addf(label, "%d more", len(list)-i)
				return
			}
			n.addf(label, "%s, %s, %d bytes", d.Digest, d.MediaType, d.Size)
		}
	}
	if m.Subject != nil {
		show("Attached to", *m.Subject)
	}
	if m.Config != nil {
		show("Config", *m.Config)
	}
	show("Layer", m.Layers...)
	show("Manifest", m.Manifests...)
	annotations(n, m.Annotations)
	return nil
}

// tufMetadata describes the signed part of TUF metadata.
func tufMetadata(n *Node, data []byte) error {
	var m struct {
		Signed struct {
			Type    string `json:"_type"`
			Version int64  `json:"version"`
			Expires string `json:"expires"`
		} `json:"signed"`
		Signatures []struct {
			KeyID string `json:"keyid"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	n.add("Role", m.Signed.Type)
	n.addf("Version", "%d", m.Signed.Version)
	n.add("Expires", m.Signed.Expires)
	n.addf("Signatures", "%d", len(m.Signatures))
	return nil
}
