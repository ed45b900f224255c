package mint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/identity"
)

// CA issues certificates as Fulcio does: a P-384 root, an intermediate for code signing, leaves of ten minutes.
type CA struct {
	Root         *x509.Certificate
	Intermediate *x509.Certificate
	key          *ecdsa.PrivateKey // of the intermediate
}

// CAOptions describe an authority. The zero value is the usual one.
type CAOptions struct {
	Name      string                  // organisation in the subjects; "bulla test" when empty
	Curve     elliptic.Curve          // of the intermediate; P-256 when nil
	NotBefore time.Time               // of root and intermediate; a year before Epoch when zero
	NotAfter  time.Time               // nine years after Epoch when zero
	Edit      func(*x509.Certificate) // last word on the intermediate's template
}

// NewCA makes an authority with fresh keys.
func NewCA(t testing.TB, opts CAOptions) *CA {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "bulla test"
	}
	if opts.Curve == nil {
		opts.Curve = elliptic.P256()
	}
	if opts.NotBefore.IsZero() {
		opts.NotBefore = Epoch.AddDate(-1, 0, 0)
	}
	if opts.NotAfter.IsZero() {
		opts.NotAfter = Epoch.AddDate(9, 0, 0)
	}
	rootKey := newECDSA(t, elliptic.P384())
	root := &x509.Certificate{
		SerialNumber: serial(t), NotBefore: opts.NotBefore, NotAfter: opts.NotAfter,
		Subject: pkix.Name{Organization: []string{opts.Name}, CommonName: "root"},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca := &CA{key: newECDSA(t, opts.Curve)}
	ca.Root = createCert(t, root, root, rootKey.Public(), rootKey)
	intermediate := &x509.Certificate{
		SerialNumber: serial(t), NotBefore: opts.NotBefore, NotAfter: opts.NotAfter,
		Subject: pkix.Name{Organization: []string{opts.Name}, CommonName: "intermediate"},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if opts.Edit != nil {
		opts.Edit(intermediate)
	}
	ca.Intermediate = createCert(t, intermediate, ca.Root, ca.key.Public(), rootKey)
	return ca
}

// Chain returns the authority's certificates as a trusted root lists them: intermediate, root.
func (ca *CA) Chain() []*x509.Certificate {
	return []*x509.Certificate{ca.Intermediate, ca.Root}
}

// LeafOptions describe a leaf certificate. Only Public is needed.
type LeafOptions struct {
	Public     crypto.PublicKey
	SANs       []identity.SAN    // one e-mail address, [Email], when nil; an empty slice leaves the extension out
	Issuer     string            // written as .1 and .8; [Issuer] when empty, left out when "-"
	Extensions map[string]string // further claims by [identity.Extension.Name]
	NotBefore  time.Time         // Epoch when zero
	NotAfter   time.Time         // ten minutes after NotBefore when zero
	CTLogs     []*CTLog          // one embedded SCT each; none: a certificate without SCTs
	SCTTime    time.Time         // of the SCTs; NotBefore when zero

	Extra    []pkix.Extension        // written between the claims and the SCT list
	Edit     func(*x509.Certificate) // last word on the template: key usages, subject, …
	EditSCTs func([]byte) []byte     // changes the TLS-encoded SCT list before it is embedded
}

// Issue makes a leaf certificate and returns its DER. With CT logs it goes the way of RFC 6962 3.1: a precertificate
// with the poison extension is signed and given to each log, then the certificate is signed with the SCTs in its place.
func (ca *CA) Issue(t testing.TB, opts LeafOptions) []byte {
	t.Helper()
	template := leafTemplate(t, &opts)
	if len(opts.CTLogs) == 0 {
		return createCert(t, template, ca.Intermediate, opts.Public, ca.key).Raw
	}
	before := template.ExtraExtensions
	poison := pkix.Extension{Id: oidPoison, Critical: true, Value: []byte{5, 0}}
	template.ExtraExtensions = append(slices.Clone(before), poison)
	precert := createCert(t, template, ca.Intermediate, opts.Public, ca.key)
	var scts [][]byte
	for _, log := range opts.CTLogs {
		scts = append(scts, log.SignPrecert(t, precert.Raw, ca.Intermediate, opts.SCTTime))
	}
	list := sctList(scts)
	if opts.EditSCTs != nil {
		list = opts.EditSCTs(list)
	}
	template.ExtraExtensions = append(slices.Clone(before), pkix.Extension{Id: oidSCTList, Value: marshal(t, list)})
	return createCert(t, template, ca.Intermediate, opts.Public, ca.key).Raw
}

// leafTemplate fills in the defaults of opts and makes the template without SCT list.
func leafTemplate(t testing.TB, opts *LeafOptions) *x509.Certificate {
	if opts.NotBefore.IsZero() {
		opts.NotBefore = Epoch
	}
	if opts.NotAfter.IsZero() {
		opts.NotAfter = opts.NotBefore.Add(10 * time.Minute)
	}
	if opts.SCTTime.IsZero() {
		opts.SCTTime = opts.NotBefore
	}
	if opts.SANs == nil {
		opts.SANs = []identity.SAN{{Kind: identity.Email, Value: Email}}
	}
	template := &x509.Certificate{
		SerialNumber: serial(t), NotBefore: opts.NotBefore, NotAfter: opts.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		SubjectKeyId: subjectKeyID(t, opts.Public),
	}
	if len(opts.SANs) > 0 {
		template.ExtraExtensions = append(template.ExtraExtensions, sanExtension(t, opts.SANs))
	}
	claims := maps.Clone(opts.Extensions)
	if claims == nil {
		claims = map[string]string{}
	}
	if opts.Issuer != "-" {
		issuer := opts.Issuer
		if issuer == "" {
			issuer = Issuer
		}
		claims[identity.NameIssuer], claims[identity.NameIssuerV2] = issuer, issuer
	}
	template.ExtraExtensions = append(template.ExtraExtensions, claimExtensions(t, claims)...)
	template.ExtraExtensions = append(template.ExtraExtensions, opts.Extra...)
	if opts.Edit != nil {
		opts.Edit(template)
	}
	return template
}

// claimExtensions writes claims in the order of the table; a name that is not in it fails the test.
func claimExtensions(t testing.TB, claims map[string]string) []pkix.Extension {
	t.Helper()
	var out []pkix.Extension
	for _, row := range identity.Extensions() {
		value, ok := claims[row.Name]
		if !ok {
			continue
		}
		encoded, err := row.EncodeValue(value)
		if err != nil {
			t.Fatal(err)
		}
		id := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, row.Number}
		out = append(out, pkix.Extension{Id: id, Value: encoded})
		delete(claims, row.Name)
	}
	for name := range claims {
		t.Fatalf("no certificate extension is called %q", name)
	}
	return out
}

// sanExtension writes a critical SAN extension with names of all kinds.
func sanExtension(t testing.TB, sans []identity.SAN) pkix.Extension {
	t.Helper()
	var names []asn1.RawValue
	for _, san := range sans {
		name := asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: []byte(san.Value)}
		switch san.Kind {
		case identity.Email:
			name.Tag = 1
		case identity.DNS:
			name.Tag = 2
		case identity.URI:
			name.Tag = 6
		case identity.IP:
			name.Tag, name.Bytes = 7, netip.MustParseAddr(san.Value).AsSlice()
		case identity.OtherName:
			name.IsCompound, name.Bytes = true, otherName(t, san.Value)
		default:
			t.Fatalf("no kind of name: %v", san)
		}
		names = append(names, name)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: marshal(t, names)}
}

// otherName writes the content of an otherName of Fulcio's type.
func otherName(t testing.TB, value string) []byte {
	text := marshal(t, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(value)})
	wrapped := asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: text}
	return append(marshal(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}), marshal(t, wrapped)...)
}

func createCert(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newECDSA(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 150))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}

func subjectKeyID(t testing.TB, pub crypto.PublicKey) []byte {
	sum := sha256.Sum256(SPKI(t, pub))
	return sum[:20]
}

// SPKI returns the DER of a public key.
func SPKI(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// PEM writes certificates as PEM blocks, one after the other.
func PEM(certs ...[]byte) []byte {
	var out bytes.Buffer
	for _, der := range certs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return out.Bytes()
}
