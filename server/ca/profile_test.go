package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// realCertificates returns the certificates of Fulcio's own instances in the shared vectors, without duplicates.
func realCertificates(t testing.TB) map[string]*x509.Certificate {
	t.Helper()
	out := map[string]*x509.Certificate{}
	for _, dir := range []string{"conformance-public", "cpython-public", "sigstore-java", "sigstore-js", "sigstore-go", "github-cli", "sigstore-python"} {
		root := testenv.Vectors(t, dir)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.Contains(filepath.Base(path), "json") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b, err := bundle.Decode(data)
			if err != nil || len(b.Material.Certificates) == 0 {
				return nil // one that is meant to be broken, or of a key
			}
			cert, err := x509.ParseCertificate(b.Material.Certificates[0])
			if err == nil && cert.Issuer.CommonName == "sigstore-intermediate" {
				out[string(cert.Raw)] = cert
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// value returns an extension of a certificate.
func value(cert *x509.Certificate, oid asn1.ObjectIdentifier) []byte {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oid) {
			return ext.Value
		}
	}
	return nil
}

// algorithmDER returns the inner AlgorithmIdentifier of a certificate.
func algorithmDER(t testing.TB, cert *x509.Certificate) []byte {
	t.Helper()
	var outer struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.Raw, &outer); err != nil {
		t.Fatal(err)
	}
	return outer.Algorithm.FullBytes
}

// TestRealCertificates writes every real certificate again, from nothing but what it says, and compares the bytes: order,
// criticality and encoding of all extensions. Only the key identifier is made in another way (RFC 7093 instead of SHA-1).
func TestRealCertificates(t *testing.T) {
	certs := realCertificates(t)
	same := 0
	for _, cert := range certs {
		read, err := identity.FromX509(cert)
		if err != nil {
			t.Fatal(err)
		}
		d := &draft{
			issuer: &x509.Certificate{RawSubject: cert.RawIssuer, SubjectKeyId: cert.AuthorityKeyId, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter},
			alg:    algorithmDER(t, cert), serial: cert.SerialNumber, notBefore: cert.NotBefore, notAfter: cert.NotAfter,
			spki: cert.RawSubjectPublicKeyInfo, san: read.SANs[0], extensions: read.Extensions,
		}
		list := extension{oid: oidSCTList, value: value(cert, oidSCTList)}
		tbs, err := d.tbs(&list)
		if err != nil {
			t.Fatal(err)
		}
		id, err := keyID(cert.RawSubjectPublicKeyInfo)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Replace(tbs, id, cert.SubjectKeyId, 1); !bytes.Equal(got, cert.RawTBSCertificate) {
			t.Errorf("%s of %s: written differently\ngot  %x\nwant %x", read.SANs[0].Value, cert.NotBefore, got, cert.RawTBSCertificate)
			continue
		}
		if err := lint(read, d, oidSCTList); err != nil {
			t.Errorf("%s: %v", read.SANs[0].Value, err)
		}
		same++
	}
	t.Logf("%d certificates, %d written to the byte as Fulcio did", len(certs), same)
	if same < 20 {
		t.Fatalf("only %d real certificates were compared", same)
	}
}

// TestLint changes one thing of a good certificate at a time. Each must be found.
func TestLint(t *testing.T) {
	issuing := &x509.Certificate{
		SubjectKeyId: []byte("issuing key id 20 by"), NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(2e9, 0),
	}
	issuing.RawSubject = []byte{0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'b'}
	spki := p256SPKI(t)
	good := func() *draft {
		return &draft{
			issuer: issuing, alg: ecdsaSHA256, serial: bigSerial(), notBefore: time.Unix(15e8, 0).UTC(), notAfter: time.Unix(15e8+600, 0).UTC(),
			spki: spki, san: identity.SAN{Kind: identity.Email, Value: "a@b.test"},
			extensions: map[string]string{"oidcIssuer": "https://i.test", "oidcIssuerV2": "https://i.test", "tokenSubject": "s"},
		}
	}
	last := poison()
	sct, err := sctList([]byte("any"))
	if err != nil {
		t.Fatal(err)
	}
	if tbs, err := good().tbs(&last); err != nil {
		t.Fatal(err)
	} else if _, err := good().check(tbs, &last); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(d *draft)      // of what is written, while the draft that it is compared with stays
		last *extension          // instead of the poison
		raw  func([]byte) []byte // of the bytes
		want string
	}{
		"serial": {edit: func(d *draft) { d.serial.Add(d.serial, d.serial) }, want: "serial"},
		"issuer": {edit: func(d *draft) {
			d.issuer = &x509.Certificate{RawSubject: []byte{0x30, 0}, SubjectKeyId: issuing.SubjectKeyId}
		}, want: "issuer is not"},
		"key": {edit: func(d *draft) { d.spki = p256SPKI(t) }, want: "public key"},
		"issuer's key id": {edit: func(d *draft) {
			d.issuer = &x509.Certificate{RawSubject: issuing.RawSubject, SubjectKeyId: []byte("x")}
		}, want: "authority key identifier"},
		"start":        {edit: func(d *draft) { d.notBefore = d.notBefore.Add(-time.Second) }, want: "validity"},
		"end":          {edit: func(d *draft) { d.notAfter = d.notAfter.Add(time.Second) }, want: "validity"},
		"name":         {edit: func(d *draft) { d.san.Value = "c@b.test" }, want: "names"},
		"kind of name": {edit: func(d *draft) { d.san = identity.SAN{Kind: identity.URI, Value: "https://b.test"} }, want: "names"},
		"claim":        {edit: func(d *draft) { d.extensions["tokenSubject"] = "t" }, want: "claims"},
		"more claims":  {edit: func(d *draft) { d.extensions["buildTrigger"] = "push" }, want: "claims"},
		"two issuers":  {edit: func(d *draft) { d.extensions["oidcIssuerV2"] = "https://j.test" }, want: "issuer"},
		"no poison":    {last: &extension{oid: oidSCTList, value: sct.value}, want: "last extension"},
		"mild poison":  {last: &extension{oid: oidPoison, value: []byte{5, 0}}, want: "last extension"},
		"stranger":     {last: &extension{oid: asn1.ObjectIdentifier{1, 2, 3}, value: []byte{5, 0}}, want: "last extension"},
		"CA":           {last: &extension{oid: asn1.ObjectIdentifier{2, 5, 29, 19}, critical: true, value: []byte{0x30, 3, 1, 1, 0xff}}, want: "basic constraints"},
		"key usage":    {raw: swap([]byte{3, 2, 7, 0x80}, []byte{3, 2, 5, 0xa0}), want: "key usage"},
		"purpose":      {raw: swap([]byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3}, []byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1}), want: "extended key usage"},
		"any purpose":  {raw: swap([]byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3}, []byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 99}), want: "extended key usage"},
		"order":        {raw: swap([]byte{0x55, 0x1d, 0x0e}, []byte{0x55, 0x1d, 0x0f}), want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			written, end := good(), &last
			if c.edit != nil {
				c.edit(written)
			}
			if c.last != nil {
				end = c.last
			}
			tbs, err := written.tbs(end)
			if err != nil {
				t.Fatal(err)
			}
			if c.raw != nil {
				tbs = c.raw(tbs)
			}
			if _, err := good().check(tbs, &last); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	long := good()
	long.notAfter = long.notAfter.Add(time.Hour)
	if tbs, err := long.tbs(&last); err != nil {
		t.Fatal(err)
	} else if _, err := long.check(tbs, &last); err == nil {
		t.Fatal("a long certificate passes")
	}
}

func swap(from, to []byte) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, from, to, 1) }
}
