package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; a nil parent means self-signed. change may alter the template.
func issue(t testing.TB, cn string, parent *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn, Organization: []string{"test"}},
		NotBefore: epoch, NotAfter: epoch.AddDate(10, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func chainPEM(chain ...*issued) []byte {
	var b bytes.Buffer
	for _, c := range chain {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
	}
	return b.Bytes()
}

func leaf(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }

func TestNewAuthority(t *testing.T) {
	root := issue(t, "root", nil, nil)
	inter := issue(t, "inter", root, func(c *x509.Certificate) { c.NotBefore = epoch.Add(time.Hour) })
	tsa := issue(t, "tsa", inter, leaf)
	noCA := issue(t, "inter", root, leaf)
	noSign := issue(t, "inter", root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	noBasic := issue(t, "inter", root, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })
	impostor := issue(t, "inter", nil, nil)
	tests := []struct {
		name    string
		chain   []byte
		ca, tsa string // part of the error; "" for none
	}{
		{"root alone", chainPEM(root), "", ""},
		{"intermediate alone", chainPEM(inter), "", ""},
		{"intermediate and root", chainPEM(inter, root), "", ""},
		{"leaf first", chainPEM(tsa, inter, root), "certificate 0 (CN=tsa,O=test) is not a certificate authority", ""},
		{"leaf alone", chainPEM(tsa), "not a certificate authority", ""},
		{"root missing", chainPEM(tsa, inter), "not a certificate authority", "ends at certificate 1 (CN=inter,O=test), whose issuer"},
		{"upside down", chainPEM(root, inter), "certificate 0 was issued by", "certificate 0 was issued by"},
		{"gap", chainPEM(tsa, root), "not a certificate authority", "was issued by \"CN=inter,O=test\""},
		{"issuer of the same name", chainPEM(tsa, impostor), "not a certificate authority", "is not signed by certificate 1"},
		{"issuer is no CA", chainPEM(tsa, noCA, root), "basic constraints", "certificate 1 (CN=inter,O=test) is not a certificate authority"},
		{"issuer may not sign", chainPEM(noSign, root), "key usage", ""},
		{"issuer may not sign, second", chainPEM(tsa, noSign, root), "not a certificate authority", "certificate 1 (CN=inter,O=test) may not sign"},
		{"issuer without constraints", chainPEM(tsa, noBasic, root), "not a certificate authority", "basic constraints"},
		{"no PEM", []byte("hello"), "no certificates in PEM", "no certificates in PEM"},
		{"DER", root.cert.Raw, "no certificates in PEM", "no certificates in PEM"},
		{"key in the chain", append(chainPEM(root), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY"})...), "block 1 is \"PUBLIC KEY\"", "block 1"},
		{"damaged block", append(chainPEM(root), "-----BEGIN CERTIFICATE-----\n!"...), "block 1 is damaged", "block 1 is damaged"},
		{"damaged certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw[1:]}), "certificate 0 is not", "certificate 0 is not"},
		{"trailing byte", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(bytes.Clone(root.cert.Raw), 0)}), "certificate 0 is not", "certificate 0 is not"},
		{"too long", bytes.Repeat(chainPEM(root), 9), "more than 8", "more than 8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := trust.AuthoritySpec{URI: "https://ca.example", ChainPEM: test.chain, Operator: "example"}
			for want, build := range map[string]func(trust.AuthoritySpec) (trust.Authority, error){"CA " + test.ca: trust.NewCA, "TSA " + test.tsa: trust.NewTSA} {
				kind, want, _ := strings.Cut(want, " ")
				a, err := build(spec)
				switch {
				case want == "" && (err != nil || !a.Linked() || a.Organization != "test" || a.URI != spec.URI || a.Operator != "example"):
					t.Errorf("%s: %+v, %v", kind, a, err)
				case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
					t.Errorf("%s: %v, want an error with %q", kind, err, want)
				}
			}
		})
	}
	a, err := trust.NewCA(trust.AuthoritySpec{ChainPEM: chainPEM(inter, root)})
	if err != nil || !a.Window.Start.Equal(epoch.Add(time.Hour)) || !a.Window.End.IsZero() || a.CommonName != "root" {
		t.Errorf("start without one given = %v (%s), %v; want when the last certificate begins", a.Window, a.CommonName, err)
	}
	window := trust.Window{Start: epoch.AddDate(1, 0, 0), End: epoch}
	if _, err := trust.NewCA(trust.AuthoritySpec{ChainPEM: chainPEM(root), Window: window}); err == nil {
		t.Error("window that ends before it starts")
	}
	if (&trust.Authority{}).Linked() || (&trust.Authority{}).Anchor() != nil {
		t.Error("an authority without chain is linked or has an anchor")
	}
}

func TestNewLog(t *testing.T) {
	// The public-good logs, made anew of what an operator knows.
	r, err := trust.DecodeRoot(testenv.ReadVector(t, "trust", "public-good", "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	origins := map[string]string{"log2025-1.rekor.sigstore.dev": "log2025-1.rekor.sigstore.dev"}
	for _, want := range r.Logs {
		got, err := trust.NewLog(trust.LogSpec{URL: want.BaseURL, Key: want.Key, Window: want.Window, Origin: origins[want.Name()]})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", want.BaseURL, got, err, want)
		}
	}
	for _, want := range r.CTLogs {
		got, err := trust.NewCTLog(trust.LogSpec{URL: want.BaseURL, Key: want.Key, Window: want.Window})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", want.BaseURL, got, err, want)
		}
	}
}

func TestNewLogOrigin(t *testing.T) {
	ed, ec := r25519(t), newKey(t).Public()
	spec := func(key crypto.PublicKey, origin string) trust.LogSpec {
		return trust.LogSpec{URL: "https://log.example", Key: key, Window: trust.Window{Start: epoch}, Origin: origin}
	}
	build := func(f func(trust.LogSpec) (trust.Log, error), s trust.LogSpec) trust.Log {
		t.Helper()
		l, err := f(s)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain, named := build(trust.NewLog, spec(ed, "")), build(trust.NewLog, spec(ed, "log.example"))
	if bytes.Equal(plain.ID, named.ID) || named.CheckpointID != nil || named.Details != algorithm.Ed25519 {
		t.Errorf("Ed25519 log with origin: %+v", named)
	}
	if other := build(trust.NewLog, spec(ed, "other.example")); bytes.Equal(other.ID, named.ID) {
		t.Error("ID of an Ed25519 log does not depend on its origin")
	}
	if a, b := build(trust.NewLog, spec(ec, "")), build(trust.NewLog, spec(ec, "log.example")); !bytes.Equal(a.ID, b.ID) {
		t.Error("ID of an ECDSA log depends on its origin")
	}
	ct := build(trust.NewCTLog, spec(ed, "log.example"))
	if !bytes.Equal(ct.ID, plain.ID) || !bytes.Equal(ct.CheckpointID, named.ID) {
		t.Error("a CT log's ID must be what SCTs carry, and its checkpoint ID what notes carry")
	}
	bad := map[string]trust.LogSpec{
		"no host":        {URL: "https://", Key: ec, Window: trust.Window{Start: epoch}},
		"no start":       {URL: "https://log.example", Key: ec},
		"turned round":   {URL: "https://log.example", Key: ec, Window: trust.Window{Start: epoch, End: epoch.Add(-1)}},
		"no key":         spec(nil, ""),
		"weak key":       spec(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}, ""),
		"unnamed size":   spec(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2499, 1), E: 65537}, ""),
		"bad origin":     spec(ed, "log example"),
		"bad origin, CT": spec(ed, "a+b"),
	}
	for name, s := range bad {
		if l, err := trust.NewLog(s); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
		if l, err := trust.NewCTLog(s); err == nil {
			t.Errorf("%s, CT: %+v", name, l)
		}
	}
}

func r25519(t testing.TB) ed25519.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func TestNewRoot(t *testing.T) {
	root := issue(t, "root", nil, nil)
	ca, err := trust.NewCA(trust.AuthoritySpec{URI: "https://ca.example", ChainPEM: chainPEM(root)})
	if err != nil {
		t.Fatal(err)
	}
	log := func(url string, start time.Time) trust.Log {
		l, err := trust.NewLog(trust.LogSpec{URL: url, Key: newKey(t).Public(), Window: trust.Window{Start: start}})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	key, err := trust.NewKey("k", newKey(t).Public(), algorithm.Unspecified, trust.Window{})
	if err != nil {
		t.Fatal(err)
	}
	parts := trust.Root{
		Logs: []trust.Log{log("https://new.example", epoch.AddDate(1, 0, 0)), log("https://old.example", epoch)},
		CAs:  []trust.Authority{ca}, Keys: []trust.Key{key},
	}
	r, err := trust.NewRoot(parts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Logs[0].BaseURL != "https://old.example" || parts.Logs[0].BaseURL != "https://new.example" {
		t.Error("logs are not sorted, or the argument was changed")
	}
	if !r.CAs[0].Linked() || !bytes.Equal(r.CAs[0].Chain[0].Raw, root.cert.Raw) || len(r.Key(key.Hint)) != 1 {
		t.Errorf("authority or key did not survive: %+v", r)
	}
	if len(r.Key("")) != 0 || len(r.Key("x")) != 0 {
		t.Error("keys are found by a hint that is not theirs")
	}
	// A log that was put together by hand encodes as well.
	l := trust.Log{BaseURL: "https://hand.example", Key: newKey(t).Public(), Details: algorithm.ECDSAP256SHA256, Hash: crypto.SHA256}
	if r, err = trust.NewRoot(trust.Root{Logs: []trust.Log{l}}); err != nil || len(r.Logs[0].ID) != 32 || r.Logs[0].Usable() != nil {
		t.Errorf("log put together by hand: %v", err)
	}
	if empty, err := trust.NewRoot(trust.Root{}); err != nil || len(empty.Logs) != 0 {
		t.Errorf("empty root: %v", err)
	}
	bad := map[string]trust.Root{
		"log without key":       {Logs: []trust.Log{{BaseURL: "x", Details: algorithm.Ed25519, Hash: crypto.SHA256}}},
		"key against details":   {Logs: []trust.Log{{BaseURL: "x", Key: l.Key, Details: algorithm.Ed25519, Hash: crypto.SHA256}}},
		"key of no kind":        {CTLogs: []trust.Log{{BaseURL: "x", Key: "key", Details: algorithm.Ed25519, Hash: crypto.SHA256}}},
		"invalid UTF-8":         {Logs: []trust.Log{{BaseURL: "\xff", Key: l.Key, Details: l.Details, Hash: crypto.SHA256}}},
		"chain with a hole":     {CAs: []trust.Authority{{Chain: []*x509.Certificate{nil}}}},
		"chain without bytes":   {TSAs: []trust.Authority{{Chain: []*x509.Certificate{{}}}}},
		"authority with none":   {CAs: []trust.Authority{{URI: "x"}}},
		"window turned round":   {CAs: []trust.Authority{{Chain: ca.Chain, Window: trust.Window{Start: epoch, End: epoch.Add(-1)}}}},
		"too many authorities":  {CAs: repeated(ca, 129)},
		"time beyond all years": {CAs: []trust.Authority{{Chain: ca.Chain, Window: trust.Window{End: epoch.AddDate(9000, 0, 0)}}}},
	}
	for name, parts := range bad {
		if _, err := trust.NewRoot(parts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func repeated(a trust.Authority, n int) []trust.Authority {
	var all []trust.Authority
	for range n {
		all = append(all, a)
	}
	return all
}

func TestNewKey(t *testing.T) {
	pub := newKey(t).Public()
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	k, err := trust.NewKey("cosign.pub", pub, algorithm.Unspecified, trust.Window{Start: epoch})
	if err != nil || k.Hint != base64.StdEncoding.EncodeToString(sum[:]) || k.Name != "cosign.pub" {
		t.Errorf("%+v, %v", k, err)
	}
	if algs, err := k.Algorithms(); err != nil || len(algs) != 1 || algs[0].Details() != algorithm.ECDSAP256SHA256 {
		t.Errorf("Algorithms = %v, %v", algs, err)
	}
	ed, err := trust.NewKey("", r25519(t), algorithm.Ed25519, trust.Window{})
	if err != nil {
		t.Fatal(err)
	}
	if algs, err := ed.Algorithms(); err != nil || len(algs) != 1 || algs[0].Details() != algorithm.Ed25519 {
		t.Errorf("Algorithms with details = %v, %v", algs, err)
	}
	ed.Details = algorithm.Unspecified
	if algs, err := ed.Algorithms(); err != nil || len(algs) != 2 {
		t.Errorf("Algorithms without details = %v, %v", algs, err)
	}
	bad := []struct {
		pub     crypto.PublicKey
		details algorithm.Details
		window  trust.Window
	}{
		{nil, algorithm.Unspecified, trust.Window{}},
		{pub, algorithm.ECDSAP384SHA384, trust.Window{}},
		{pub, 21, trust.Window{}},
		{pub, algorithm.Unspecified, trust.Window{Start: epoch, End: epoch.Add(-1)}},
		{ed25519.PublicKey{1}, algorithm.Unspecified, trust.Window{}},
	}
	for i, test := range bad {
		if k, err := trust.NewKey("", test.pub, test.details, test.window); err == nil {
			t.Errorf("%d: %+v", i, k)
		}
	}
	for _, k := range []trust.Key{{}, {Public: pub, Details: 21}} {
		if algs, err := k.Algorithms(); err == nil {
			t.Errorf("%+v has algorithms %v", k, algs)
		}
	}
}
