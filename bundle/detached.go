package bundle

import (
	"bytes"
	"encoding/base64"
	"unicode"
	"unicode/utf8"
)

// Detached is a signature and its evidence in files of their own, as cosign
// writes and reads them one flag each. Only Signature is required.
type Detached struct {
	// Signature as raw bytes or in base64; or a DSSE envelope, as JSON or in
	// base64.
	Signature []byte
	// Payload is what was signed when it travels with the signature (cosign
	// verify --payload); nil: the artifact itself was.
	Payload []byte
	// Certificate is the signing certificate: PEM, base64 of PEM, or DER. Further
	// certificates in PEM are taken for its chain.
	Certificate []byte
	// Chain are the certificates above it, in the same encodings.
	Chain []byte
	// Timestamp is a DER TimeStampResp (RFC 3161 2.4.2) over the signature, or
	// {"SignedRFC3161Timestamp":"<base64>"}.
	Timestamp []byte
	// RekorBundle is {"SignedEntryTimestamp","Payload"}.
	RekorBundle []byte
	// SCT is a detached signed certificate timestamp, kept as it is.
	SCT []byte
}

func (d *Detached) parts() cosignParts {
	return cosignParts{
		payload: d.Payload, certificate: d.Certificate, chain: d.Chain,
		timestamp: d.Timestamp, rekorBundle: d.RekorBundle, sct: d.SCT,
	}
}

func detachedNames() cosignNames {
	return cosignNames{signature: "signature", certificate: "certificate", chain: "chain", timestamp: "timestamp", rekorBundle: "rekor bundle"}
}

// FromDetached converts a detached signature into a bundle of version [Cosign].
func FromDetached(d Detached) (*Bundle, error) {
	signature, err := decodeSignature(d.Signature)
	if err != nil {
		return nil, err
	}
	p := d.parts()
	p.signature = signature
	return p.convert(detachedNames())
}

// decodeSignature undoes the base64 of a signature file, if it is in base64. A
// text that is not is no signature: those are binary.
func decodeSignature(data []byte) ([]byte, error) {
	const path = "signature"
	text := bytes.TrimSpace(data)
	switch {
	case len(data) > 2*MaxBytes:
		return nil, malformed(path, "longer than 128 MiB")
	case len(text) == 0:
		return nil, malformed(path, "missing or empty")
	case isJSONObject(text):
		return data, nil
	}
	if raw, err := base64.StdEncoding.Strict().AppendDecode(nil, text); err == nil {
		return raw, nil
	}
	if utf8.Valid(text) && bytes.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) }) < 0 {
		return nil, malformed(path, "is text, but not base64")
	}
	return data, nil
}
