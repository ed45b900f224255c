package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
)

// evidenceMode is the permission of files with signatures and bundles: they are made to be given away. (cosign writes
// 0600.)
const evidenceMode = 0o644

// signed is the outcome for one artifact, as -o json prints it.
type signed struct {
	Artifact  string `json:"artifact"`
	Digest    string `json:"digest"`
	Bundle    string `json:"bundle,omitempty"`    // file
	Reference string `json:"reference,omitempty"` // in the registry
	Signature string `json:"signature,omitempty"` // base64, where it went to no file (older formats)
	Envelope  string `json:"envelope,omitempty"`  // likewise, of attestations
	Algorithm string `json:"algorithm"`
	KeySHA256 string `json:"keySha256"`
	Logged    bool   `json:"logged"`
}

// newSigned fills in what does not depend on where the signature goes.
func newSigned(o *sign.Options, artifact, digest string) (*signed, error) {
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return nil, err
	}
	der, err := algorithm.MarshalPublicKey(o.Signer.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &signed{Artifact: artifact, Digest: digest, Algorithm: alg.Name(), KeySHA256: hex.EncodeToString(sum[:])}, nil
}

// print says what was done. In cosign's place the messages on the way are all.
func (r *signed) print(c *cli.Call, output string) error {
	switch {
	case output == "json":
		return c.PrintJSON(r)
	case !c.Cosign:
		what := artifactName(r.Artifact)
		if !strings.Contains(what, r.Digest) {
			what += " (" + r.Digest + ")" // what a tag or a name meant at the time
		}
		c.Infof("Signed %s: %s, key sha256:%s, not logged", what, r.Algorithm, r.KeySHA256)
	}
	return nil
}

// writeBundle writes a Sigstore bundle to a file.
func (r *signed) writeBundle(c *cli.Call, path string, data []byte) error {
	if err := replaceFile(path, data); err != nil {
		return err
	}
	r.Bundle = path
	c.Infof("Wrote bundle to file %s", path)
	return nil
}

// certificatePEM is what --output-certificate writes.
func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// announce says cosign's words before a signature is made.
func announce(c *cli.Call, payloads ...string) {
	if !c.Cosign {
		return
	}
	for _, p := range payloads {
		if p != "" {
			c.Infof("Using payload from: %s", blob.DisplayName(p))
		}
	}
	c.Infof("Signing artifact...")
}
