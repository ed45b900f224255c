package timestamp

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// signerInfo is SignerInfo (RFC 5652 5.3) with the attributes that a time-stamp token must have.
type signerInfo struct {
	version int64
	issuer  []byte // DER Name; nil when the signer is named by keyID
	serial  *big.Int
	keyID   []byte
	digest  crypto.Hash
	sigAlg  algorithmID
	sig     []byte

	signed        []byte // the attributes as they were signed: DER SET OF
	contentType   string
	messageDigest []byte
	certIDs       []certID
}

// certID is the first ESSCertID or ESSCertIDv2 of an attribute: it names the signer's certificate (RFC 5035 3 and 5).
type certID struct {
	hash   crypto.Hash
	sum    []byte
	issuer []byte // DER Name of issuerSerial; nil when absent
	serial *big.Int
}

// parseToken reads a token's ContentInfo (RFC 5652 3).
func parseToken(der []byte) (*Token, error) {
	if len(der) > MaxTokenSize {
		return nil, fmt.Errorf("time-stamp token: %d bytes, the limit is %d", len(der), MaxTokenSize)
	}
	in := cryptobyte.String(der)
	var info, oid, explicit, signed cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() ||
		!info.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) || !info.ReadASN1(&explicit, tag0.Constructed()) || !info.Empty() {
		return nil, errors.New("time-stamp token: not one DER ContentInfo")
	}
	if string(oid) != oidSignedData {
		return nil, fmt.Errorf("time-stamp token: content type %s is not SignedData", oidText(string(oid)))
	}
	if !explicit.ReadASN1(&signed, cbasn1.SEQUENCE) || !explicit.Empty() {
		return nil, errors.New("time-stamp token: malformed SignedData")
	}
	t := &Token{tokenDER: der}
	if err := t.parseSignedData(signed); err != nil {
		return nil, fmt.Errorf("time-stamp token: %w", err)
	}
	return t, nil
}

// parseSignedData reads SignedData (RFC 5652 5.1).
func (t *Token) parseSignedData(s cryptobyte.String) error {
	var digests, encap, oid, explicit, content cryptobyte.String
	if !s.ReadASN1Integer(&t.version) || !s.ReadASN1(&digests, cbasn1.SET) {
		return errors.New("malformed SignedData")
	}
	if !s.ReadASN1(&encap, cbasn1.SEQUENCE) || !encap.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) {
		return errors.New("malformed encapContentInfo")
	}
	if string(oid) != oidTSTInfo {
		return fmt.Errorf("signed content type %s is not TSTInfo", oidText(string(oid)))
	}
	if !encap.ReadASN1(&explicit, tag0.Constructed()) || !encap.Empty() ||
		!explicit.ReadASN1(&content, cbasn1.OCTET_STRING) || !explicit.Empty() {
		return errors.New("malformed encapContentInfo")
	}
	t.content = content
	if err := t.parseTSTInfo(content); err != nil {
		return fmt.Errorf("TSTInfo: %w", err)
	}
	if err := t.parseCertificates(&s); err != nil {
		return err
	}
	if !s.SkipOptionalASN1(tag1.Constructed()) { // revocation lists: time of trust is the trust root's matter
		return errors.New("malformed crls")
	}
	var infos, info cryptobyte.String
	if !s.ReadASN1(&infos, cbasn1.SET) || !s.Empty() {
		return errors.New("malformed signerInfos")
	}
	// RFC 3161 2.4.2: the token must not contain any signatures other than the authority's.
	if !infos.ReadASN1(&info, cbasn1.SEQUENCE) || !infos.Empty() {
		return errors.New("not exactly one SignerInfo")
	}
	if err := t.signer.parse(info); err != nil {
		return fmt.Errorf("SignerInfo: %w", err)
	}
	return nil
}

// parseCertificates keeps the DER of embedded certificates. Other kinds of CertificateChoices are passed over.
func (t *Token) parseCertificates(s *cryptobyte.String) error {
	var certs, cert cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&certs, &present, tag0.Constructed()) {
		return errors.New("malformed certificates")
	}
	for n := 0; !certs.Empty(); n++ {
		if n == MaxCertificates {
			return fmt.Errorf("more than %d certificates", MaxCertificates)
		}
		var tag cbasn1.Tag
		if !certs.ReadAnyASN1Element(&cert, &tag) {
			return errors.New("malformed certificates")
		}
		if tag == cbasn1.SEQUENCE {
			t.Certificates = append(t.Certificates, cert)
		}
	}
	return nil
}

func (si *signerInfo) parse(s cryptobyte.String) error {
	if !s.ReadASN1Integer(&si.version) {
		return errors.New("malformed version")
	}
	if err := si.parseSID(&s); err != nil {
		return err
	}
	digest, ok := readAlgorithm(&s)
	if !ok {
		return errors.New("malformed digestAlgorithm")
	}
	var err error
	if si.digest, err = digest.hash(); err != nil {
		return fmt.Errorf("digestAlgorithm: %w", err)
	}
	var attrs cryptobyte.String
	if !s.ReadASN1Element(&attrs, tag0.Constructed()) {
		return errors.New("signedAttrs are missing")
	}
	// RFC 5652 5.4: what is signed is the DER of a SET OF, not of the [0] that stands in its place.
	si.signed = append([]byte{byte(cbasn1.SET)}, attrs[1:]...)
	if err := si.parseAttributes(si.signed); err != nil {
		return err
	}
	if si.sigAlg, ok = readAlgorithm(&s); !ok {
		return errors.New("malformed signatureAlgorithm")
	}
	var sig cryptobyte.String
	if !s.ReadASN1(&sig, cbasn1.OCTET_STRING) {
		return errors.New("malformed signature")
	}
	si.sig = sig
	if !s.SkipOptionalASN1(tag1.Constructed()) || !s.Empty() {
		return errors.New("malformed unsignedAttrs")
	}
	return nil
}

// parseSID reads SignerIdentifier: issuer and serial number with version 1, or a subject key identifier with version 3.
func (si *signerInfo) parseSID(s *cryptobyte.String) error {
	if s.PeekASN1Tag(tag0) {
		var id cryptobyte.String
		if si.version != 3 || !s.ReadASN1(&id, tag0) || len(id) == 0 {
			return errors.New("malformed subjectKeyIdentifier")
		}
		si.keyID = id
		return nil
	}
	var seq cryptobyte.String
	if si.version != 1 || !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return errors.New("malformed issuerAndSerialNumber")
	}
	var ok bool
	if si.issuer, si.serial, ok = readIssuerSerial(&seq); !ok || !seq.Empty() {
		return errors.New("malformed issuerAndSerialNumber")
	}
	return nil
}

func readIssuerSerial(s *cryptobyte.String) (issuer []byte, serial *big.Int, ok bool) {
	var name cryptobyte.String
	if !s.ReadASN1Element(&name, cbasn1.SEQUENCE) {
		return nil, nil, false
	}
	serial, ok = readInteger(s)
	return name, serial, ok
}

// parseAttributes reads the signed attributes. RFC 5652 5.3 demands DER of them even in BER messages: they are in
// ascending order of their encodings, and each type stands once.
func (si *signerInfo) parseAttributes(der []byte) error {
	var attrs cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&attrs, cbasn1.SET) {
		return errors.New("malformed signedAttrs")
	}
	var last []byte
	seen := make(map[string]bool)
	for !attrs.Empty() {
		var element, attr, oid, values cryptobyte.String
		if len(seen) == MaxAttributes {
			return fmt.Errorf("more than %d signed attributes", MaxAttributes)
		}
		if !attrs.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return errors.New("malformed signedAttrs")
		}
		if bytes.Compare(last, element) >= 0 {
			return errors.New("signedAttrs are not in DER order")
		}
		last = element
		if !element.ReadASN1(&attr, cbasn1.SEQUENCE) || !attr.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) ||
			!attr.ReadASN1(&values, cbasn1.SET) || !attr.Empty() {
			return errors.New("malformed signed attribute")
		}
		if seen[string(oid)] {
			return fmt.Errorf("signed attribute %s stands twice", oidText(string(oid)))
		}
		seen[string(oid)] = true
		if err := si.parseAttribute(string(oid), values); err != nil {
			return fmt.Errorf("signed attribute %s: %w", oidText(string(oid)), err)
		}
	}
	if si.contentType == "" || si.messageDigest == nil || len(si.certIDs) == 0 {
		return errors.New("signedAttrs lack content-type, message-digest or signing-certificate")
	}
	return nil
}

// parseAttribute reads the single value of an attribute that matters here; any other is covered by the signature only.
func (si *signerInfo) parseAttribute(oid string, values cryptobyte.String) error {
	bad := errors.New("malformed value")
	var v cryptobyte.String
	switch oid {
	case oidContentType:
		if !values.ReadASN1(&v, cbasn1.OBJECT_IDENTIFIER) || !values.Empty() || len(v) == 0 {
			return bad
		}
		si.contentType = string(v)
	case oidMessageDigest:
		if !values.ReadASN1(&v, cbasn1.OCTET_STRING) || !values.Empty() {
			return bad
		}
		si.messageDigest = append([]byte{}, v...)
	case oidSigningCert, oidSigningCertV2:
		id, err := parseSigningCertificate(values, oid == oidSigningCertV2)
		if err != nil {
			return err
		}
		si.certIDs = append(si.certIDs, id)
	}
	return nil
}

// parseSigningCertificate reads SigningCertificate or SigningCertificateV2 and returns its first entry, which is the
// signer's; further ones name certificates of its path and change nothing, since the path ends in a trusted root.
func parseSigningCertificate(values cryptobyte.String, v2 bool) (certID, error) {
	bad := errors.New("malformed signing-certificate")
	var sc, ids, id, sum cryptobyte.String
	if !values.ReadASN1(&sc, cbasn1.SEQUENCE) || !values.Empty() || !sc.ReadASN1(&ids, cbasn1.SEQUENCE) ||
		!sc.SkipOptionalASN1(cbasn1.SEQUENCE) || !sc.Empty() || !ids.ReadASN1(&id, cbasn1.SEQUENCE) {
		return certID{}, bad
	}
	out := certID{hash: crypto.SHA1}
	if v2 {
		out.hash = crypto.SHA256 // the default of ESSCertIDv2.hashAlgorithm
		if id.PeekASN1Tag(cbasn1.SEQUENCE) {
			alg, ok := readAlgorithm(&id)
			if !ok {
				return certID{}, bad
			}
			var err error
			if out.hash, err = alg.hash(); err != nil {
				return certID{}, err
			}
		}
	}
	if !id.ReadASN1(&sum, cbasn1.OCTET_STRING) {
		return certID{}, bad
	}
	out.sum = sum
	if id.Empty() {
		return out, nil
	}
	var issuerSerial, names, dir cryptobyte.String
	if !id.ReadASN1(&issuerSerial, cbasn1.SEQUENCE) || !id.Empty() ||
		!issuerSerial.ReadASN1(&names, cbasn1.SEQUENCE) || !names.ReadASN1(&dir, cbasn1.Tag(4).ContextSpecific().Constructed()) ||
		!names.Empty() {
		return certID{}, bad
	}
	var ok bool
	out.issuer = dir
	if out.serial, ok = readInteger(&issuerSerial); !ok || !issuerSerial.Empty() {
		return certID{}, bad
	}
	return out, nil
}
