package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/verify"
)

// printCosign prints a verified image as cosign does, telling the truth about the log.
func (o *verifyImages) printCosign(c *cli.Call, img *oci.Image, items []oci.Item, r *verify.Report) error {
	logged := false
	for i := range r.Candidates {
		logged = logged || (r.Candidates[i].Verified && len(r.Candidates[i].Logs) > 0)
	}
	c.Infof("\nVerification for %s --\nThe following checks were performed on each of these signatures:", report.Clean(img.Ref))
	if len(o.annotations) > 0 && o.checkClaims {
		c.Infof("  - The specified annotations were verified.")
	}
	if o.checkClaims {
		c.Infof("  - The cosign claims were validated")
	}
	if logged {
		c.Infof("  - Existence of the claims in the transparency log was verified offline")
	}
	if o.Key != "" {
		c.Infof("  - The signatures were verified against the specified public key")
	} else {
		c.Infof("  - The code-signing certificate was verified using trusted certificate authority certificates")
	}
	tellWarnings(c, r)
	if o.attestations {
		return printEnvelopes(c, items, r)
	}
	return o.printClaims(c, img, items, r)
}

// tellWarnings repeats the warnings of what was verified, where the report itself is not printed.
func tellWarnings(c *cli.Call, r *verify.Report) {
	for i := range r.Candidates {
		if !r.Candidates[i].Verified {
			continue
		}
		for _, w := range r.Candidates[i].Warnings {
			c.Warnf("%s", report.Clean(w))
		}
	}
}

// printClaims prints what was signed: for older signatures the signed document itself, for statements the same shape.
func (o *verifyImages) printClaims(c *cli.Call, img *oci.Image, items []oci.Item, r *verify.Report) error {
	text := o.output.String() == "text"
	var docs [][]byte
	for i := range r.Candidates {
		if !r.Candidates[i].Verified {
			continue
		}
		doc, err := claimDocument(img, items[i].Bundle, &r.Candidates[i], !text)
		if err != nil {
			return err
		}
		docs = append(docs, doc)
		if text {
			tellSigner(c, r.Candidates[i].Signer)
		}
	}
	var err error
	if text {
		_, err = fmt.Fprintf(c.Out, "%s\n", bytes.Join(docs, []byte("\n")))
	} else {
		_, err = fmt.Fprintf(c.Out, "\n[%s]\n", bytes.Join(docs, []byte(",")))
	}
	return err
}

// tellSigner says whom a certificate names, in the lines that cosign has for it.
func tellSigner(c *cli.Call, s *verify.Signer) {
	if s == nil || len(s.Subjects) == 0 {
		return
	}
	c.Infof("Certificate subject: %s\nCertificate issuer URL: %s", report.Clean(strings.Join(s.Subjects, ",")), report.Clean(s.Issuer))
	for _, claim := range [][2]string{
		{"Trigger", "githubWorkflowTrigger"},
		{"SHA", "githubWorkflowSha"},
		{"Name", "githubWorkflowName"},
		{"Repository", "githubWorkflowRepository"},
		{"Ref", "githubWorkflowRef"},
	} {
		if value := s.Extensions[claim[1]]; value != "" {
			c.Infof("GitHub Workflow %s: %s", claim[0], report.Clean(value))
		}
	}
}

// simpleDocument is the shape in which cosign prints every image signature.
type simpleDocument struct {
	Critical struct {
		Identity struct {
			DockerReference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// claimDocument returns one signature as cosign prints it; with evidence, also who signed and what the log said, for
// which scripts ask. cosign does so for the older formats only.
func claimDocument(img *oci.Image, b *bundle.Bundle, c *verify.CandidateReport, evidence bool) ([]byte, error) {
	var doc simpleDocument
	doc.Critical.Identity.DockerReference = img.Ref
	doc.Critical.Image.Digest = img.Digest
	doc.Critical.Type = c.PredicateType
	optional := map[string]any{}
	if b.Envelope == nil {
		signed, err := bundle.ParseSimpleSigning(c.Payload)
		if err != nil {
			return nil, err
		}
		if !evidence {
			return c.Payload, nil
		}
		doc.Critical.Identity.DockerReference = signed.DockerReference
		doc.Critical.Image.Digest = signed.ManifestDigest
		doc.Critical.Type = signed.Type
		for name, raw := range signed.Optional {
			optional[name] = json.RawMessage(raw)
		}
	} else {
		for name, value := range c.Annotations {
			optional[name] = value
		}
	}
	if evidence {
		addSigner(optional, c.Signer)
		addEvidence(optional, b)
	}
	if len(optional) > 0 || b.Envelope != nil {
		doc.Optional = optional
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(doc)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}

// addSigner adds whom the certificate names, under cosign's names: the claims .1 to .6 also by OID.
func addSigner(optional map[string]any, s *verify.Signer) {
	if s == nil || len(s.Subjects) == 0 {
		return
	}
	optional["Subject"] = strings.Join(s.Subjects, ",")
	optional["Issuer"] = s.Issuer
	for _, e := range identity.Extensions() {
		value, ok := s.Extensions[e.Name]
		if !ok {
			continue
		}
		if e.Number <= 6 {
			optional[fmt.Sprintf("1.3.6.1.4.1.57264.1.%d", e.Number)] = value
		}
		if e.Name != identity.NameIssuer && e.Name != identity.NameIssuerV2 {
			optional[e.Name] = value
		}
	}
}

// addEvidence adds the log's promise and the timestamp in the forms that cosign's older formats have for them.
func addEvidence(optional map[string]any, b *bundle.Bundle) {
	bare := *b
	bare.Material.Timestamps, bare.Material.SCT = nil, nil
	if b.Message != nil {
		bare.Message = &bundle.MessageSignature{Signature: b.Message.Signature}
	}
	var parts struct {
		Log json.RawMessage `json:"rekorBundle"`
	}
	// What that form cannot express, such as an entry of a log of the second generation, is left out.
	if data, err := bare.CosignBlob(); err == nil && json.Unmarshal(data, &parts) == nil && len(parts.Log) > 0 {
		optional["Bundle"] = parts.Log
	}
	if len(b.Material.Timestamps) > 0 {
		optional["RFC3161Timestamp"] = map[string][]byte{"SignedRFC3161Timestamp": b.Material.Timestamps[0]}
	}
}
