package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/verify"
)

// print writes the outcome for one image. Under the name bulla that is the report; under the name cosign what cosign
// prints: what was checked on standard error, what was signed on standard output.
func (o *verifyImages) print(c *cli.Call, img *oci.Image, items []oci.Item, r *verify.Report) error {
	switch {
	case c.Cosign && r.Verified:
		return o.printCosign(c, img, items, r)
	case c.Cosign:
	case o.output.String() == "json":
		if err := c.PrintJSON(r); err != nil {
			return err
		}
	default:
		if err := report.Text(c.Out, r, report.Style{Colour: c.Coloured(), Full: c.Verbose}); err != nil {
			return err
		}
		if o.attestations && r.Verified {
			if err := printEnvelopes(c, items, r); err != nil {
				return err
			}
		}
	}
	return o.cosignWording(refusal(r, true), r, c)
}

// cosignWording puts cosign's words before a refusal, which scripts look for.
func (o *verifyImages) cosignWording(err error, r *verify.Report, c *cli.Call) error {
	if err == nil {
		return nil
	}
	what := "signatures"
	if o.attestations {
		what = "attestations"
	}
	coded := err.(*cli.Error)
	if r.Code == verify.CodeNoEvidence {
		coded.Err = fmt.Errorf("no %s found", what)
		if o.attestations {
			coded.Code = cli.ExitNoSignatures
		}
	} else {
		coded.Err = fmt.Errorf("no matching %s: %s", what, r.Reason)
	}
	if o.attestations && c.Cosign {
		coded.Code = cli.ExitFailure
	}
	return coded
}

// printEnvelopes writes the verified envelopes as JSON Lines.
func printEnvelopes(c *cli.Call, items []oci.Item, r *verify.Report) error {
	for i := range r.Candidates {
		if !r.Candidates[i].Verified {
			continue
		}
		env, err := envelopeOf(items[i].Bundle)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%s\n", env)
	}
	return nil
}

// printCosign prints a verified image as cosign does, telling the truth about the log.
func (o *verifyImages) printCosign(c *cli.Call, img *oci.Image, items []oci.Item, r *verify.Report) error {
	logged := false
	for i := range r.Candidates {
		logged = logged || (r.Candidates[i].Verified && len(r.Candidates[i].Logs) > 0)
	}
	c.Infof("\nVerification for %s --\nThe following checks were performed on each of these signatures:", img.Ref)
	if len(o.annotations) > 0 {
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
	if o.attestations {
		return printEnvelopes(c, items, r)
	}
	return o.printClaims(c, img, items, r)
}

// printClaims prints what was signed: for older signatures the signed document itself, for statements the same shape.
func (o *verifyImages) printClaims(c *cli.Call, img *oci.Image, items []oci.Item, r *verify.Report) error {
	var docs []json.RawMessage
	for i := range r.Candidates {
		if !r.Candidates[i].Verified {
			continue
		}
		doc, err := claimDocument(img, items[i].Bundle, &r.Candidates[i])
		if err != nil {
			return err
		}
		docs = append(docs, doc)
	}
	if o.output.String() == "text" {
		for _, d := range docs {
			fmt.Fprintf(c.Out, "%s\n", d)
		}
		return nil
	}
	var out bytes.Buffer
	for i, d := range docs {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(d)
	}
	fmt.Fprintf(c.Out, "\n[%s]\n", out.Bytes())
	return nil
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

func claimDocument(img *oci.Image, b *bundle.Bundle, c *verify.CandidateReport) (json.RawMessage, error) {
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
		doc.Critical.Identity.DockerReference = signed.DockerReference
		doc.Critical.Image.Digest = signed.ManifestDigest
		doc.Critical.Type = signed.Type
		for name, raw := range signed.Optional {
			optional[name] = json.RawMessage(raw)
		}
	}
	for name, value := range c.Annotations {
		optional[name] = value
	}
	if s := c.Signer; s != nil && len(s.Subjects) > 0 {
		optional["Subject"] = strings.Join(s.Subjects, ",")
		optional["Issuer"] = s.Issuer
		for name, value := range s.Extensions {
			optional[name] = value
		}
	}
	if len(optional) > 0 {
		doc.Optional = optional
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(doc)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}
