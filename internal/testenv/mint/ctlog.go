package mint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"
)

var (
	oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
)

// CTLog signs certificate timestamps (RFC 6962 3.2). It keeps no tree: nobody asks for one when verifying.
type CTLog struct {
	Key  crypto.Signer // ECDSA or RSA
	URL  string
	next uint64 // leaf index of the next entry
}

// NewCTLog makes a log with the given key, or a fresh P-256 key when it is nil.
func NewCTLog(t testing.TB, key crypto.Signer) *CTLog {
	t.Helper()
	if key == nil {
		key = newECDSA(t, elliptic.P256())
	}
	return &CTLog{Key: key, URL: "https://ctfe.bulla.test/2026", next: 41}
}

// ID returns the log's id, the SHA-256 of its public key.
func (l *CTLog) ID(t testing.TB) [32]byte { return sha256.Sum256(SPKI(t, l.Key.Public())) }

// SignPrecert returns the TLS encoding of an SCT for a precertificate.
func (l *CTLog) SignPrecert(t testing.TB, precert []byte, issuer *x509.Certificate, at time.Time) []byte {
	t.Helper()
	keyHash := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	entry := append([]byte{0, 1}, keyHash[:]...)
	return l.sign(t, appendUint24(entry, withoutPoison(t, precert)), at)
}

// SignCertificate returns the TLS encoding of an SCT for a certificate itself, to be delivered apart from it.
func (l *CTLog) SignCertificate(t testing.TB, cert []byte, at time.Time) []byte {
	t.Helper()
	return l.sign(t, appendUint24([]byte{0, 0}, cert), at)
}

// Detached returns the JSON form of an SCT, as Fulcio delivers it.
func (l *CTLog) Detached(t testing.TB, cert []byte, at time.Time) []byte {
	t.Helper()
	tls := l.SignCertificate(t, cert, at)
	extensions := int(binary.BigEndian.Uint16(tls[41:]))
	out, err := json.Marshal(map[string]any{
		"sct_version": 0,
		"id":          base64.StdEncoding.EncodeToString(tls[1:33]),
		"timestamp":   binary.BigEndian.Uint64(tls[33:]),
		"extensions":  base64.StdEncoding.EncodeToString(tls[43 : 43+extensions]),
		"signature":   base64.StdEncoding.EncodeToString(tls[43+extensions:]),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sign makes an SCT for an entry (type and content). It carries the leaf_index extension of static-ct-api, as the
// logs in operation do.
func (l *CTLog) sign(t testing.TB, entry []byte, at time.Time) []byte {
	t.Helper()
	millis := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	index := binary.BigEndian.AppendUint64(nil, l.next)[3:] // uint40
	l.next++
	extensions := append([]byte{0, 8, 0, 0, 5}, index...) // length of all, then type 0, length 5

	signed := append([]byte{0, 0}, millis...)
	signed = append(signed, entry...)
	signed = append(signed, extensions...)
	digest := sha256.Sum256(signed)
	signature, err := l.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	id := l.ID(t)
	sct := append([]byte{0}, id[:]...)
	sct = append(sct, millis...)
	sct = append(sct, extensions...)
	switch l.Key.Public().(type) {
	case *ecdsa.PublicKey:
		sct = append(sct, 4, 3)
	case *rsa.PublicKey:
		sct = append(sct, 4, 1)
	default:
		t.Fatalf("a CT log with a key of type %T", l.Key)
	}
	return appendUint16(sct, signature)
}

func appendUint16(to, content []byte) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(content))), content...)
}

func appendUint24(to, content []byte) []byte {
	n := len(content)
	return append(append(to, byte(n>>16), byte(n>>8), byte(n)), content...)
}

func sctList(scts [][]byte) []byte {
	var list []byte
	for _, sct := range scts {
		list = appendUint16(list, sct)
	}
	return appendUint16(nil, list)
}

// tbsCertificate is TBSCertificate with everything but the extensions left as it is.
type tbsCertificate struct {
	Version, Serial, Algorithm, Issuer, Validity, Subject, Key asn1.RawValue

	Extensions []asn1.RawValue `asn1:"explicit,tag:3"`
}

// withoutPoison returns the precertificate's TBSCertificate without the poison extension.
func withoutPoison(t testing.TB, precert []byte) []byte {
	t.Helper()
	cert, err := x509.ParseCertificate(precert)
	if err != nil {
		t.Fatal(err)
	}
	var tbs tbsCertificate
	if rest, err := asn1.Unmarshal(cert.RawTBSCertificate, &tbs); err != nil || len(rest) > 0 {
		t.Fatalf("precertificate: %v", err)
	}
	kept := tbs.Extensions[:0:0]
	for i, ext := range tbs.Extensions {
		if !cert.Extensions[i].Id.Equal(oidPoison) {
			kept = append(kept, ext)
		}
	}
	if len(kept) != len(tbs.Extensions)-1 {
		t.Fatal("a precertificate needs exactly one poison extension")
	}
	tbs.Extensions = kept
	return marshal(t, tbs)
}
