package bundle

import "slices"

// Upgrade returns b as a v0.3 bundle: of a certificate chain only the signing
// certificate stays, as its issuers come from the trusted root. Nothing that
// was signed changes; b is not modified, but shares its bytes with the result.
//
// Not every bundle can be upgraded: log entries need an inclusion proof with a
// checkpoint, which older ones may lack, and what only cosign's older formats
// carry (signed payload, detached SCT, no word about the key) has no place in
// v0.3. The error then says what is in the way.
func (b *Bundle) Upgrade() (*Bundle, error) {
	up := *b
	up.MediaType, up.Version = MediaType, V03
	m := &up.Material
	if b.Version != V03 && len(m.Certificates) > 0 {
		m.Certificates, m.Chain = slices.Clone(m.Certificates[:1]), false
	}
	if err := up.encodable(); err != nil {
		return nil, err
	}
	if err := up.Validate(ValidateOptions{AllowCertificateChain: true}); err != nil {
		return nil, err
	}
	return &up, nil
}
