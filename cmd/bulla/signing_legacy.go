package main

import (
	"fmt"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
)

// legacyEnvelope says where the parts of an attestation go that is not written as a Sigstore bundle. What has no file
// goes to standard output, or into the JSON that is printed there.
type legacyEnvelope struct {
	bundle, envelope, statement, certificate string
	json                                     bool
	beside                                   bool // a bundle holds the envelope: what has no file is not printed
}

func (l *legacyEnvelope) write(c *cli.Call, r *signed, b *bundle.Bundle) error {
	envelope, err := b.Envelope.Encode()
	if err != nil {
		return err
	}
	if l.bundle != "" {
		data, err := b.CosignBlob()
		if err != nil {
			return err
		}
		if err := r.writeBundle(c, l.bundle, data); err != nil {
			return err
		}
	}
	switch {
	case l.envelope != "":
		if err := writeFile(c, l.envelope, envelope, "Signature written in %s"); err != nil {
			return err
		}
	case l.beside:
	case l.json:
		r.Envelope = string(envelope)
	default:
		fmt.Fprintf(c.Out, "%s\n", envelope)
	}
	if l.statement != "" {
		if err := writeFile(c, l.statement, b.Envelope.Payload, "Attestation written in %s"); err != nil {
			return err
		}
	}
	if l.certificate == "" || len(b.Material.Certificates) == 0 {
		return nil
	}
	return writeFile(c, l.certificate, certificatePEM(b.Material.Certificates[0]), "Certificate written to file %s")
}
