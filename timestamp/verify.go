package timestamp

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // G505: names a certificate in ESSCertID (RFC 5816 2.2.1); nothing rests on its collisions
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/algorithm"
)

// ErrOtherSigner says that a token was not made by the authority that it was checked against. A caller that trusts
// several authorities goes on with the next; any other error means that this authority's token is wrong.
var ErrOtherSigner = errors.New("the token was signed by another certificate")

// Result is what a token proves.
type Result struct {
	// Time is when the stamped bytes existed, in UTC: genTime.
	Time time.Time
	// Accuracy is how far the true time may lie from Time, either way; 0 when not stated.
	Accuracy time.Duration
	// Signer is the certificate whose key signed the token and that the token names by hash.
	Signer *x509.Certificate
	// Chain is the path from Signer to the authority's root, both included.
	Chain []*x509.Certificate
}

// Verify checks that the authority stamped the message, and returns the time. For a bundle the message is the raw bytes
// of the signature. It checks RFC 3161 2.3 and 2.4.2, RFC 5652 5.4 and 5.6, RFC 5816: the imprint, the signed attributes,
// that the signer's certificate is the one that the token names by hash, the signature, that the certificate may stamp
// (critical, sole extended key usage timeStamping), and that its path to the root and the authority's window hold at
// the token's time.
//
// An authority that names its Leaf is the only signer; else the signer is sought among the certificates in the token.
// A nonce is not looked at: see [Request.Check].
func (t *Token) Verify(message algorithm.Message, a Authority) (*Result, error) {
	// Whose token it is comes first, so that another authority's is told from a wrong one of this authority.
	signer, err := t.findSigner(a.Leaf)
	if err != nil {
		return nil, err
	}
	if err := checkSigner(signer); err != nil {
		return nil, fmt.Errorf("time-stamp signer %q: %w", signer.Subject, err)
	}
	chain, err := a.path(signer, t.Certificates, t.ClaimedTime)
	if err != nil {
		return nil, err
	}
	if err := a.checkWindow(t.ClaimedTime); err != nil {
		return nil, err
	}
	if err := t.checkImprint(message); err != nil {
		return nil, err
	}
	if err := t.checkContent(); err != nil {
		return nil, err
	}
	if err := t.checkName(signer); err != nil {
		return nil, err
	}
	if err := t.signer.checkSignature(signer.PublicKey); err != nil {
		return nil, fmt.Errorf("time-stamp token: %w", err)
	}
	return &Result{Time: t.ClaimedTime, Accuracy: t.Accuracy, Signer: signer, Chain: chain}, nil
}

// findSigner returns the certificate that the token names as its signer, twice: by issuer and serial number or key
// identifier, and by hash. All later checks are made on this very certificate (GHSA-xm5m-wgh2-rrg3: a verifier that
// looks at the first embedded leaf instead can be shown any).
func (t *Token) findSigner(leaf *x509.Certificate) (*x509.Certificate, error) {
	if leaf != nil {
		if err := t.signer.matches(leaf); err != nil {
			return nil, fmt.Errorf("%w than %q: %v", ErrOtherSigner, leaf.Subject, err)
		}
		return leaf, nil
	}
	for _, der := range t.Certificates {
		if !t.signer.namesByHash(der) {
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("time-stamp signer: %v", err)
		}
		if err := t.signer.matches(cert); err != nil {
			return nil, fmt.Errorf("time-stamp token: %w", err)
		}
		return cert, nil
	}
	return nil, fmt.Errorf("%w, which the token does not carry", ErrOtherSigner)
}

// matches says that every name the token gives its signer is this certificate's.
func (si *signerInfo) matches(cert *x509.Certificate) error {
	if si.keyID != nil {
		if !bytes.Equal(si.keyID, cert.SubjectKeyId) {
			return errors.New("the subject key identifier differs")
		}
	} else if !bytes.Equal(si.issuer, cert.RawIssuer) || si.serial.Cmp(cert.SerialNumber) != 0 {
		return errors.New("issuer or serial number differ")
	}
	if !si.namesByHash(cert.Raw) {
		return errors.New("the signing-certificate attribute names another certificate")
	}
	for _, id := range si.certIDs {
		if id.serial != nil && (id.serial.Cmp(cert.SerialNumber) != 0 || !bytes.Equal(id.issuer, cert.RawIssuer)) {
			return errors.New("the signing-certificate attribute names another issuer or serial number")
		}
	}
	return nil
}

// namesByHash says that each signing-certificate attribute holds the hash of this certificate. RFC 5816 2.2.1 keeps the
// SHA-1 form valid; where both forms are present, both must match. SHA-1 here only points at a certificate that is
// trusted for other reasons: a token cannot gain anything by it without a second certificate of a trusted authority
// that has the same issuer and serial number and an equal SHA-1.
func (si *signerInfo) namesByHash(der []byte) bool {
	for _, id := range si.certIDs {
		if id.hash == crypto.SHA1 {
			sum := sha1.Sum(der) //nolint:gosec // G401: see the comment of this function
			if !bytes.Equal(sum[:], id.sum) {
				return false
			}
		} else if !bytes.Equal(digest(id.hash, der), id.sum) {
			return false
		}
	}
	return len(si.certIDs) > 0
}

// digest hashes with one of the three hashes that algorithmID.hash returns; they are linked in by signature.go.
func digest(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

func (t *Token) checkImprint(message algorithm.Message) error {
	sum, err := message.Digest(t.HashAlgorithm, nil)
	if err != nil {
		return fmt.Errorf("time-stamp token: %s of the message: %w", t.HashAlgorithm, err)
	}
	if !bytes.Equal(sum, t.Imprint) {
		return fmt.Errorf("the time-stamp token is for another message: its %s imprint is %x, the message's %x",
			t.HashAlgorithm, t.Imprint, sum)
	}
	return nil
}

// checkContent checks what RFC 5652 5.1, 5.3 and 11 say of a SignedData over TSTInfo.
func (t *Token) checkContent() error {
	// Version 3 is what the content type demands; 4 and 5 stand for further kinds of embedded certificates.
	if t.version < 3 || t.version > 5 {
		return fmt.Errorf("time-stamp token: SignedData version is %d, must be 3", t.version)
	}
	if t.signer.contentType != oidTSTInfo {
		return fmt.Errorf("time-stamp token: content-type attribute is %s, not TSTInfo", oidText(t.signer.contentType))
	}
	if !bytes.Equal(t.signer.messageDigest, digest(t.signer.digest, t.content)) {
		return errors.New("time-stamp token: the message-digest attribute is not the hash of TSTInfo")
	}
	return nil
}

// checkSigner checks that a certificate may stamp: RFC 3161 2.3, and RFC 5280 4.2.1.3.
func checkSigner(cert *x509.Certificate) error {
	const oidExtKeyUsage = "2.5.29.37"
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) != 0 {
		return errors.New("the extended key usage must be timeStamping alone")
	}
	for _, ext := range cert.Extensions {
		if ext.Id.String() == oidExtKeyUsage && !ext.Critical {
			return errors.New("the extended key usage must be critical")
		}
	}
	if cert.IsCA {
		return errors.New("it is a certificate authority's")
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return errors.New("the key usage does not allow signatures")
	}
	return nil
}

// checkName checks TSTInfo.tsa: "if present, it MUST correspond to one of the subject names" of the signer's
// certificate (RFC 3161 2.4.2): its subject, or a subject alternative name.
func (t *Token) checkName(cert *x509.Certificate) error {
	if t.tsaName == nil {
		return nil
	}
	name := cryptobyte.String(t.tsaName)
	var dir cryptobyte.String
	if name.ReadASN1(&dir, cbasn1.Tag(4).ContextSpecific().Constructed()) && bytes.Equal(dir, cert.RawSubject) {
		return nil
	}
	const oidSubjectAltName = "2.5.29.17"
	for _, ext := range cert.Extensions {
		if ext.Id.String() != oidSubjectAltName {
			continue
		}
		var names, one cryptobyte.String
		var tag cbasn1.Tag
		san := cryptobyte.String(ext.Value)
		for ok := san.ReadASN1(&names, cbasn1.SEQUENCE); ok && names.ReadAnyASN1Element(&one, &tag); {
			if bytes.Equal(one, t.tsaName) {
				return nil
			}
		}
	}
	return fmt.Errorf("time-stamp token: the name it gives its authority is not %q's", cert.Subject)
}
