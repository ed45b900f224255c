package verify_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

const million = 1_000_000

// hostileTime ends what is quadratic in a million, which takes hours; it says nothing about speed.
const hostileTime = time.Minute

// within runs f under a ceiling of time, and of bytes allocated in total.
func within(t *testing.T, name string, ceiling uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	used := after.TotalAlloc - before.TotalAlloc
	t.Logf("%s: %v, %d KiB", name, took.Round(time.Millisecond), used>>10)
	if took > hostileTime {
		t.Errorf("%s: took %v", name, took)
	}
	if used > ceiling {
		t.Errorf("%s: %d bytes allocated, more than %d", name, used, ceiling)
	}
}

// TestHostileBundles verifies bundles with a million of something, as a program might hand them over without decoding.
func TestHostileBundles(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	tests := []struct {
		name   string
		spec   world.Spec
		change func(e *evidence)
	}{
		{"entries", keyLogged, func(e *evidence) { material(e).Entries = slices.Repeat(material(e).Entries, million) }},
		{"entries at distinct indices", keyLogged, func(e *evidence) {
			all := slices.Repeat(material(e).Entries, million)
			for i := range all {
				all[i].LogIndex = int64(i)
			}
			material(e).Entries = all
		}},
		{"timestamps", keyStamped, func(e *evidence) { material(e).Timestamps = slices.Repeat(material(e).Timestamps, million) }},
		{"certificates", certLogged, func(e *evidence) {
			material(e).Certificates, material(e).Chain = slices.Repeat(material(e).Certificates, million), true
		}},
		{"signatures", keyStatement, func(e *evidence) {
			e.bundle.Envelope.Signatures = slices.Repeat(e.bundle.Envelope.Signatures, million)
		}},
		{"hashes", keyLogged, func(e *evidence) { entry(e).Proof.Hashes = slices.Repeat(entry(e).Proof.Hashes, million) }},
		{"signature", keyBlob, func(e *evidence) { e.bundle.Message.Signature = make([]byte, 64<<20) }},
		{"certificate", certLogged, func(e *evidence) { material(e).Certificates[0] = make([]byte, 64<<20) }},
		{"promise", keyLogged, func(e *evidence) { entry(e).Promise = make([]byte, 64<<20) }},
		{"checkpoint", keyLogged, func(e *evidence) { entry(e).Proof.Checkpoint = strings.Repeat("a\n", 32<<20) }},
		{"body", keyLogged, func(e *evidence) { entry(e).Body = make([]byte, 64<<20) }},
		{"body of brackets", keyLogged, func(e *evidence) { entry(e).Body = bytes.Repeat([]byte("["), 64<<20) }},
		{"token", keyStamped, func(e *evidence) { material(e).Timestamps[0] = make([]byte, 64<<20) }},
		{"token that claims 4 GiB", keyStamped, func(e *evidence) {
			material(e).Timestamps[0] = []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30}
		}},
		{"certificate that claims 4 GiB", certLogged, func(e *evidence) {
			material(e).Certificates[0] = []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30}
		}},
		{"payload type", keyStatement, func(e *evidence) { e.bundle.Envelope.PayloadType = strings.Repeat("\n", 20<<20) }},
		{"kind", keyLogged, func(e *evidence) { entry(e).Kind = strings.Repeat("\n", 20<<20) }},
		{"log ID", keyLogged, func(e *evidence) { entry(e).LogID = make([]byte, 64<<20) }},
		{"detached SCT", certImage, func(e *evidence) { material(e).SCT = bytes.Repeat([]byte("["), 64<<20) }},
	}
	for _, tt := range tests {
		e := makeEvidence(t, sc.w, tt.spec)
		req := e.request(t, sc.root)
		accepted(t, req)
		tt.change(e)
		ceiling := uint64(16 << 20)
		if tt.name == "payload type" || tt.name == "kind" {
			ceiling = 100 << 20 // five times the text: it is signed over, and told of
		}
		within(t, tt.name, ceiling, func() {
			verify.Needs(req.Candidates, &req.Policy)
			r := verify.Verify(req)
			wellRefused(t, r)
			if r.Verified {
				t.Errorf("%s: verified", tt.name)
			}
			if len(r.Reason) > 8000 {
				t.Errorf("%s: a reason of %d bytes", tt.name, len(r.Reason))
			}
		})
	}
	e := makeEvidence(t, sc.w, keyBlob)
	req := e.request(t, sc.root)
	req.Candidates = slices.Repeat(req.Candidates, million)
	within(t, "candidates", 16<<20, func() {
		verify.Needs(req.Candidates, &req.Policy)
		refused(t, req, "", reason.Malformed)
	})
}

// TestHostileJSON goes the whole way from bytes.
func TestHostileJSON(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Log: world.LogV1, Timestamp: true})
	good, err := e.bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	many := func(field, element string) []byte {
		i := strings.Index(string(good), field)
		if i < 0 {
			t.Fatalf("no %s", field)
		}
		return slices.Concat(good[:i+len(field)], []byte(strings.Repeat(element+",", million)), good[i+len(field):])
	}
	big := base64.StdEncoding.EncodeToString(make([]byte, 60<<20))
	tests := map[string][]byte{
		"entries":        many(`"tlogEntries":[`, `{}`),
		"timestamps":     many(`"rfc3161Timestamps":[`, `{}`),
		"hashes":         many(`"hashes":[`, `""`),
		"fields":         many(`{`, `"x":1`),
		"depth":          bytes.Replace(good, []byte(`"hint":`), []byte(`"hint":`+strings.Repeat(`[`, million)), 1),
		"base64":         bytes.Replace(good, []byte(`"signature":"`), []byte(`"signature":"`+big), 1),
		"beyond limit":   append(bytes.Clone(good), bytes.Repeat([]byte(" "), bundle.MaxBytes)...),
		"endless string": append([]byte(`{"mediaType":"`), bytes.Repeat([]byte("a"), bundle.MaxBytes)...),
	}
	for name, data := range tests {
		within(t, name, uint64(4*len(data)+16<<20), func() {
			b, err := bundle.Decode(data)
			if err == nil {
				t.Errorf("%s: decoded", name)
			}
			req := e.request(t, sc.root)
			req.Candidates[0].Bundle, req.Candidates[0].Err = b, err
			r := refused(t, req, verify.CheckDecode, reason.Malformed)
			if len(r.Reason) > 8000 {
				t.Errorf("%s: a reason of %d bytes", name, len(r.Reason))
			}
		})
	}
}

// TestHostileClaims signs claims that are expensive to read.
func TestHostileClaims(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	statement := func(subjects, predicate string) []byte {
		return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[` + subjects + `],"predicateType":"t","predicate":` + predicate + `}`)
	}
	subject := `{"name":"n","digest":{"sha256":"` + strings.Repeat("0", 64) + `"}}`
	// Every known algorithm, so that each of a thousand subjects asks for each.
	var digests []string
	for _, h := range []crypto.Hash{crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_256, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512} {
		digests = append(digests, fmt.Sprintf(`"%s":"%s"`, algorithm.HashName(h), strings.Repeat("0", 2*h.Size())))
	}
	tests := map[string][]byte{
		"subjects":                 statement(strings.Repeat(subject+",", million)+subject, "{}"),
		"subjects and algorithms":  statement(strings.TrimSuffix(strings.Repeat(`{"name":"n","digest":{`+strings.Join(digests, ",")+`}},`, 1024), ","), "{}"),
		"endless predicate type":   []byte(strings.Replace(string(statement(subject, "{}")), `"t"`, `"`+strings.Repeat("t", 20<<20)+`"`, 1)),
		"endless digest":           statement(`{"digest":{"`+strings.Repeat("x", 1<<20)+`":"`+strings.Repeat("y", 20<<20)+`"}}`, "{}"),
		"deep predicate":           statement(subject, strings.Repeat("[", million)+strings.Repeat("]", million)),
		"deep predicate of a name": statement(subject, strings.Repeat(`{"a":`, million)+"1"+strings.Repeat("}", million)),
		"predicate of numbers":     statement(subject, "["+strings.Repeat("1e999999999,", million)+"1]"),
	}
	artifact := make([]byte, 16<<20)
	for name, payload := range tests {
		e := makeEvidence(t, sc.w, world.Spec{Content: world.Statement, Payload: payload})
		req := e.request(t, sc.root)
		req.Artifact.Message = algorithm.Bytes(artifact)
		within(t, name, uint64(8*len(payload)+16<<20), func() {
			r := verify.Verify(req)
			wellRefused(t, r)
			if r.Verified || len(r.Reason) > 8000 {
				t.Errorf("%s: verified %v, a reason of %d bytes", name, r.Verified, len(r.Reason))
			}
		})
	}
}

// TestHostileCertificates sends certificates that are expensive to check: enormous keys, dense graphs.
func TestHostileCertificates(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	// An RSA key whose modulus fills a certificate; the certificate below it names it as its issuer.
	n := new(big.Int).Lsh(big.NewInt(1), 8*56<<10)
	huge := &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 1<<31 - 1}
	p := newPKI(t, nil)
	issue := func(name pkix.Name, pub crypto.PublicKey, issuer pkix.Name, signature *rsa.PublicKey) []byte {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: name, NotBefore: mint.Epoch.AddDate(-1, 0, 0), NotAfter: mint.Epoch.AddDate(1, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		}
		parent := &x509.Certificate{Subject: issuer}
		var signer crypto.Signer = p.keys[roleSub]
		if signature != nil {
			signer = mint.NewKey(t, algorithm.RSAPKCS1v15x2048SHA256)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	name := func(s string) pkix.Name { return pkix.Name{CommonName: s} }
	leafKey := mint.NewKey(t, algorithm.ECDSAP256SHA256)
	chains := map[string][][]byte{
		"enormous RSA issuer": {issue(name("leaf"), leafKey.Public(), name("huge"), huge), issue(name("huge"), huge, name("root"), nil)},
	}
	dense := [][]byte{issue(name("leaf"), leafKey.Public(), name("x0"), nil)}
	for i := range 9 {
		dense = append(dense, issue(name(fmt.Sprintf("x%d", i%2)), mint.NewKey(t, algorithm.ECDSAP521SHA512).Public(), name(fmt.Sprintf("x%d", 1-i%2)), nil))
	}
	chains["dense graph"] = dense
	for name, chain := range chains {
		e, req := p.signed(t, sc, roleIntermediate)
		material(e).Certificates, material(e).Chain = chain, true
		req.Policy.AllowCertificateChain = true
		within(t, name, 64<<20, func() {
			r := verify.Verify(req)
			wellRefused(t, r)
			if r.Verified {
				t.Errorf("%s: verified", name)
			}
		})
	}
	t.Run("in tokens", func(t *testing.T) {
		tsa := testenv.NewTSA(t, testenv.TSAOptions{})
		template := *tsa.Leaf
		template.SignatureAlgorithm = 0
		template.ExtraExtensions = []pkix.Extension{testenv.TSAExtKeyUsage(true, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8})}
		parent := &x509.Certificate{Subject: tsa.Intermediate.Subject}
		der, err := x509.CreateCertificate(rand.Reader, &template, parent, tsa.Leaf.PublicKey, mint.NewKey(t, algorithm.RSAPKCS1v15x2048SHA256))
		if err != nil {
			t.Fatal(err)
		}
		if tsa.Leaf, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		hostileTokens(t, sc, tsa, issue(tsa.Intermediate.Subject, huge, name("root"), nil))
	})
}

// hostileTokens puts an enormous key above the signer of as many tokens as there may be, for authorities that leave the
// signer to the token.
func hostileTokens(t *testing.T, sc *scene, tsa *testenv.TSA, enormous []byte) {
	e := makeEvidence(t, sc.w, keyBlob)
	for i := range 32 {
		token, err := tsa.StampWith(e.signed().Signature, e.spec.Time.Add(time.Duration(i)*time.Second), testenv.TSAToken{Embed: [][]byte{tsa.Leaf.Raw, enormous}})
		if err != nil {
			t.Fatal(err)
		}
		material(e).Timestamps = append(material(e).Timestamps, token)
	}
	root := sc.w.Root(t)
	for i := range root.TSAs {
		root.TSAs[i].Chain = root.TSAs[i].Chain[1:]
	}
	req := e.request(t, root)
	req.Policy.Timestamps = 1
	within(t, "tokens", 128<<20, func() { refused(t, req, verify.CheckTimestamp, reason.NoTimestamp) })
}

// TestHostileCheckpoint signs a checkpoint thousands of times under the log's own name and key ID, all wrong but the last.
func TestHostileCheckpoint(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	e := makeEvidence(t, sc.w, keyLoggedV2)
	proof := entry(e).Proof
	text, signature, ok := strings.Cut(proof.Checkpoint, "\n\n")
	if !ok {
		t.Fatal(proof.Checkpoint)
	}
	raw, err := base64.StdEncoding.DecodeString(signature[strings.LastIndex(signature, " ")+1 : len(signature)-1])
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(signature, base64.StdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(flip(raw)), 1)
	for _, n := range []int{1, 10, 400, million} {
		proof.Checkpoint = text + "\n\n" + strings.Repeat(wrong, n)
		within(t, fmt.Sprintf("%d signatures", n), 256<<20, func() {
			r := verify.Verify(e.request(t, sc.root))
			wellRefused(t, r)
			if r.Verified {
				t.Error("verified")
			}
		})
	}
}

// TestHostilePatterns compiles and matches patterns that explode.
func TestHostilePatterns(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	long := strings.Repeat("a", 2000) + "@bulla.test"
	e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Leaf: mint.LeafOptions{SANs: []identity.SAN{{Kind: identity.Email, Value: long}}}})
	for _, expr := range []string{
		strings.Repeat("(", 4000) + "a" + strings.Repeat(")", 4000),
		"(((((a{100}){100}){100}){100}){100})", "(a{1000}){20}", "(((x+x+)+y)+z)+", "(a*)*b", "(a|a)*b", "(.*)*(.*)*(.*)*x",
		strings.Repeat("a?", 1000) + strings.Repeat("a", 1000), strings.Repeat(".*", 4000), strings.Repeat("a", 1<<20), "[", "(?P<",
	} {
		within(t, expr[:min(len(expr), 30)], 256<<20, func() {
			for _, compile := range []func(string) (identity.Pattern, error){identity.Regexp, identity.UnanchoredRegexp, identity.Glob} {
				p, err := compile(expr)
				if err != nil {
					continue
				}
				m, err := identity.NewMatcher(identity.MatcherOptions{SAN: p})
				if err != nil {
					t.Fatal(err)
				}
				req := e.request(t, sc.root)
				req.Policy.Identities = []identity.Matcher{m}
				wellRefused(t, verify.Verify(req))
			}
		})
	}
}
