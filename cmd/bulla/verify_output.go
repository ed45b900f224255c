package main

import (
	"bytes"
	"encoding/json"
	"errors"
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
		if err := o.printJSON(c, items, r); err != nil {
			return err
		}
	case o.attestations:
		// Standard output is for what was attested, so that it can be piped on.
		if err := report.Text(c.Err, r, report.Style{Full: c.Verbose}); err != nil {
			return err
		}
		if err := printEnvelopes(c, items, r); err != nil {
			return err
		}
	default:
		if err := report.Text(c.Out, r, report.Style{Colour: c.Coloured(), Full: c.Verbose}); err != nil {
			return err
		}
	}
	return o.wording(r, c)
}

// printJSON writes the report, of attestations together with the verified envelopes.
func (o *verifyImages) printJSON(c *cli.Call, items []oci.Item, r *verify.Report) error {
	if !o.attestations {
		return c.PrintJSON(r)
	}
	out := struct {
		*verify.Report
		Attestations []json.RawMessage `json:"attestations,omitempty"`
	}{Report: r}
	var err error
	if out.Attestations, err = envelopes(items, r); err != nil {
		return err
	}
	return c.PrintJSON(out)
}

// wording turns a refused report into an error with cosign's words, which scripts look for, and the exit status of images.
func (o *verifyImages) wording(r *verify.Report, c *cli.Call) error {
	err := refusal(r, true)
	if err == nil {
		return nil
	}
	what := "signatures"
	if o.attestations {
		what = "attestations"
	}
	var coded *cli.Error
	if !errors.As(err, &coded) {
		return err
	}
	if r.Code == verify.CodeNoEvidence {
		coded.Err = fmt.Errorf("no %s found", what)
	} else {
		coded.Err = fmt.Errorf("no matching %s: %w", what, coded.Err)
	}
	switch {
	case o.attestations && c.Cosign:
		coded.Code = cli.ExitFailure
	case r.Code == verify.CodeWrongMaterial && o.Key == "":
		// Nobody but a certified identity was demanded, so what was found instead is a bare key, in the newer formats.
		coded.Code = cli.ExitNoCertificate
	}
	return coded
}

// printEnvelopes writes the verified envelopes as JSON Lines.
func printEnvelopes(c *cli.Call, items []oci.Item, r *verify.Report) error {
	all, err := envelopes(items, r)
	if err != nil {
		return err
	}
	for _, env := range all {
		if _, err := fmt.Fprintf(c.Out, "%s\n", env); err != nil {
			return err
		}
	}
	return nil
}

// envelopes returns the DSSE envelopes of the verified candidates; none when the whole was refused.
func envelopes(items []oci.Item, r *verify.Report) ([]json.RawMessage, error) {
	if !r.Verified {
		return nil, nil
	}
	var out []json.RawMessage
	for i := range r.Candidates {
		if !r.Candidates[i].Verified {
			continue
		}
		if items[i].Bundle.Envelope == nil {
			return nil, fmt.Errorf("%s was verified, but has no envelope", r.Candidates[i].Name)
		}
		env, err := items[i].Bundle.Envelope.Encode()
		if err != nil {
			return nil, err
		}
		out = append(out, env)
	}
	return out, nil
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
