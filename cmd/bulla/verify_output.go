package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// print writes the outcome for one image. Under the name bulla that is the report; under the name cosign what cosign
// prints: what was checked on standard error, what was signed on standard output.
func (o *verifyImages) print(c *cli.Call, s *search, r *verify.Report) error {
	img, items := s.img, s.items
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
	return o.attachedInstead(c, s, r, o.wording(r, c))
}

// attachedInstead says, where nothing was found to verify, what is there instead. cosign prints no hints, so there it is a
// line of its own.
func (o *verifyImages) attachedInstead(c *cli.Call, s *search, r *verify.Report, err error) error {
	var coded *cli.Error
	if r.Code != reason.NoEvidence || !errors.As(err, &coded) {
		return err
	}
	text := o.elsewhere(s)
	if text == "" {
		return err
	}
	if c.Cosign {
		c.Infof("%s", text)
		return err
	}
	return coded.WithHint("%s", text)
}

// noVerdict ends the verification of an image that is not there, or about which nothing could be found out. Programs read
// that where they read verdicts.
func (o *verifyImages) noVerdict(c *cli.Call, err error, ref string) error {
	err = o.notFound(c, err, ref)
	return withoutVerdict(c, err, o.output.String(), ref, func(r *verify.Report) error { return o.printJSON(c, nil, r) })
}

// withoutVerdict prints the report of an artifact about which there is no verdict, where reports are printed in JSON.
func withoutVerdict(c *cli.Call, err error, output, name string, printJSON func(*verify.Report) error) error {
	var coded *cli.Error
	if c.Cosign || output != "json" || !errors.As(err, &coded) || errors.Is(err, context.Canceled) {
		return err
	}
	code, known := map[int]reason.Code{cli.ExitImageNotFound: reason.NoImage, cli.ExitUnknown: reason.Unknown}[coded.Code]
	if !known {
		return err
	}
	r := &verify.Report{Artifact: name, Code: code, Reason: err.Error(), Candidates: []verify.CandidateReport{}, Nearest: -1}
	if printErr := printJSON(r); printErr != nil {
		return printErr
	}
	return err
}

// elsewhere says what is attached that was not asked for, and which command looks at it; nothing is empty.
func (o *verifyImages) elsewhere(s *search) string {
	look := "verify-attestation looks at those (--type names the kind)"
	if o.attestations {
		look = "--type says which kind is demanded"
	}
	signatures, attestations := s.others()
	kinds, are := plural(attestations, "attestation")+" of other kinds", "are"
	if attestations == 1 {
		kinds = "1 attestation of another kind"
	}
	if signatures+attestations == 1 {
		are = "is"
	}
	switch skipped := s.skipped(); {
	case signatures > 0 && attestations > 0:
		return fmt.Sprintf("%s and %s are attached; verify looks at signatures, %s", plural(signatures, "signature"), kinds, look)
	case signatures > 0:
		return fmt.Sprintf("%s %s attached; verify looks at signatures", plural(signatures, "signature"), are)
	case attestations > 0:
		return fmt.Sprintf("%s %s attached; %s", kinds, are, look)
	case skipped == 1:
		return "1 thing attached to the image says that it is something else; bulla tree shows it"
	case skipped > 1:
		return fmt.Sprintf("%d things attached to the image say that they are something else; bulla tree lists them", skipped)
	}
	return ""
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
	if r.Code == reason.NoEvidence {
		coded.Err = fmt.Errorf("no %s found", what)
	} else {
		coded.Err = fmt.Errorf("no matching %s: %w", what, coded.Err)
	}
	switch {
	case o.attestations && c.Cosign:
		coded.Code = cli.ExitFailure
	case r.Code == reason.WrongMaterial && o.Key == "":
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
		env, err := envelopeJSON(&items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, env)
	}
	return out, nil
}

// envelopeJSON returns an envelope as cosign prints it: one from an older tag as it lies there, one from a bundle with
// its members in the order of their names. Either is one line.
func envelopeJSON(item *oci.Item) ([]byte, error) {
	e := item.Bundle.Envelope
	if raw := bytes.TrimSpace(e.Raw); len(raw) > 0 && !bytes.ContainsAny(raw, "\r\n") {
		return raw, nil
	}
	type signature struct {
		Sig   []byte `json:"sig"`
		KeyID string `json:"keyid,omitempty"`
	}
	out := struct {
		Payload     []byte      `json:"payload"`
		PayloadType string      `json:"payloadType"`
		Signatures  []signature `json:"signatures"`
	}{Payload: e.Payload, PayloadType: e.PayloadType}
	for _, s := range e.Signatures {
		out.Signatures = append(out.Signatures, signature{Sig: s.Sig, KeyID: s.KeyID})
	}
	return json.Marshal(out)
}
