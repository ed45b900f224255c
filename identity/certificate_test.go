package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// selfSigned makes a certificate with the given extensions and no others but key usage.
func selfSigned(t testing.TB, extensions ...pkix.Extension) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		NotBefore:       time.Unix(1_700_000_000, 0),
		NotAfter:        time.Unix(1_700_000_600, 0),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: extensions,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func generalName(tag int, content []byte) []byte {
	t := cbasn1.Tag(tag).ContextSpecific()
	if tag == tagOtherName {
		t = t.Constructed()
	}
	var b cryptobyte.Builder
	b.AddASN1(t, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	return b.BytesOrPanic()
}

func otherName(oid asn1.ObjectIdentifier, value string) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
	})
	return generalName(tagOtherName, b.BytesOrPanic())
}

func sanExtension(critical bool, names ...[]byte) pkix.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(names, nil)) })
	return pkix.Extension{Id: oidSAN(), Critical: critical, Value: b.BytesOrPanic()}
}

func fulcioExtension(n int, value []byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: value}
}

func utf8String(s string) []byte { return append([]byte{12, byte(len(s))}, s...) }

func TestSANs(t *testing.T) {
	microsoftUPN := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
	der := selfSigned(t, sanExtension(true,
		generalName(tagEmail, []byte("alice@example.com")),
		generalName(tagURI, []byte("https://example.com/%41?q#f")),
		generalName(tagDNS, []byte("build.example.com")),
		generalName(tagIP, []byte{192, 0, 2, 1}),
		generalName(tagIP, net16()),
		otherName(oidFulcioOtherName(), "älice!example.com"),
	))
	c := mustParse(t, der)
	want := []SAN{
		{Email, "alice@example.com"},
		{URI, "https://example.com/%41?q#f"},
		{DNS, "build.example.com"},
		{IP, "192.0.2.1"},
		{IP, "2001:db8::1"},
		{OtherName, "älice!example.com"},
	}
	if !slices.Equal(c.SANs, want) {
		t.Errorf("names %v, want %v", c.SANs, want)
	}
	c = mustParse(t, selfSigned(t, sanExtension(false, otherName(microsoftUPN, "a@b"), generalName(tagEmail, []byte("c@d")))))
	if !slices.Equal(c.SANs, []SAN{{Email, "c@d"}}) {
		t.Errorf("beside an unknown kind: %v", c.SANs)
	}
	if c = mustParse(t, selfSigned(t)); c.SANs != nil || c.Issuer != "" {
		t.Errorf("a certificate without names: %v, issuer %q", c.SANs, c.Issuer)
	}
}

func net16() []byte {
	return append([]byte{0x20, 0x01, 0x0d, 0xb8}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
}

func TestSANErrors(t *testing.T) {
	email := func(s string) []byte { return generalName(tagEmail, []byte(s)) }
	many := make([][]byte, maxSANs+1)
	for i := range many {
		many[i] = email("a@b")
	}
	tests := []struct {
		name string
		san  pkix.Extension
		want string
	}{
		{"line end", sanExtension(true, email("alice@example.com\nevil")), "control character"},
		{"NUL", sanExtension(true, email("alice@example.com\x00.evil")), "control character"},
		{"empty", sanExtension(true, email("")), "empty"},
		{"too long", sanExtension(true, email(strings.Repeat("a", maxValueSize+1))), "more than"},
		{"too many", sanExtension(true, many...), "more than 32 names"},
		{"otherName not UTF-8", sanExtension(true, otherName(oidFulcioOtherName(), "\xff")), "not UTF-8"},
		{"otherName control", sanExtension(true, otherName(oidFulcioOtherName(), "a\x1b[2J")), "control character"},
		{"otherName cut", sanExtension(true, generalName(tagOtherName, []byte{6, 1, 1})), "otherName"},
	}
	for _, tt := range tests {
		_, err := ParseCertificate(selfSigned(t, tt.san))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	// The x509 package refuses these itself, so they are given to the reader directly.
	for name, value := range map[string][]byte{
		"not ASCII":         sanExtension(true, email("ä@example.com")).Value,
		"trailing data":     append(sanExtension(true, email("a@b")).Value, 0),
		"cut":               {0x30, 2, 0x81, 9},
		"IP of three bytes": sanExtension(true, generalName(tagIP, []byte{1, 2, 3})).Value,
	} {
		if err := new(Certificate).readSANs(value); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestForChain checks that a critical SAN with only an otherName is verifiable, and that unknown kinds are not.
func TestForChain(t *testing.T) {
	verify := func(c *Certificate) error {
		self := *c.X509
		self.UnhandledCriticalExtensions = nil
		self.IsCA, self.BasicConstraintsValid = true, true
		roots := x509.NewCertPool()
		roots.AddCert(&self)
		_, err := c.ForChain().Verify(x509.VerifyOptions{
			Roots: roots, CurrentTime: c.X509.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		return err
	}
	other := otherName(oidFulcioOtherName(), "foo!example.com")
	c := mustParse(t, selfSigned(t, sanExtension(true, other)))
	if len(c.X509.UnhandledCriticalExtensions) != 1 {
		t.Fatal("the x509 package handles otherName now: ForChain is no longer needed")
	}
	if err := verify(c); err != nil {
		t.Errorf("critical SAN with only a known otherName: %v", err)
	}
	if len(c.X509.UnhandledCriticalExtensions) != 1 {
		t.Error("ForChain changed the parsed certificate")
	}
	upn := otherName(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}, "a@b")
	foreign := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	for name, der := range map[string][]byte{
		"unknown otherName":          selfSigned(t, sanExtension(true, upn)),
		"known and unknown":          selfSigned(t, sanExtension(true, other, upn)),
		"no names":                   selfSigned(t, sanExtension(true)),
		"another critical extension": selfSigned(t, sanExtension(true, other), foreign),
	} {
		if err := verify(mustParse(t, der)); err == nil {
			t.Errorf("%s: chain building ignored a critical extension", name)
		}
	}
	plain := mustParse(t, selfSigned(t, sanExtension(true, generalName(tagEmail, []byte("a@b")))))
	if plain.ForChain() != plain.X509 {
		t.Error("a certificate that needs no change was copied")
	}
}

func TestExtensionValues(t *testing.T) {
	c := mustParse(t, selfSigned(t,
		fulcioExtension(1, []byte("https://issuer.example")),
		fulcioExtension(2, []byte("push")),
		fulcioExtension(8, utf8String("https://issuer.example")),
		fulcioExtension(12, utf8String("https://github.com/acme/app")),
		fulcioExtension(13, utf8String("")),
		fulcioExtension(25, []byte("a number that is not in the table")),
	))
	want := map[string]string{
		NameIssuer: "https://issuer.example", NameIssuerV2: "https://issuer.example",
		"githubWorkflowTrigger": "push", "sourceRepositoryURI": "https://github.com/acme/app",
	}
	if len(c.Extensions) != len(want) {
		t.Errorf("extensions %v, want %v", c.Extensions, want)
	}
	for name, value := range want {
		if c.Extensions[name] != value {
			t.Errorf("%s is %q, want %q", name, c.Extensions[name], value)
		}
	}
	for n, value := range map[int][]byte{1: []byte("https://old"), 8: utf8String("https://new")} {
		if c := mustParse(t, selfSigned(t, fulcioExtension(n, value))); !strings.HasPrefix(c.Issuer, "https://") {
			t.Errorf("issuer from .%d alone: %q", n, c.Issuer)
		}
	}
	long := append([]byte{12, 0x82, 0x10, 0x01}, bytes.Repeat([]byte("a"), maxValueSize+1)...)
	many := make([]pkix.Extension, maxExtensions+1)
	for i := range many {
		many[i] = pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, i}, Value: []byte{5, 0}}
	}
	for name, der := range map[string][]byte{
		"issuers differ":    selfSigned(t, fulcioExtension(1, []byte("https://a")), fulcioExtension(8, utf8String("https://b"))),
		"raw where DER":     selfSigned(t, fulcioExtension(8, []byte("https://issuer.example"))),
		"trailing data":     selfSigned(t, fulcioExtension(9, append(utf8String("a"), 0))),
		"printable string":  selfSigned(t, fulcioExtension(9, []byte{19, 1, 'a'})),
		"not UTF-8":         selfSigned(t, fulcioExtension(9, []byte{12, 1, 0xff})),
		"raw, not UTF-8":    selfSigned(t, fulcioExtension(2, []byte{0xff})),
		"too long":          selfSigned(t, fulcioExtension(9, long)),
		"extension twice":   twice(t),
		"trailing bytes":    append(selfSigned(t), 0),
		"too many":          selfSigned(t, many...),
		"larger than limit": append(selfSigned(t), make([]byte, maxCertificateSize)...),
		"nothing":           nil,
	} {
		if _, err := ParseCertificate(der); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// twice makes a certificate in which one extension occurs twice, which CreateCertificate does not check.
func twice(t *testing.T) []byte {
	return selfSigned(t, fulcioExtension(9, utf8String("a")), fulcioExtension(9, utf8String("b")))
}

// TestDuplicateExtensionFromX509 covers certificates that did not come from Go's parser, which refuses duplicates too.
func TestDuplicateExtensionFromX509(t *testing.T) {
	cert := mustParse(t, selfSigned(t)).X509
	cert.Extensions = append(cert.Extensions, fulcioExtension(9, utf8String("a")), fulcioExtension(9, utf8String("b")))
	if _, err := FromX509(cert); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("duplicate extension: %v", err)
	}
}

func TestExtensionTable(t *testing.T) {
	names := map[string]bool{}
	for i, e := range Extensions() {
		if e.Number != i+1 || !strings.HasSuffix(e.OID, "."+big.NewInt(int64(e.Number)).String()) || e.Label == "" {
			t.Errorf("row %d: %+v", i, e)
		}
		if names[e.Name] {
			t.Errorf("the name %s occurs twice", e.Name)
		}
		names[e.Name] = true
		value, err := e.EncodeValue("https://x/ä")
		if e.Encoding == EncodingOtherName {
			if err == nil {
				t.Errorf(".%d encodes as an extension", e.Number)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if raw := e.Number <= 6; raw != (string(value) == "https://x/ä") {
			t.Errorf(".%d encodes as %x", e.Number, value)
		}
		if got, err := e.decodeValue(value); err != nil || got != "https://x/ä" {
			t.Errorf(".%d decodes to %q, %v", e.Number, got, err)
		}
		if _, err := e.EncodeValue("\xff"); err == nil {
			t.Errorf(".%d encodes what is not UTF-8", e.Number)
		}
	}
	if len(names) != 24 {
		t.Errorf("%d rows", len(names))
	}
	for key, number := range map[string]int{
		"githubWorkflowTrigger": 2, "1.3.6.1.4.1.57264.1.24": 24, "certificate-github-workflow-ref": 6, "certificate-oidc-issuer": 8,
	} {
		if e, ok := LookupExtension(key); !ok || e.Number != number {
			t.Errorf("LookupExtension(%q) = %+v, %v", key, e, ok)
		}
	}
	if _, ok := LookupExtension(""); ok {
		t.Error("the empty key was found")
	}
}

func TestDescribe(t *testing.T) {
	c := mustParse(t, pemCert(t, "sigstore-java", "samples", "certs", "cert-githuboidc.pem"))
	lines := c.Describe()
	if lines[0].Label != "Identity (uri)" || lines[1].Label != "Identity provider" {
		t.Errorf("begins with %v", lines[:2])
	}
	if _, err := url.Parse(lines[0].Value); err != nil || lines[1].Value != "https://token.actions.githubusercontent.com" {
		t.Errorf("begins with %v", lines[:2])
	}
	if !slices.ContainsFunc(lines, func(l Line) bool { return l.Label == "GitHub Workflow Trigger" && l.Value != "" }) {
		t.Errorf("no workflow trigger in %v", lines)
	}
}

func FuzzParseCertificate(f *testing.F) {
	n := 0
	for _, der := range bundleLeaves(f) {
		if n++; n > 20 {
			break
		}
		f.Add(der)
	}
	for _, name := range []string{"bogus-leaf.pem", "bogus-root.pem", "bogus-leaf-missing-eku.pem"} {
		f.Add(pemCert(f, "sigstore-python", "x509", name))
	}
	f.Add(testenv.ReadVector(f, "sigstore-java", "samples", "certs", "cert.der"))
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ParseCertificate(der)
		if err != nil {
			return
		}
		c.Describe()
		c.ForChain()
		scts, err := c.EmbeddedSCTs()
		if err == nil && len(scts) > 0 {
			tbs, err := precertTBS(c.X509.RawTBSCertificate)
			if err == nil && len(tbs) >= len(c.X509.RawTBSCertificate) {
				t.Error("taking the SCT list out made the certificate longer")
			}
		}
	})
}
