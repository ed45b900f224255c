package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/timestamp"
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
	Legacy    string `json:"legacy,omitempty"`    // file or tag of the older format beside the bundle
	Signature string `json:"signature,omitempty"` // base64, where it went to no file (older formats)
	Envelope  string `json:"envelope,omitempty"`  // likewise, of attestations
	Algorithm string `json:"algorithm"`
	KeySHA256 string `json:"keySha256"`
	// Identity and Issuer are those of the certificate; empty with a key alone.
	Identity string `json:"identity,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	Logged   bool   `json:"logged"`
	// Deferred is the file in the spool from which "flush" logs it.
	Deferred string `json:"deferred,omitempty"`
	// Skipped says that this is an earlier signature, and nothing was done.
	Skipped bool `json:"skipped,omitempty"`
	// Entries say where it is logged, Timestamps what time was stated.
	Entries    []loggedAt `json:"entries,omitempty"`
	Timestamps []string   `json:"timestamps,omitempty"` // RFC 3339
}

// loggedAt is one log entry.
type loggedAt struct {
	LogID string `json:"logId"` // hexadecimal
	Index int64  `json:"index"`
	Kind  string `json:"kind"`
}

// newSigned fills in what does not depend on where the signature goes. The bundle was verified.
func newSigned(o *sign.Options, b *bundle.Bundle, artifact, digest string) (*signed, error) {
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return nil, err
	}
	sum, err := keySum(o.Signer)
	if err != nil {
		return nil, err
	}
	r := &signed{Artifact: artifact, Digest: digest, Algorithm: alg.Name(), KeySHA256: sum}
	if len(b.Material.Certificates) > 0 {
		cert, err := identity.ParseCertificate(b.Material.Certificates[0])
		if err != nil {
			return nil, err
		}
		if len(cert.SANs) > 0 {
			r.Identity = cert.SANs[0].Value
		}
		r.Issuer = cert.Issuer
	}
	for _, e := range b.Material.Entries {
		r.Logged = true
		r.Entries = append(r.Entries, loggedAt{hex.EncodeToString(e.LogID), e.LogIndex, e.Kind + "/" + e.Version})
	}
	for _, der := range b.Material.Timestamps {
		token, err := timestamp.Parse(der)
		if err != nil {
			return nil, err
		}
		r.Timestamps = append(r.Timestamps, token.ClaimedTime.Format(time.RFC3339))
	}
	return r, nil
}

// keySum is the SHA-256 of a key's PKIX form, in hexadecimal.
func keySum(s sign.Signer) (string, error) {
	der, err := algorithm.MarshalPublicKey(s.Public())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// print says what was done. In cosign's place the messages on the way are all.
func (r *signed) print(c *cli.Call, output string) error {
	switch {
	case output == "json":
		return c.PrintJSON(r)
	case c.Cosign:
		return nil
	}
	what := artifactName(r.Artifact)
	if !strings.Contains(what, r.Digest) {
		what += " (" + r.Digest + ")" // what a tag or a name meant at the time
	}
	c.Infof("Signed %s: %s, %s, %s", what, r.Algorithm, r.by(), r.witnesses())
	return nil
}

// witnesses says who vouches for the signature.
func (r *signed) witnesses() string {
	var out []string
	for _, e := range r.Entries {
		out = append(out, fmt.Sprintf("logged at index %d", e.Index))
	}
	if len(out) == 0 {
		out = []string{"not logged"}
		if r.Deferred != "" {
			out = []string{"not logged yet"}
		}
	}
	for _, t := range r.Timestamps {
		out = append(out, "time-stamped "+t)
	}
	return strings.Join(out, ", ")
}

// writeTimestamp writes the file that cosign had for the timestamp before there were bundles. Where none was made the flag
// is an error.
func writeTimestamp(c *cli.Call, path string, b *bundle.Bundle) error {
	switch {
	case path == "":
		return nil
	case len(b.Material.Timestamps) != 1:
		return cli.Usagef("there are %d timestamps, and the file %s is for one", len(b.Material.Timestamps), path).
			WithHint("name one timestamp authority, or leave the flag out")
	}
	data, err := json.Marshal(map[string][]byte{"SignedRFC3161Timestamp": b.Material.Timestamps[0]})
	if err != nil {
		return err
	}
	return writeFile(c, path, data, "Wrote timestamp to file %s")
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
