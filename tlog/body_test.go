package tlog

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// Entries in the vectors whose bodies are wrong, on purpose.
var brokenBodies = map[string]string{
	"conformance-public/bundle-empty-certificate-chain_fail/bundle.sigstore.json": "spec: ",
	"conformance-public/bundle-unknown-version_fail/bundle.sigstore.json":         "unknown kind",
	"sigstore-java/samples/rekor-response/valid/jar-entry-v2.json":                "unknown kind",
	"slsa-verifier/bundle/invalid-dsse-sig.intoto.sigstore":                       "signatures[0].sig",
}

func TestRealBodies(t *testing.T) {
	kinds := map[string]int{}
	for _, e := range realEntries(t) {
		if kind, version, err := EntryKind(e.Body); err != nil || kind != e.Kind && brokenBodies[e.path] == "" || version == "" {
			t.Errorf("%s: kind %q, version %q, %v", e.path, kind, version, err)
		}
		b, err := ParseBody(e.Body)
		if want, broken := brokenBodies[e.path]; broken {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error with %q", e.path, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", e.path, err)
			continue
		}
		kinds[b.Kind+"/"+b.Version]++
		if b.Kind != e.Kind || b.Version != e.Version {
			t.Errorf("%s: %s/%s beside a body of %s/%s", e.path, e.Kind, e.Version, b.Kind, b.Version)
		}
		checkBody(t, e.path, b)
		if b.Kind == "hashedrekord" && b.Version == "0.0.2" {
			again, err := HashedRekordV2Body(b.Digests[0], b.Signatures[0])
			if err != nil || !bytes.Equal(again, e.Body) {
				t.Errorf("%s: rebuilt %s, %v, want %s", e.path, again, err, e.Body)
			}
		}
	}
	for kind, least := range map[string]int{
		"hashedrekord/0.0.1": 90, "hashedrekord/0.0.2": 20, "dsse/0.0.1": 15, "dsse/0.0.2": 1, "intoto/0.0.2": 30,
	} {
		if kinds[kind] < least {
			t.Errorf("%d bodies of %s, want at least %d", kinds[kind], kind, least)
		}
	}
}

func checkBody(t *testing.T, path string, b *Body) {
	t.Helper()
	if len(b.Digests) != 1 || len(b.Signatures) == 0 || b.Subject == 0 {
		t.Errorf("%s: %+v", path, b)
	}
	if want := b.Kind == "dsse" || b.Kind == "intoto"; (b.Subject == Payload) != want {
		t.Errorf("%s: %s has digests of %s", path, b.Kind, b.Subject)
	}
	for _, s := range b.Signatures {
		if len(s.Signature) == 0 || (len(s.Certificate) == 0) == (len(s.PublicKey) == 0) {
			t.Errorf("%s: %+v", path, s)
		}
		if (s.Details == algorithm.Unspecified) != (b.Version == "0.0.1" || b.Kind == "intoto") {
			t.Errorf("%s: details %s", path, s.Details)
		}
	}
}

// rekorBundle is the annotation of cosign's older formats.
type rekorBundle struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

func (r *rekorBundle) entry(t testing.TB) *Entry {
	t.Helper()
	return &Entry{
		LogIndex: r.Payload.LogIndex, IntegratedTime: r.Payload.IntegratedTime, LogID: unhex(t, r.Payload.LogID),
		Promise: r.SignedEntryTimestamp, Body: r.Payload.Body,
	}
}

func legacyEntries(t testing.TB) map[string]*Entry {
	t.Helper()
	entries := map[string]*Entry{}
	for _, name := range []string{"rekor-bundle-rekord-key.json", "signature-spec-example-bundle.json"} {
		var r rekorBundle
		if err := json.Unmarshal(testenv.ReadVector(t, "legacy", name), &r); err != nil {
			t.Fatal(err)
		}
		entries[name] = r.entry(t)
	}
	var blob struct {
		RekorBundle rekorBundle `json:"rekorBundle"`
	}
	if err := json.Unmarshal(testenv.ReadVector(t, "legacy", "cosign-sign-blob-bundle.json"), &blob); err != nil {
		t.Fatal(err)
	}
	entries["cosign-sign-blob-bundle.json"] = blob.RekorBundle.entry(t)
	return entries
}

func TestLegacyBodies(t *testing.T) {
	for name, want := range map[string]struct {
		kind        string
		certificate bool
	}{
		"rekor-bundle-rekord-key.json":       {"rekord", false},
		"signature-spec-example-bundle.json": {"rekord", true},
		"cosign-sign-blob-bundle.json":       {"hashedrekord", true},
	} {
		b, err := ParseBody(legacyEntries(t)[name].Body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkBody(t, name, b)
		if b.Kind != want.kind || b.Version != "0.0.1" || (b.Signatures[0].Certificate != nil) != want.certificate {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

// Signatures of real artifacts must verify with what was read out of the entry.
func TestBodySignatureVerifies(t *testing.T) {
	e := legacyEntries(t)["cosign-sign-blob-bundle.json"]
	b, err := ParseBody(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	artifact := testenv.ReadVector(t, "legacy", "artifact.txt")
	if !bytes.Equal(b.Digests[0].Sum, digest(crypto.SHA256, artifact)) {
		t.Errorf("digest %x", b.Digests[0].Sum)
	}
	certificate, err := x509.ParseCertificate(b.Signatures[0].Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.CheckSignature(x509.ECDSAWithSHA256, artifact, b.Signatures[0].Signature); err != nil {
		t.Error(err)
	}
}

const (
	testPEM  = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==\n-----END PUBLIC KEY-----\n"
	testHash = `{"algorithm":"sha256","value":"0000000000000000000000000000000000000000000000000000000000000000"}`
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestParseBodyRefuses(t *testing.T) {
	key, sig := b64(testPEM), b64("signature")
	entry := func(kind, version, spec string) string {
		return `{"apiVersion":"` + version + `","kind":"` + kind + `","spec":` + spec + `}`
	}
	hashed := func(hash, content, publicKey string) string {
		return entry("hashedrekord", "0.0.1", `{"data":{"hash":`+hash+`},"signature":{"content":"`+content+`","publicKey":{"content":"`+publicKey+`"}}}`)
	}
	v2 := func(spec string) string { return entry("hashedrekord", "0.0.2", `{"hashedRekordV002":`+spec+`}`) }
	zero32 := b64(strings.Repeat("\x00", 32))
	der := strings.ReplaceAll(testPEM[27:strings.Index(testPEM, "\n-----END")], "\n", "")
	verifier := `{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"` + der + `"}}`
	data := `{"algorithm":"SHA2_256","digest":"` + zero32 + `"}`
	intoto := func(env, rest string) string {
		return entry("intoto", "0.0.2", `{"content":{"envelope":{`+env+`}`+rest+`}}`)
	}
	intotoSig := `"payloadType":"t","signatures":[{"publicKey":"` + key + `","sig":"` + b64(sig) + `"}]`
	payloadHash := `,"payloadHash":` + testHash

	for name, in := range map[string]string{
		"hashedrekord 0.0.1": hashed(testHash, sig, key),
		"hashedrekord 0.0.2": v2(`{"data":` + data + `,"signature":{"content":"` + sig + `","verifier":` + verifier + `}}`),
		"rekord 0.0.1":       entry("rekord", "0.0.1", `{"data":{"hash":`+testHash+`},"signature":{"content":"`+sig+`","format":"x509","publicKey":{"content":"`+key+`"}}}`),
		"dsse 0.0.1":         entry("dsse", "0.0.1", `{"envelopeHash":`+testHash+`,"payloadHash":`+testHash+`,"signatures":[{"signature":"`+sig+`","verifier":"`+key+`"}]}`),
		"dsse 0.0.2":         entry("dsse", "0.0.2", `{"dsseV002":{"payloadHash":`+data+`,"signatures":[{"content":"`+sig+`","verifier":`+verifier+`}]}}`),
		"intoto 0.0.1":       entry("intoto", "0.0.1", `{"content":{"hash":`+testHash+`,"payloadHash":`+testHash+`},"publicKey":"`+key+`"}`),
		"intoto 0.0.2":       intoto(intotoSig, payloadHash),
	} {
		b, err := ParseBody([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(b.Signatures) != 1 || b.Signatures[0].PublicKey == nil || len(b.Digests) != 1 {
			t.Errorf("%s: %+v", name, b)
		}
		if want := "signature"; name != "intoto 0.0.1" && string(b.Signatures[0].Signature) != want {
			t.Errorf("%s: signature %q", name, b.Signatures[0].Signature)
		}
		if _, err := ParseBody([]byte(strings.Replace(in, `"spec":{`, `"spec":{"extra":1,`, 1))); err == nil || !strings.Contains(err.Error(), `unknown field "extra"`) {
			t.Errorf("%s with an unknown field: %v", name, err)
		}
		if _, err := ParseBody([]byte(strings.Replace(in, `{"apiVersion"`, `{"kind":"x","apiVersion"`, 1))); err == nil || !strings.Contains(err.Error(), "given twice") {
			t.Errorf("%s with two kinds: %v", name, err)
		}
		if _, err := ParseBody([]byte(in + " {}")); err == nil {
			t.Errorf("%s with more behind it: accepted", name)
		}
	}

	if kind, _, err := EntryKind([]byte("[]")); err == nil {
		t.Errorf("a list has the kind %q", kind)
	}
	for name, c := range map[string]struct{ in, want string }{
		"empty":                     {"", "empty"},
		"not an object":             {"[]", "want an object"},
		"no kind":                   {`{"apiVersion":"0.0.1","spec":{}}`, "unknown kind"},
		"no version":                {`{"kind":"dsse","spec":{}}`, "unknown kind"},
		"no spec":                   {`{"apiVersion":"0.0.1","kind":"dsse"}`, "spec: empty"},
		"jar":                       {entry("jar", "0.0.1", "{}"), "unknown kind"},
		"newer version":             {entry("hashedrekord", "0.0.3", "{}"), "unknown kind"},
		"slash in kind":             {entry("hashedrekord/0.0.1", "", "{}"), "unknown kind"},
		"too large":                 {strings.Repeat(" ", 4<<20) + "{}", "more than the limit"},
		"deep":                      {entry("dsse", "0.0.1", strings.Repeat("[", 20)+strings.Repeat("]", 20)), "nested deeper"},
		"empty spec":                {entry("hashedrekord", "0.0.1", "{}"), "data.hash: missing"},
		"no hash":                   {entry("hashedrekord", "0.0.1", `{"data":{},"signature":{}}`), "data.hash: missing"},
		"no signature":              {entry("hashedrekord", "0.0.1", `{"data":{"hash":`+testHash+`}}`), "signature.content: missing"},
		"no key":                    {entry("hashedrekord", "0.0.1", `{"data":{"hash":`+testHash+`},"signature":{"content":"AA=="}}`), "signature.publicKey: missing"},
		"md5":                       {hashed(`{"algorithm":"md5","value":"00"}`, sig, key), "want sha256"},
		"short hash":                {hashed(`{"algorithm":"sha256","value":"00"}`, sig, key), "is not a sha256"},
		"hash in capitals":          {hashed(strings.Replace(testHash, "00", "AA", 1), sig, key), "lower-case"},
		"sha512 of 32 bytes":        {hashed(strings.Replace(testHash, "sha256", "sha512", 1), sig, key), "is not a sha512"},
		"empty signature":           {hashed(testHash, "", key), "signature.content: missing"},
		"signature in URL base64":   {hashed(testHash, "_-8=", key), "not standard base64"},
		"signature unpadded":        {hashed(testHash, "AA", key), "not standard base64"},
		"signature with newline":    {hashed(testHash, `AA==\n`, key), "not standard base64"},
		"empty key":                 {hashed(testHash, sig, ""), "publicKey.content: missing"},
		"key not PEM":               {hashed(testHash, sig, b64("key")), "not the base64 of PEM"},
		"key as bare PEM":           {hashed(testHash, sig, strings.ReplaceAll(testPEM, "\n", `\n`)), "not standard base64"},
		"text before the key":       {hashed(testHash, sig, b64("x"+testPEM)), "not the base64 of PEM"},
		"text after the key":        {hashed(testHash, sig, b64(testPEM+"x")), "beside a public key"},
		"two keys":                  {hashed(testHash, sig, b64(testPEM+testPEM)), "beside a public key"},
		"private key":               {hashed(testHash, sig, b64(strings.ReplaceAll(testPEM, "PUBLIC", "PRIVATE"))), `PEM block "PRIVATE KEY"`},
		"key called certificate":    {hashed(testHash, sig, b64(strings.ReplaceAll(testPEM, "PUBLIC KEY", "CERTIFICATE"))), "certificate does not parse"},
		"rekord with pgp":           {entry("rekord", "0.0.1", `{"data":{"hash":`+testHash+`},"signature":{"content":"`+sig+`","format":"pgp","publicKey":{"content":"AA=="}}}`), `is "pgp"`},
		"rekord without format":     {entry("rekord", "0.0.1", `{"data":{"hash":`+testHash+`},"signature":{"content":"`+sig+`","publicKey":{"content":"`+key+`"}}}`), `signature.format: is ""`},
		"hashedrekord with format":  {strings.Replace(hashed(testHash, sig, key), `"content"`, `"format":"x509","content"`, 1), `unknown field "format"`},
		"dsse without payload hash": {entry("dsse", "0.0.1", `{"envelopeHash":`+testHash+`,"signatures":[{"signature":"`+sig+`","verifier":"`+key+`"}]}`), "payloadHash: missing"},
		"dsse without envelope":     {entry("dsse", "0.0.1", `{"payloadHash":`+testHash+`,"signatures":[{"signature":"`+sig+`","verifier":"`+key+`"}]}`), "envelopeHash: missing"},
		"dsse unsigned":             {entry("dsse", "0.0.1", `{"payloadHash":`+testHash+`,"envelopeHash":`+testHash+`,"signatures":[]}`), "signatures: missing"},
		"dsse, empty signature":     {entry("dsse", "0.0.1", `{"payloadHash":`+testHash+`,"envelopeHash":`+testHash+`,"signatures":[{}]}`), "signatures[0].signature: missing"},
		"dsse, no verifier":         {entry("dsse", "0.0.1", `{"payloadHash":`+testHash+`,"envelopeHash":`+testHash+`,"signatures":[{"signature":"`+sig+`"}]}`), "signatures[0].verifier: missing"},
		"dsse as proposed":          {entry("dsse", "0.0.1", `{"proposedContent":{}}`), `unknown field "proposedContent"`},
		"dsse, 101 signatures":      {entry("dsse", "0.0.1", `{"signatures":[`+strings.Repeat("{},", 100)+`{}]}`), "more than 100"},
		"intoto 0.0.1, no hash":     {entry("intoto", "0.0.1", `{"content":{},"publicKey":"`+key+`"}`), "content.hash: missing"},
		"intoto 0.0.1, no key":      {entry("intoto", "0.0.1", `{"content":{"hash":`+testHash+`}}`), "publicKey: missing"},
		"intoto, no payload hash":   {intoto(intotoSig, ""), "content.payloadHash: missing"},
		"intoto, no signatures":     {intoto(`"payloadType":"t"`, payloadHash), "signatures: missing"},
		"intoto, single base64":     {intoto(strings.Replace(intotoSig, b64(sig), sig, 1), payloadHash), "base64 of the base64"},
		"intoto, other payload":     {intoto(`"payload":"AAAA",`+intotoSig, payloadHash), "does not have the hash"},
		"v2 with v1 spec":           {entry("hashedrekord", "0.0.2", `{"data":{}}`), `unknown field "data"`},
		"v2 of the other kind":      {entry("hashedrekord", "0.0.2", `{"dsseV002":{}}`), `unknown field "dsseV002"`},
		"v2 empty":                  {entry("hashedrekord", "0.0.2", `{}`), "hashedRekordV002.data: missing"},
		"v2 no algorithm":           {v2(`{"data":{"digest":"` + zero32 + `"}}`), "data.algorithm"},
		"v2 short digest":           {v2(`{"data":{"algorithm":"SHA2_384","digest":"` + zero32 + `"}}`), "has 32 bytes"},
		"v2 no signature":           {v2(`{"data":` + data + `}`), "signature.content: missing"},
		"v2 no verifier":            {v2(`{"data":` + data + `,"signature":{"content":"` + sig + `"}}`), "signature.verifier: missing"},
		"v2 no details":             {v2(`{"data":` + data + `,"signature":{"content":"` + sig + `","verifier":{"publicKey":{"rawBytes":"` + der + `"}}}}`), "keyDetails: missing"},
		"v2 unknown details":        {v2(`{"data":` + data + `,"signature":{"content":"` + sig + `","verifier":{"keyDetails":"X"}}}`), `unknown value "X"`},
		"v2 key and certificate":    {v2(`{"data":` + data + `,"signature":{"content":"` + sig + `","verifier":{"publicKey":{},"x509Certificate":{}}}}`), "excludes another"},
		"v2 empty key":              {v2(`{"data":` + data + `,"signature":{"content":"` + sig + `","verifier":{"keyDetails":5,"publicKey":{}}}}`), "verifier.publicKey.rawBytes"},
		"v2 key as certificate":     {v2(`{"data":` + data + `,"signature":{"content":"` + sig + `","verifier":{"keyDetails":5,"x509Certificate":{"rawBytes":"` + der + `"}}}}`), "certificate does not parse"},
		"dsse v2 unsigned":          {entry("dsse", "0.0.2", `{"dsseV002":{"payloadHash":`+data+`}}`), "dsseV002.signatures: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseBody([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if strings.Contains(c.want, "unknown kind") != errors.Is(err, ErrUnknownKind) {
				t.Errorf("%v wraps ErrUnknownKind: %v", err, errors.Is(err, ErrUnknownKind))
			}
		})
	}
}

func TestVerifierChain(t *testing.T) {
	chain := string(testenv.ReadVector(t, "sigstore-java", "samples", "fulcio-response", "valid", "fulcio.crt.pem"))
	one := chain[:strings.Index(chain, "-----END CERTIFICATE-----")+26]
	var s BodySignature
	if err := s.setVerifier([]byte(one + one)); err != nil || len(s.Certificate) == 0 || s.PublicKey != nil {
		t.Errorf("chain: %v, %+v", err, s)
	}
	for name, c := range map[string]struct{ in, want string }{
		"eleven":          {strings.Repeat(one, 11), "more than 10"},
		"key behind":      {one + testPEM, "beside a public key"},
		"key before":      {testPEM + one, "beside a public key"},
		"garbage between": {one + "x\n" + one, "not the base64 of PEM"},
		"broken block 1":  {"-----BEGIN CERTIFICATE-----\nAA*A\n-----END CERTIFICATE-----\n" + one, "not the base64 of PEM"},
		"broken block":    {one + "-----BEGIN CERTIFICATE-----\nAAAA\n", "not the base64 of PEM"},
	} {
		if err := new(BodySignature).setVerifier([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestHashedRekordV2BodyRefuses(t *testing.T) {
	good := BodySignature{Signature: []byte{1}, Certificate: []byte{2}, Details: algorithm.ECDSAP256SHA256}
	sum := Digest{crypto.SHA256, make([]byte, 32)}
	if _, err := HashedRekordV2Body(sum, good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		digest Digest
		change func(*BodySignature)
	}{
		"short digest":  {Digest{crypto.SHA256, make([]byte, 31)}, func(*BodySignature) {}},
		"no hash":       {Digest{Sum: make([]byte, 32)}, func(*BodySignature) {}},
		"sha1":          {Digest{crypto.SHA1, make([]byte, 20)}, func(*BodySignature) {}},
		"no signature":  {sum, func(s *BodySignature) { s.Signature = nil }},
		"no details":    {sum, func(s *BodySignature) { s.Details = 0 }},
		"other details": {sum, func(s *BodySignature) { s.Details = 4711 }},
		"no verifier":   {sum, func(s *BodySignature) { s.Certificate = nil }},
		"two verifiers": {sum, func(s *BodySignature) { s.PublicKey = []byte{3} }},
	} {
		s := good
		c.change(&s)
		if body, err := HashedRekordV2Body(c.digest, s); err == nil {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func FuzzParseBody(f *testing.F) {
	seen := map[string]int{}
	for _, e := range realEntries(f) {
		if kind := e.Kind + e.Version; seen[kind] < 3 {
			seen[kind]++
			f.Add(e.Body)
		}
	}
	for _, e := range legacyEntries(f) {
		f.Add(e.Body)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := ParseBody(in)
		if err != nil {
			return
		}
		if len(b.Signatures) == 0 || b.Subject == 0 {
			t.Fatalf("accepted, but %+v", b)
		}
		for _, d := range b.Digests {
			if len(d.Sum) != d.Hash.Size() {
				t.Fatalf("digest %+v", d)
			}
		}
		if b.Kind == "hashedrekord" && b.Version == "0.0.2" {
			again, err := HashedRekordV2Body(b.Digests[0], b.Signatures[0])
			if err != nil {
				return // details without a name
			}
			c, err := ParseBody(again)
			if err != nil || !bytes.Equal(c.Digests[0].Sum, b.Digests[0].Sum) || !bytes.Equal(c.Signatures[0].Signature, b.Signatures[0].Signature) {
				t.Fatalf("rebuilt %s: %v", again, err)
			}
		}
	})
}
