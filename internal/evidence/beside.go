package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/bundle"
)

// Beside is what was given in files of its own, to go with evidence that lacks it. The zero value is nothing.
type Beside struct {
	parts        bundle.Detached // without signature
	certificates [][]byte        // DER of parts.Certificate, the signing certificate first
	names        Files
}

// Beside reads the files that go with a signature. A pipe is waited for until ctx ends.
func (f Files) Beside(ctx context.Context) (Beside, error) {
	b := Beside{names: f}
	for _, part := range []struct {
		name string
		into *[]byte
	}{{f.Certificate, &b.parts.Certificate}, {f.Timestamp, &b.parts.Timestamp}, {f.SCT, &b.parts.SCT}, {f.Payload, &b.parts.Payload}} {
		if part.name == "" {
			continue
		}
		data, err := Read(ctx, part.name)
		if err != nil {
			return Beside{}, err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return Beside{}, fmt.Errorf("%s is empty", part.name)
		}
		*part.into = data
	}
	if len(b.parts.Certificate) == 0 {
		return b, nil
	}
	var err error
	if b.certificates, err = certificates(b.parts.Certificate); err != nil {
		return Beside{}, fmt.Errorf("--certificate %s: %w", f.Certificate, err)
	}
	return b, nil
}

// decode reads one bundle, of Sigstore or of cosign's older form.
func (b Beside) decode(data []byte) (*bundle.Bundle, error) {
	decoded, err := bundle.Decode(data)
	if errors.Is(err, bundle.ErrNotBundle) && bytes.Contains(data, []byte(`"base64Signature"`)) {
		return bundle.DecodeCosignBlob(data, b.parts)
	}
	if err != nil {
		return nil, err
	}
	return b.Join(decoded)
}

// Join adds what is beside to decoded evidence. Signatures in cosign's older formats may lack a certificate or a detached
// SCT and get them. Whoever names a certificate demands that it is the one: evidence with another one is an error. What a
// Sigstore bundle holds itself cannot be given beside it.
func (b Beside) Join(found *bundle.Bundle) (*bundle.Bundle, error) {
	older := found.Version == bundle.Cosign
	switch {
	case !older && len(b.parts.Timestamp) > 0:
		return nil, fmt.Errorf("a Sigstore bundle holds its timestamps itself: leave out --rfc3161-timestamp %s", b.names.Timestamp)
	case !older && len(b.parts.SCT) > 0:
		return nil, fmt.Errorf("a certificate in a Sigstore bundle holds its certificate timestamp itself: leave out --sct %s", b.names.SCT)
	}
	joined := *found
	m := &joined.Material
	if len(b.parts.SCT) > 0 {
		if len(m.SCT) > 0 && !bytes.Equal(m.SCT, b.parts.SCT) {
			return nil, fmt.Errorf("it has another certificate timestamp than --sct %s", b.names.SCT)
		}
		m.SCT = b.parts.SCT
	}
	if len(b.certificates) == 0 {
		return &joined, nil
	}
	switch {
	case len(m.Certificates) > 0 && !bytes.Equal(m.Certificates[0], b.certificates[0]):
		return nil, fmt.Errorf("it was signed with another certificate than --certificate %s", b.names.Certificate)
	case len(m.Certificates) == 0 && older:
		m.Certificates, m.NoKey, m.KeyHint = b.certificates, false, nil
		m.Chain = len(b.certificates) > 1
	}
	return &joined, nil
}

// certificates reads a certificate file as a detached signature's is read; the signature, any binary, is of no interest.
func certificates(data []byte) ([][]byte, error) {
	b, err := bundle.FromDetached(bundle.Detached{Signature: []byte{0}, Certificate: data})
	if err != nil {
		return nil, err
	}
	return b.Material.Certificates, nil
}
