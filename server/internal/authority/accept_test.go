package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/authority"
)

var now = time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC)

func ecdsaKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// links are the certificates of a chain before they are made, the first first, with their keys.
type links struct {
	templates []*x509.Certificate
	keys      []crypto.Signer
	request   *x509.CertificateRequest
}

// newLinks makes what a request of a kind is answered with: its certificate, an authority, a root.
func newLinks(t testing.TB, kind authority.Kind) *links {
	t.Helper()
	l := &links{keys: []crypto.Signer{ecdsaKey(t, elliptic.P256()), ecdsaKey(t, elliptic.P384()), ecdsaKey(t, elliptic.P384())}}
	text, err := authority.Request(kind, "Example Inc", l.keys[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(text))
	if l.request, err = x509.ParseCertificateRequest(block.Bytes); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"", "authority", "root"} {
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(int64(i + 1)), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0),
			KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: i, SubjectKeyId: []byte{byte(i + 1)},
		}
		if i == 0 {
			template = &x509.Certificate{
				Subject: l.request.Subject, SerialNumber: big.NewInt(9), NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(1, 0, 0),
				ExtraExtensions: l.request.Extensions, SubjectKeyId: []byte{9},
			}
		}
		l.templates = append(l.templates, template)
	}
	return l
}

// chain makes the certificates.
func (l *links) chain(t testing.TB) string {
	t.Helper()
	var out bytes.Buffer
	for i, template := range l.templates {
		parent, by := template, l.keys[i]
		if i+1 < len(l.templates) {
			parent, by = l.templates[i+1], l.keys[i+1]
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, l.keys[i].Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// without takes an extension out of what the request asked for.
func without(l *links, id asn1.ObjectIdentifier) {
	var left []pkix.Extension
	for _, e := range l.templates[0].ExtraExtensions {
		if !e.Id.Equal(id) {
			left = append(left, e)
		}
	}
	l.templates[0].ExtraExtensions = left
}

var oidUsages = asn1.ObjectIdentifier{2, 5, 29, 37}

func kinds() map[string]authority.Kind {
	return map[string]authority.Kind{"signing": authority.Signing(), "stamping": authority.Stamping()}
}

// What a request asks for is accepted, as it was asked for, whatever stands between the certificates.
func TestAccept(t *testing.T) {
	for name, kind := range kinds() {
		l := newLinks(t, kind)
		chain := l.chain(t)
		got, err := authority.Accept(kind, "a comment\n"+chain+"\nanother\n", l.keys[0].Public(), now)
		if err != nil || got != chain {
			t.Errorf("%s: %v", name, err)
		}
		// Directly below a root, and a root with an RSA key.
		l = newLinks(t, kind)
		l.templates, l.keys = []*x509.Certificate{l.templates[0], l.templates[2]}, []crypto.Signer{l.keys[0], l.keys[2]}
		if _, err := authority.Accept(kind, l.chain(t), l.keys[0].Public(), now); err != nil {
			t.Errorf("%s, below the root: %v", name, err)
		}
		if l.keys[1], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
		chain = l.chain(t)
		if _, err := authority.Accept(kind, chain, l.keys[0].Public(), now); err != nil {
			t.Errorf("%s, RSA: %v", name, err)
		}
	}
}

// Each of these alone is refused, with its reason.
func TestAcceptRefused(t *testing.T) {
	both := map[string]func(t *testing.T, l *links){
		"it expired":                     func(_ *testing.T, l *links) { l.templates[1].NotAfter = now.Add(-time.Minute) },
		"it is valid from":               func(_ *testing.T, l *links) { l.templates[0].NotBefore = now.Add(time.Hour) },
		"it has no subject":              func(_ *testing.T, l *links) { l.templates[0].Subject = pkix.Name{} },
		"is not one of an authority":     func(_ *testing.T, l *links) { l.templates[1].KeyUsage = x509.KeyUsageDigitalSignature },
		"its extended key usage must be": func(_ *testing.T, l *links) { without(l, oidUsages) },
		"must be time stamping/code signing, and nothing else": func(_ *testing.T, l *links) {
			without(l, oidUsages)
			l.templates[0].ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageTimeStamping}
		},
		"does not hold together": func(_ *testing.T, l *links) {
			l.templates[1].ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		},
		"it permits 0 authorities below it": func(_ *testing.T, l *links) {
			l.templates[2].MaxPathLen, l.templates[2].MaxPathLenZero = 0, true
		},
		"e-mail addresses or URIs": func(_ *testing.T, l *links) {
			l.templates[1].PermittedEmailAddresses, l.templates[1].PermittedDNSDomainsCritical = []string{"example.com"}, true
		},
		"which clients do not know": func(_ *testing.T, l *links) {
			l.templates[1].ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		},
		"demands certificate policies": func(_ *testing.T, l *links) {
			l.templates[1].ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}}
		},
		"it is signed with Ed25519": func(t *testing.T, l *links) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			l.keys[2] = key
		},
		"it is signed with SHA256-RSAPSS": func(t *testing.T, l *links) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			l.keys[2], l.templates[1].SignatureAlgorithm = key, x509.SHA256WithRSAPSS
		},
		"is not self-signed": func(t *testing.T, l *links) {
			l.templates, l.keys = l.templates[:2], l.keys[:2]
			other := *l.templates[1]
			other.Subject = pkix.Name{CommonName: "another"}
			l.templates, l.keys = append(l.templates, &other), append(l.keys, ecdsaKey(t, elliptic.P256()))
		},
		"it is not for the key": nil, "want that of the key first": nil, "limit is": nil, "holds a": nil, "is damaged": nil, "is not signed by the next": nil,
	}
	for name, kind := range kinds() {
		for want, change := range both {
			l := newLinks(t, kind)
			if change != nil {
				change(t, l)
			}
			chain, key := l.chain(t), l.keys[0].Public()
			switch want {
			case "it is not for the key":
				key, want = ecdsaKey(t, elliptic.P256()).Public(), "is not for the key"
			case "want that of the key first":
				chain = chain[:strings.Index(chain, "-----END CERTIFICATE-----\n")+len("-----END CERTIFICATE-----\n")]
			case "limit is":
				chain = strings.Repeat("x", authority.MaxChainBytes+1)
			case "holds a":
				chain += "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
			case "is damaged":
				chain = chain[:len(chain)-40]
			case "is not signed by the next":
				other := newLinks(t, kind)
				other.templates[0], other.keys[0] = l.templates[0], l.keys[0]
				chain = strings.SplitAfter(chain, "-----END CERTIFICATE-----\n")[0] + strings.Join(strings.SplitAfter(other.chain(t), "-----END CERTIFICATE-----\n")[1:], "")
			case "is not self-signed":
				// The last certificate states an issuer that is not there.
				parts := strings.SplitAfter(newLinks(t, kind).chain(t), "-----END CERTIFICATE-----\n")
				chain = strings.SplitAfter(chain, "-----END CERTIFICATE-----\n")[0] + parts[1]
			case "must be time stamping/code signing, and nothing else":
				want = "and nothing else"
			}
			if got, err := authority.Accept(kind, chain, key, now); err == nil || !strings.Contains(err.Error(), want) || got != "" {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}

// What is demanded of one kind only.
func TestAcceptKinds(t *testing.T) {
	oidConstraints := asn1.ObjectIdentifier{2, 5, 29, 19}
	for want, test := range map[string]struct {
		kind   authority.Kind
		change func(l *links)
	}{
		"is not one of an authority": {authority.Signing(), func(l *links) { without(l, oidConstraints) }},
		"it must be for digital signatures": {authority.Stamping(), func(l *links) {
			without(l, asn1.ObjectIdentifier{2, 5, 29, 15})
			l.templates[0].KeyUsage = x509.KeyUsageCertSign
		}},
		"must be critical": {authority.Stamping(), func(l *links) {
			without(l, oidUsages)
			l.templates[0].ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
		}},
		"it permits 1 authorities below it, and there are 2": {authority.Signing(), func(l *links) { l.templates[2].MaxPathLen = 1 }},
		"its extended key usage must be code signing": {authority.Signing(), func(l *links) {
			without(l, oidUsages)
			l.templates[0].ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		}},
	} {
		l := newLinks(t, test.kind)
		test.change(l)
		if _, err := authority.Accept(test.kind, l.chain(t), l.keys[0].Public(), now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// One authority less below the root of a timestamp authority.
	l := newLinks(t, authority.Stamping())
	l.templates[2].MaxPathLen = 1
	if _, err := authority.Accept(authority.Stamping(), l.chain(t), l.keys[0].Public(), now); err != nil {
		t.Error(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l = newLinks(t, authority.Signing())
	l.keys[2] = small
	if _, err := authority.Accept(authority.Signing(), l.chain(t), l.keys[0].Public(), now); err == nil || !strings.Contains(err.Error(), "want ECDSA on P-256") {
		t.Errorf("P-224: %v", err)
	}
}

func FuzzAccept(f *testing.F) {
	l := newLinks(f, authority.Signing())
	f.Add(l.chain(f))
	f.Add(newLinks(f, authority.Stamping()).chain(f))
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, chain string) {
		for _, kind := range kinds() {
			if got, err := authority.Accept(kind, chain, l.keys[0].Public(), now); err == nil && strings.Count(got, "BEGIN CERTIFICATE") < 2 {
				t.Errorf("accepted %q", chain)
			}
		}
	})
}
