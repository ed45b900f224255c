package identity

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits on SCTs.
const (
	// maxSCTs bounds the SCTs of one certificate: Fulcio embeds one, web authorities up to five.
	maxSCTs = 16
	// maxSCTSize bounds a detached SCT, in bytes: with an RSA-4096 signature and JSON around it less than 1 KiB is used.
	maxSCTSize = 16 << 10
	// maxSCTTime is the last millisecond of the year 9999, the end of what an X.509 time can say.
	maxSCTTime = 253402300799999
)

// The numbers of TLS 1.2's SignatureAndHashAlgorithm (RFC 5246 7.4.1.4.1) that RFC 6962 2.1.4 allows.
const (
	tlsSHA256 = 4
	tlsRSA    = 1
	tlsECDSA  = 3
)

// SCT is a Signed Certificate Timestamp of version 1 (RFC 6962 3.2). What it says is the claim of whoever wrote it
// until [Certificate.VerifyEmbeddedSCT] or [Certificate.VerifyDetachedSCT] has accepted it, which return the time.
type SCT struct {
	LogID      [32]byte  // SHA-256 of the log's SubjectPublicKeyInfo
	Timestamp  time.Time // as claimed, UTC, whole milliseconds
	Extensions []byte    // CtExtensions without their length
	Signature  []byte    // ECDSA: ASN.1 DER; RSA: PKCS #1 v1.5

	sigAlg uint8 // tlsECDSA or tlsRSA; the hash is always SHA-256
}

func oidSCTList() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
}

// EmbeddedSCTs reads the certificate's SCT list extension (RFC 6962 3.3). A certificate without the extension gives
// none and no error. SCTs of a version other than 1 are refused, not skipped: no such version was ever deployed.
func (c *Certificate) EmbeddedSCTs() ([]SCT, error) {
	for _, ext := range c.X509.Extensions {
		if ext.Id.Equal(oidSCTList()) {
			scts, err := parseSCTListExtension(ext.Value)
			if err != nil {
				return nil, fmt.Errorf("certificate: SCT list: %w", err)
			}
			return scts, nil
		}
	}
	return nil, nil
}

// parseSCTListExtension reads the extension's value: an OCTET STRING that holds the TLS-encoded list.
func parseSCTListExtension(der []byte) ([]SCT, error) {
	input := cryptobyte.String(der)
	var octets cryptobyte.String
	if !input.ReadASN1(&octets, cbasn1.OCTET_STRING) || !input.Empty() {
		return nil, errors.New("not one DER octet string")
	}
	return parseSCTList(octets)
}

// parseSCTList reads a SignedCertificateTimestampList, which holds at least one SCT.
func parseSCTList(data []byte) ([]SCT, error) {
	input := cryptobyte.String(data)
	var list cryptobyte.String
	if !input.ReadUint16LengthPrefixed(&list) || !input.Empty() {
		return nil, errors.New("its length does not agree with its content")
	}
	if list.Empty() {
		return nil, errors.New("it is empty")
	}
	var scts []SCT
	for !list.Empty() {
		if len(scts) == maxSCTs {
			return nil, fmt.Errorf("more than %d SCTs", maxSCTs)
		}
		var one cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&one) {
			return nil, fmt.Errorf("SCT %d is cut off", len(scts))
		}
		sct, err := parseTLSSCT(one)
		if err != nil {
			return nil, fmt.Errorf("SCT %d: %w", len(scts), err)
		}
		scts = append(scts, sct)
	}
	return scts, nil
}

// parseTLSSCT reads the TLS encoding of one SCT (RFC 6962 3.2).
func parseTLSSCT(data []byte) (SCT, error) {
	input := cryptobyte.String(data)
	var sct SCT
	var version uint8
	var millis uint64
	var extensions cryptobyte.String
	if !input.ReadUint8(&version) {
		return SCT{}, errors.New("it is empty")
	}
	if version != 0 {
		return SCT{}, fmt.Errorf("version byte %d, not 0 (v1)", version)
	}
	if !input.CopyBytes(sct.LogID[:]) || !input.ReadUint64(&millis) || !input.ReadUint16LengthPrefixed(&extensions) {
		return SCT{}, errors.New("it is cut off")
	}
	if err := sct.setTime(millis); err != nil {
		return SCT{}, err
	}
	sct.Extensions = slices.Clone([]byte(extensions))
	return sct, sct.setSignature(input)
}

func (s *SCT) setTime(millis uint64) error {
	if millis > maxSCTTime {
		return fmt.Errorf("timestamp %d ms is after the year 9999", millis)
	}
	s.Timestamp = time.UnixMilli(int64(millis)).UTC()
	return nil
}

// setSignature reads a TLS DigitallySigned structure.
func (s *SCT) setSignature(data []byte) error {
	input := cryptobyte.String(data)
	var hash, sig uint8
	var signature cryptobyte.String
	if !input.ReadUint8(&hash) || !input.ReadUint8(&sig) || !input.ReadUint16LengthPrefixed(&signature) || !input.Empty() {
		return errors.New("the signature's length does not agree with its content")
	}
	if hash != tlsSHA256 || (sig != tlsECDSA && sig != tlsRSA) {
		return fmt.Errorf("signature algorithm (hash %d, signature %d) is neither SHA-256 with ECDSA (4, 3) nor with RSA (4, 1)", hash, sig)
	}
	s.sigAlg = sig
	s.Signature = slices.Clone([]byte(signature))
	return nil
}

// signedBytes returns what the log signed: the digitally-signed struct of RFC 6962 3.2 for an entry of the given type.
func (s SCT) signedBytes(entryType uint16, entry func(*cryptobyte.Builder)) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, usualSigned))
	b.AddUint8(0) // version v1
	b.AddUint8(0) // signature_type certificate_timestamp
	b.AddUint64(uint64(s.Timestamp.UnixMilli()))
	b.AddUint16(entryType)
	entry(b)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Extensions) })
	return b.Bytes()
}

// usualSigned is how many bytes an SCT is usually over: those of a certificate. It is the room that is made, not a limit.
const usualSigned = 1 << 10
