package timestamp_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

var (
	message = []byte("signature bytes")
	stamped = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
)

func authority(a *testenv.TSA) timestamp.Authority {
	return timestamp.Authority{Leaf: a.Leaf, Intermediates: []*x509.Certificate{a.Intermediate}, Root: a.Root, Linked: true}
}

// stamp makes a token, parses it and checks that parsing goes well.
func stamp(t *testing.T, a *testenv.TSA, at time.Time, o testenv.TSAToken) *timestamp.Token {
	t.Helper()
	der, err := a.StampWith(message, at, o)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := timestamp.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// verify verifies with the leaf trusted and linked, and trusted but not linked; both must agree.
func verify(t *testing.T, tok *timestamp.Token, a timestamp.Authority) (*timestamp.Result, error) {
	t.Helper()
	res, err := tok.Verify(algorithm.Bytes(message), a)
	a.Linked = !a.Linked
	if _, other := tok.Verify(algorithm.Bytes(message), a); (err == nil) != (other == nil) {
		t.Errorf("linked %v: %v; linked %v: %v", !a.Linked, err, a.Linked, other)
	}
	return res, err
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAlgorithms(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048 := rsaKey(t, 2048)
	keys := map[string]crypto.Signer{
		"P-256": testenv.ECDSAKey(t, elliptic.P256()), "P-384": testenv.ECDSAKey(t, elliptic.P384()),
		"P-521": testenv.ECDSAKey(t, elliptic.P521()), "P-224": testenv.ECDSAKey(t, elliptic.P224()),
		"RSA": rsa2048, "Ed25519": ed,
	}
	tests := []struct {
		key     string
		o       testenv.TSAToken
		wantErr string
	}{
		{"P-256", testenv.TSAToken{}, ""},
		{"P-256", testenv.TSAToken{Hash: crypto.SHA384}, ""},
		{"P-384", testenv.TSAToken{Hash: crypto.SHA512}, ""},
		{"P-384", testenv.TSAToken{Hash: crypto.SHA384, KeyID: true}, ""},
		{"P-521", testenv.TSAToken{Hash: crypto.SHA512}, ""},
		{"P-224", testenv.TSAToken{}, "unsupported curve"},
		{"P-256", testenv.TSAToken{ESSv1: true}, ""},
		{"RSA", testenv.TSAToken{}, ""},
		{"RSA", testenv.TSAToken{Hash: crypto.SHA512}, ""},
		{"RSA", testenv.TSAToken{PSS: true}, ""},
		{"RSA", testenv.TSAToken{PSS: true, Hash: crypto.SHA384}, ""},
		{"Ed25519", testenv.TSAToken{}, ""},
		{"Ed25519", testenv.TSAToken{Hash: crypto.SHA256}, "does not go with"},
	}
	for _, tt := range tests {
		a := testenv.NewTSA(t, testenv.TSAOptions{Key: keys[tt.key]})
		tok := stamp(t, a, stamped, tt.o)
		res, err := verify(t, tok, authority(a))
		wantError(t, err, tt.wantErr)
		if tt.wantErr != "" {
			continue
		}
		if err == nil && (!res.Time.Equal(stamped) || res.Accuracy != time.Second || !res.Signer.Equal(a.Leaf) || len(res.Chain) != 3) {
			t.Errorf("%s: result %+v", tt.key, res)
		}
		// The same token under another key of the same kind, and with a flipped bit in the signature.
		broken := tt.o
		broken.Signed = func(sd *testenv.TSASignedData) { sd.Signers[0].Signature[40] ^= 1 }
		_, err = verify(t, stamp(t, a, stamped, broken), authority(a))
		wantError(t, err, "the signature does not verify")
	}
	t.Run("key sizes", func(t *testing.T) {
		t.Setenv("GODEBUG", "rsa1024min=0")
		a := testenv.NewTSA(t, testenv.TSAOptions{Key: rsaKey(t, 1024)})
		_, err := verify(t, stamp(t, a, stamped, testenv.TSAToken{}), authority(a))
		wantError(t, err, "1024 bits")
	})
}

// Each entry breaks one thing.
func TestBrokenTokens(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	other := testenv.NewTSA(t, testenv.TSAOptions{})
	smime := func(arc, n int) asn1.ObjectIdentifier {
		return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, arc, n}
	}
	attr := func(i int, der []byte) func([][]byte) [][]byte {
		return func(attrs [][]byte) [][]byte { attrs[i] = der; return attrs }
	}
	contentType := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	messageDigest := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	type essCertID struct {
		Sum    []byte
		Issuer struct {
			Names  []asn1.RawValue
			Serial *big.Int
		}
	}
	ess := essCertID{Sum: sum256(a.Leaf.Raw)}
	ess.Issuer.Names = []asn1.RawValue{{Class: 2, Tag: 4, IsCompound: true, Bytes: a.Leaf.RawIssuer}}
	ess.Issuer.Serial = a.Leaf.SerialNumber
	badSerial, badIssuer := ess, ess
	badSerial.Issuer.Serial = big.NewInt(7)
	badIssuer.Issuer.Names = []asn1.RawValue{{Class: 2, Tag: 4, IsCompound: true, Bytes: a.Root.RawIssuer}}
	hash := func(n int) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, n}}
	}
	rfc822 := func(s string) asn1.RawValue {
		return asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: append([]byte{0x81, byte(len(s))}, s...)}
	}
	directory := func(name []byte) asn1.RawValue {
		der, err := asn1.Marshal(asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: name})
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: der}
	}
	tests := []struct {
		name string
		o    testenv.TSAToken
		want string
	}{
		{"nothing", testenv.TSAToken{}, ""},
		{"issuerSerial given", testenv.TSAToken{Attributes: attr(3, testenv.TSAAttribute(smime(2, 47), []any{[]any{ess}}))}, ""},
		{"issuerSerial: serial", testenv.TSAToken{Attributes: attr(3, testenv.TSAAttribute(smime(2, 47), []any{[]any{badSerial}}))}, "another issuer or serial"},
		{"issuerSerial: issuer", testenv.TSAToken{Attributes: attr(3, testenv.TSAAttribute(smime(2, 47), []any{[]any{badIssuer}}))}, "another issuer or serial"},
		{"ESS hash of another certificate", testenv.TSAToken{Attributes: attr(3, testenv.TSAAttribute(smime(2, 47), []any{[]any{struct{ S []byte }{sum256(other.Leaf.Raw)}}}))}, "names another certificate"},
		{"ESSv1 hash wrong", testenv.TSAToken{Attributes: attr(3, testenv.TSAAttribute(smime(2, 12), []any{[]any{struct{ S []byte }{make([]byte, 20)}}}))}, "names another certificate"},
		{"ESSv2 right, ESSv1 wrong", testenv.TSAToken{Attributes: func(attrs [][]byte) [][]byte {
			return append(attrs, testenv.TSAAttribute(smime(2, 12), []any{[]any{struct{ S []byte }{make([]byte, 20)}}}))
		}}, "names another certificate"},
		{"imprint of another message", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Imprint.Sum = sum256([]byte("other")) }}, "another message"},
		{"imprint of another hash", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Imprint.Algorithm = hash(3) }}, "another message"},
		{"content changed after signing", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Content.Content.Bytes = bytes.Replace(sd.Content.Content.Bytes, []byte("20260504030201Z"), []byte("20260504030200Z"), 1)
		}}, "message-digest"},
		{"attributes changed after signing", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Attributes.Bytes = bytes.Replace(sd.Signers[0].Attributes.Bytes, []byte("260504030201Z"), []byte("260504030200Z"), 1)
		}}, "the signature does not verify"},
		{"message-digest wrong", testenv.TSAToken{Attributes: attr(1, testenv.TSAAttribute(messageDigest, make([]byte, 32)))}, "message-digest"},
		{"content-type wrong", testenv.TSAToken{Attributes: attr(0, testenv.TSAAttribute(contentType, smime(1, 5)))}, "content-type"},
		{"SignedData version", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Version = 1 }}, "version is 1"},
		{"digest algorithm differs", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].Digest = hash(3) }}, "message-digest"},
		{"signature algorithm of another hash", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].Algorithm.Algorithm[6] = 4 }}, "does not go with the digest"},
		{"signature algorithm of another key", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
		}}, "does not go with the signer's key"},
		{"signature algorithm unknown", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1} // ECDSA with SHA-1
		}}, "not supported"},
		{"signature algorithm with parameters", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].Algorithm.Parameters = asn1.NullRawValue }}, "unexpected parameters"},
		{"PSS without parameters", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
		}}, "does not go with the signer's key"},
		{"name of another authority", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Name = rfc822("tsa@example.org") }}, "name it gives its authority"},
		{"directory name of another authority", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Name = directory(a.Root.RawSubject) }}, "name it gives its authority"},
		{"no name", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Name = asn1.RawValue{} }}, ""},
		{"serial number of the signer differs", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].ID.FullBytes = bytes.Clone(sd.Signers[0].ID.FullBytes)
			sd.Signers[0].ID.FullBytes[len(sd.Signers[0].ID.FullBytes)-1] ^= 1
		}}, "issuer or serial number differ"},
		{"issuer of the signer differs", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].ID.FullBytes = bytes.Replace(sd.Signers[0].ID.FullBytes, []byte("intermediate"), []byte("Intermediate"), 1)
		}}, "issuer or serial number differ"},
		{"key identifier differs", testenv.TSAToken{KeyID: true, Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].ID.Bytes = []byte("other") }}, "key identifier differs"},
		{"time before the certificates", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Time.Bytes = []byte("20191231235959Z") }}, "outside"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verify(t, stamp(t, a, stamped, tt.o), authority(a))
			wantError(t, err, tt.want)
		})
	}
}

func sum256(b []byte) []byte {
	sum, err := algorithm.Bytes(b).Digest(crypto.SHA256, nil)
	if err != nil {
		panic(err)
	}
	return sum
}

func TestSignerCertificate(t *testing.T) {
	timeStamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	codeSigning := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	usage := func(role string, critical bool, oids ...asn1.ObjectIdentifier) func(string, *x509.Certificate) {
		return func(r string, c *x509.Certificate) {
			if r == role {
				c.ExtKeyUsage, c.ExtraExtensions = nil, nil
				if len(oids) > 0 {
					c.ExtraExtensions = []pkix.Extension{testenv.TSAExtKeyUsage(critical, oids...)}
				}
			}
		}
	}
	on := func(role string, f func(*x509.Certificate)) func(string, *x509.Certificate) {
		return func(r string, c *x509.Certificate) {
			if r == role {
				f(c)
			}
		}
	}
	validity := func(role string, from, to time.Time) func(string, *x509.Certificate) {
		return on(role, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to })
	}
	constrained := func(name string) func(string, *x509.Certificate) {
		return func(role string, c *x509.Certificate) {
			switch role {
			case "intermediate":
				c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
			case "leaf":
				c.DNSNames = []string{name}
			}
		}
	}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	tests := []struct {
		name string
		edit func(string, *x509.Certificate)
		want string
	}{
		{"no extended key usage", usage("leaf", true), "timeStamping alone"},
		{"other extended key usage", usage("leaf", true, codeSigning), "timeStamping alone"},
		{"second extended key usage", usage("leaf", true, timeStamping, codeSigning), "timeStamping alone"},
		{"second, unknown extended key usage", usage("leaf", true, timeStamping, asn1.ObjectIdentifier{1, 2, 3}), "timeStamping alone"},
		{"extended key usage not critical", usage("leaf", false, timeStamping), "critical"},
		{"key usage", on("leaf", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "does not allow signatures"},
		{"non-repudiation", on("leaf", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }), ""},
		{"leaf is an authority", on("leaf", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }), "it is a certificate authority's"},
		{"unknown critical extension", on("leaf", func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, unknown) }), "critical extension"},
		{"leaf begins at the token's time", validity("leaf", stamped, stamped.Add(time.Hour)), ""},
		{"leaf ends at the token's time", validity("leaf", stamped.Add(-time.Hour), stamped), ""},
		{"leaf begins later", validity("leaf", stamped.Add(time.Second), stamped.Add(time.Hour)), "outside its validity"},
		{"leaf ended", validity("leaf", stamped.Add(-time.Hour), stamped.Add(-time.Second)), "outside its validity"},
		{"intermediate ends at the token's time", validity("intermediate", stamped.Add(-time.Hour), stamped), ""},
		{"intermediate ended", validity("intermediate", stamped.Add(-time.Hour), stamped.Add(-time.Second)), "outside its validity"},
		{"intermediate begins later", validity("intermediate", stamped.Add(time.Second), stamped.Add(time.Hour)), "outside its validity"},
		{"root ended", validity("root", stamped.Add(-time.Hour), stamped.Add(-time.Second)), "outside its validity"},
		{"intermediate for another usage", usage("intermediate", false, codeSigning), "does not include timeStamping"},
		{"intermediate without usage", usage("intermediate", false), ""},
		{"intermediate is no authority", on("intermediate", func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, 0 }), "not a certificate authority's"},
		{"intermediate must not sign", on("intermediate", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), "does not allow signing certificates"},
		{"root's path length", on("root", func(c *x509.Certificate) { c.MaxPathLenZero = true }), "path length"},
		{"intermediate's unknown critical extension", on("intermediate", func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{unknown} }), "critical extension"},
		{"name constraints kept", constrained("tsa.example.org"), ""},
		{"name constraints broken", constrained("tsa.example.com"), "not permitted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := testenv.NewTSA(t, testenv.TSAOptions{Edit: tt.edit})
			_, err := verify(t, stamp(t, a, stamped, testenv.TSAToken{}), authority(a))
			wantError(t, err, tt.want)
		})
	}
}

// A name that the signer's certificate carries as an alternative name is its own.
func TestAlternativeName(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{Edit: func(role string, c *x509.Certificate) { c.EmailAddresses = []string{"tsa@example.org"} }})
	name := func(s string) func(*testenv.TSAInfo) {
		return func(i *testenv.TSAInfo) {
			i.Name = asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: append([]byte{0x81, byte(len(s))}, s...)}
		}
	}
	_, err := verify(t, stamp(t, a, stamped, testenv.TSAToken{Info: name("tsa@example.org")}), authority(a))
	wantError(t, err, "")
	_, err = verify(t, stamp(t, a, stamped, testenv.TSAToken{Info: name("tsb@example.org")}), authority(a))
	wantError(t, err, "name it gives")
}

func TestAuthorityWindow(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	tok := stamp(t, a, stamped, testenv.TSAToken{})
	tests := []struct {
		start, end time.Time
		want       string
	}{
		{time.Time{}, time.Time{}, ""},
		{stamped, stamped, ""},
		{stamped.Add(time.Nanosecond), time.Time{}, "outside the time-stamp authority's window"},
		{time.Time{}, stamped.Add(-time.Nanosecond), "outside the time-stamp authority's window"},
	}
	for _, tt := range tests {
		auth := authority(a)
		auth.Start, auth.End = tt.start, tt.end
		_, err := verify(t, tok, auth)
		wantError(t, err, tt.want)
	}
	_, err := verify(t, tok, timestamp.Authority{Leaf: a.Leaf})
	wantError(t, err, "no root")
	gap := authority(a) // the caller's word that it is linked does not bridge a gap in the names
	gap.Intermediates = nil
	_, err = tok.Verify(algorithm.Bytes(message), gap)
	wantError(t, err, "its issuer is")
}

// What a token embeds neither makes a wrong token right nor a right one wrong.
func TestEmbeddedCertificates(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	other := testenv.NewTSA(t, testenv.TSAOptions{}) // the same names, other keys
	junk := []byte{0x30, 3, 2, 1, 1}
	sets := map[string][][]byte{
		"none":             nil,
		"leaf":             {a.Leaf.Raw},
		"chain":            {a.Leaf.Raw, a.Intermediate.Raw, a.Root.Raw},
		"other first":      {other.Leaf.Raw, a.Leaf.Raw, other.Intermediate.Raw, a.Intermediate.Raw},
		"other last":       {a.Leaf.Raw, a.Intermediate.Raw, other.Intermediate.Raw, other.Root.Raw, other.Leaf.Raw},
		"junk":             {junk, a.Leaf.Raw, junk, a.Intermediate.Raw},
		"other alone":      {other.Leaf.Raw, other.Intermediate.Raw, other.Root.Raw},
		"attribute (skip)": {a.Leaf.Raw, {0xa2, 3, 2, 1, 1}},
	}
	for name, embed := range sets {
		tok := stamp(t, a, stamped, testenv.TSAToken{Embed: embed})
		has := slices.ContainsFunc(embed, func(der []byte) bool { return bytes.Equal(der, a.Leaf.Raw) })
		hasMiddle := slices.ContainsFunc(embed, func(der []byte) bool { return bytes.Equal(der, a.Intermediate.Raw) })

		res, err := verify(t, tok, authority(a))
		if err != nil || !res.Signer.Equal(a.Leaf) {
			t.Errorf("%s: trusted leaf: %v", name, err)
		}
		noLeaf := authority(a)
		noLeaf.Leaf = nil
		res, err = verify(t, tok, noLeaf)
		if has != (err == nil) || err == nil && !res.Signer.Equal(a.Leaf) || err != nil && !errors.Is(err, timestamp.ErrOtherSigner) {
			t.Errorf("%s: embedded leaf: %v", name, err)
		}
		res, err = verify(t, tok, timestamp.Authority{Root: a.Root})
		if (has && hasMiddle) != (err == nil) || err == nil && len(res.Chain) != 3 {
			t.Errorf("%s: embedded leaf and intermediate: %v", name, err)
		}
		for _, wrong := range []timestamp.Authority{
			authority(other),
			{Root: other.Root},
			{Root: other.Root, Intermediates: []*x509.Certificate{other.Intermediate}},
			{Root: other.Root, Intermediates: []*x509.Certificate{other.Intermediate}, End: stamped.Add(-time.Hour)},
			{Leaf: other.Leaf, Root: a.Root, Intermediates: []*x509.Certificate{a.Intermediate}},
		} {
			if _, err := tok.Verify(algorithm.Bytes(message), wrong); !errors.Is(err, timestamp.ErrOtherSigner) {
				t.Errorf("%s: under an authority that did not stamp: error %v", name, err)
			}
		}
		// Linked is the caller's word about Leaf: it must do nothing for a leaf that the token brought.
		forged := timestamp.Authority{Root: other.Root, Intermediates: []*x509.Certificate{other.Intermediate}, Linked: true}
		if _, err := tok.Verify(algorithm.Bytes(message), forged); err == nil {
			t.Errorf("%s: an embedded leaf passed without a path", name)
		}
	}
}

func TestUnavailableDigest(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	tok := stamp(t, a, stamped, testenv.TSAToken{})
	_, err := tok.Verify(algorithm.Precomputed(crypto.SHA512, make([]byte, 64)), authority(a))
	if !errors.Is(err, algorithm.ErrDigestUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestNewAuthority(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	for n, chain := range [][]*x509.Certificate{{a.Root}, {a.Intermediate, a.Root}, {a.Leaf, a.Intermediate, a.Root}} {
		auth, err := timestamp.NewAuthority(chain)
		if err != nil || auth.Root != a.Root || (auth.Leaf != nil) != (n == 2) || (len(auth.Intermediates) == 1) != (n > 0) {
			t.Errorf("%d: %+v, error %v", n, auth, err)
		}
		if err := timestamp.Link(chain); err != nil {
			t.Error(err)
		}
	}
	if _, err := timestamp.NewAuthority(nil); err == nil {
		t.Error("an empty chain was accepted")
	}
	other := testenv.NewTSA(t, testenv.TSAOptions{})
	wantError(t, timestamp.Link([]*x509.Certificate{a.Leaf, other.Intermediate}), "was not signed by")
	wantError(t, timestamp.Link([]*x509.Certificate{a.Leaf, a.Root}), "as its issuer")
}
