package carry

import (
	"fmt"
	"slices"
	"strings"
)

// The kinds of evidence that Options.Only chooses among; the words are cosign's.
const (
	kindSignature   = "sig"
	kindAttestation = "att"
	kindSBOM        = "sbom"
)

const (
	bundleType      = "application/vnd.dev.sigstore.bundle"
	signPredicate   = "https://sigstore.dev/cosign/sign/v1"
	signatureType   = "application/vnd.dev.cosign.artifact.sig.v1+json"
	sbomType        = "application/vnd.dev.cosign.artifact.sbom.v1+json"
	notationType    = "application/vnd.cncf.notary.signature"
	contentKey      = "dev.sigstore.bundle.content"
	predicateKey    = "dev.sigstore.bundle.predicateType"
	contentOfBlob   = "message-signature"
	emptyConfigType = "application/vnd.oci.empty.v1+json"
)

// CheckOnly refuses words that Options.Only does not know.
func CheckOnly(only []string) error {
	for _, word := range only {
		if word != kindSignature && word != kindAttestation && word != kindSBOM {
			return fmt.Errorf("%q is not a kind of evidence: want sig, att or sbom", printable(word))
		}
	}
	return nil
}

// kinds says what a piece may be; none for what is no evidence that we know. A bundle that does not say which predicate it
// has may be a signature or an attestation.
func kinds(p *Piece, d *document) []string {
	if p.Suffix != "" {
		return []string{p.Suffix}
	}
	artifact := d.ArtifactType
	if (artifact == "" || artifact == emptyConfigType) && d.Config != nil {
		artifact = d.Config.MediaType
	}
	bundle := strings.HasPrefix(artifact, bundleType)
	for i := range d.Layers {
		bundle = bundle || strings.HasPrefix(d.Layers[i].MediaType, bundleType)
	}
	switch {
	case bundle && d.Annotations[predicateKey] == signPredicate, bundle && d.Annotations[contentKey] == contentOfBlob,
		artifact == signatureType, artifact == notationType:
		return []string{kindSignature}
	case bundle && d.Annotations[predicateKey] == "":
		return []string{kindSignature, kindAttestation}
	case bundle:
		return []string{kindAttestation}
	case artifact == sbomType, strings.Contains(artifact, "spdx"), strings.Contains(artifact, "cyclonedx"), strings.Contains(artifact, "syft"):
		return []string{kindSBOM}
	}
	return nil
}

func wanted(only, have []string) bool {
	return len(only) == 0 || slices.ContainsFunc(have, func(kind string) bool { return slices.Contains(only, kind) })
}
