package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tlog"
)

func legacyBlob(t testing.TB) []byte {
	t.Helper()
	return testenv.ReadVector(t, "legacy", "cosign-sign-blob-bundle.json")
}

// wantError checks that err is a *FormatError with a text.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var f *FormatError
	if !errors.As(err, &f) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a *FormatError with %q", err, want)
	}
}

func TestDecodeCosignBlob(t *testing.T) {
	b, err := DecodeCosignBlob(legacyBlob(t), Detached{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Validate(ValidateOptions{}); err != nil {
		t.Errorf("validate: %v", err)
	}
	if b.Version != Cosign || b.Envelope != nil || b.Message.Payload != nil || b.Material.NoKey || b.Material.Chain {
		t.Errorf("%+v", b)
	}
	certificate, err := x509.ParseCertificate(b.Material.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	artifact := testenv.ReadVector(t, "legacy", "artifact.txt")
	if err := certificate.CheckSignature(x509.ECDSAWithSHA256, artifact, b.Message.Signature); err != nil {
		t.Error(err)
	}
	checkRekorEntry(t, &b.Material.Entries[0], "hashedrekord", "0.0.1")

	written, err := b.CosignBlob()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeCosignBlob(written, Detached{})
	if err != nil || !cmp.Equal(b, again) {
		t.Errorf("written and read again: %v\n%s", err, cmp.Diff(b, again))
	}
}

func checkRekorEntry(t *testing.T, e *tlog.Entry, kind, version string) {
	t.Helper()
	if e.Kind != kind || e.Version != version || e.Proof != nil {
		t.Errorf("entry %+v", e)
	}
	pub, err := algorithm.ParsePublicKeyPEM(testenv.ReadVector(t, "legacy", "rekor.pub"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := tlog.KeyIDv1(pub)
	if err != nil || !bytes.Equal(id, e.LogID) {
		t.Errorf("log ID %x", e.LogID)
	}
	if err := tlog.VerifySET(e, pub); err != nil {
		t.Error(err)
	}
}

// The writer's bytes are those of cosign: member order, numbers as numbers, no white space.
func TestCosignBlobBytes(t *testing.T) {
	b, err := DecodeCosignBlob([]byte(`{"base64Signature":"AAEC"}`), Detached{})
	if err != nil || !b.Material.NoKey {
		t.Fatalf("%+v, %v", b, err)
	}
	body := `{"apiVersion":"0.0.1","kind":"rekord","spec":{}}`
	b.Material.Entries = []tlog.Entry{{
		LogIndex: 12, IntegratedTime: 1660000000, LogID: bytes.Repeat([]byte{0xab}, 32), Promise: []byte{9}, Body: []byte(body),
	}}
	got, err := b.CosignBlob()
	want := `{"base64Signature":"AAEC","rekorBundle":{"SignedEntryTimestamp":"CQ==","Payload":{"body":"` +
		base64.StdEncoding.EncodeToString([]byte(body)) + `","integratedTime":1660000000,"logIndex":12,"logID":"` + strings.Repeat("ab", 32) + `"}}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

func TestDecodeCosignBlobRefuses(t *testing.T) {
	good := string(legacyBlob(t))
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(good), &fields); err != nil {
		t.Fatal(err)
	}
	with := func(name, value string) string {
		copied := map[string]json.RawMessage{}
		for k, v := range fields {
			copied[k] = v
		}
		copied[name] = json.RawMessage(value)
		data, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	quoted := func(text []byte) string { return `"` + base64.StdEncoding.EncodeToString(text) + `"` }
	publicKey := testenv.ReadVector(t, "legacy", "rekor.pub")
	block, _ := pem.Decode(publicKey)
	disguised := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})
	payload := `{"body":"` + base64.StdEncoding.EncodeToString([]byte(`{"kind":"x","apiVersion":"1"}`)) + `","integratedTime":1,"logIndex":0,"logID":"` + strings.Repeat("ab", 32) + `"}`
	rekor := func(old, new string) string {
		return with("rekorBundle", `{"SignedEntryTimestamp":"AA==","Payload":`+strings.Replace(payload, old, new, 1)+`}`)
	}
	if _, err := DecodeCosignBlob([]byte(rekor("", "")), Detached{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ in, want string }{
		"empty":                  {"", "empty"},
		"a list":                 {"[]", "want an object"},
		"no signature":           {`{"cert":""}`, "base64Signature: missing"},
		"empty signature":        {with("base64Signature", `""`), "base64Signature: missing"},
		"signature not base64":   {with("base64Signature", `"***="`), "base64Signature: is not standard base64"},
		"signature in URL":       {with("base64Signature", `"_-8="`), "base64Signature: is not standard base64"},
		"envelope unsigned":      {with("base64Signature", quoted([]byte(`{"payload":"AA==","payloadType":"x","signatures":[]}`))), "base64Signature.signatures: missing"},
		"not an envelope":        {with("base64Signature", quoted([]byte(`{"a":1}`))), "base64Signature.payloadType: missing"},
		"envelope, twice":        {with("base64Signature", quoted([]byte(`{"payload":"AA==","payload":"AAAA"}`))), "base64Signature.payload: given twice"},
		"unknown member":         {strings.Replace(good, `{"base64`, `{"x":1,"base64`, 1), `unknown field "x"`},
		"member twice":           {strings.Replace(good, `{"base64`, `{"cert":"","base64`, 1), "cert: given twice"},
		"public key as cert":     {with("cert", quoted(publicKey)), `cert: holds a PEM block "PUBLIC KEY", want a certificate`},
		"public key, bare PEM":   {with("cert", strings.ReplaceAll(`"`+string(publicKey)+`"`, "\n", `\n`)), `want a certificate`},
		"public key, DER":        {with("cert", quoted(block.Bytes)), "cert: is a public key, want a certificate"},
		"disguised public key":   {with("cert", quoted(disguised)), "cert: is a public key, want a certificate"},
		"cert is nothing":        {with("cert", `"AAAA"`), "cert: is not PEM"},
		"cert and public key":    {with("cert", quoted(append(legacyCert(t, fields), publicKey...))), "want a certificate"},
		"broken block first":     {with("cert", quoted(append([]byte("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"), legacyCert(t, fields)...))), "cert: is not PEM"},
		"rekor, unknown member":  {rekor(`{"body"`, `{"x":1,"body"`), `rekorBundle.Payload: unknown field "x"`},
		"rekor, twice":           {rekor(`{"body"`, `{"logIndex":2,"body"`), `logIndex: given twice`},
		"rekor, no SET":          {with("rekorBundle", `{"Payload":`+payload+`}`), "rekorBundle.SignedEntryTimestamp: missing"},
		"rekor, no payload":      {with("rekorBundle", `{"SignedEntryTimestamp":"AA=="}`), "rekorBundle.Payload.body: missing"},
		"rekor, no time":         {rekor(`"integratedTime":1,`, ""), "rekorBundle.Payload.integratedTime"},
		"rekor, negative time":   {rekor(`"integratedTime":1`, `"integratedTime":-1`), "rekorBundle.Payload.integratedTime"},
		"rekor, negative index":  {rekor(`"logIndex":0`, `"logIndex":-1`), "rekorBundle.Payload.logIndex: negative"},
		"rekor, fraction":        {rekor(`"logIndex":0`, `"logIndex":0.5`), "rekorBundle.Payload.logIndex"},
		"rekor, no log":          {rekor(`,"logID":"`+strings.Repeat("ab", 32)+`"`, ""), "rekorBundle.Payload.logID: missing"},
		"rekor, log not hex":     {rekor("abab", "xxxx"), "rekorBundle.Payload.logID: is not 64"},
		"rekor, log in capitals": {rekor("abab", "ABAB"), "rekorBundle.Payload.logID: is not 64"},
		"rekor, body not JSON":   {rekor(`{"body":"`, `{"body":"AAAA`), "rekorBundle.Payload.body"},
		"rekor, a list":          {with("rekorBundle", "[]"), "rekorBundle: is a list, want an object"},
		"rekor, deep":            {with("rekorBundle", strings.Repeat(`{"Payload":`, 600)+"1"+strings.Repeat("}", 600)), "rekorBundle"},
		"more behind":            {good + "{}", "more JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeCosignBlob([]byte(c.in), Detached{})
			wantError(t, err, c.want)
		})
	}
}

func legacyCert(t testing.TB, fields map[string]json.RawMessage) []byte {
	t.Helper()
	var text []byte
	if err := json.Unmarshal(fields["cert"], &text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCosignBlobBeside(t *testing.T) {
	alone, err := DecodeCosignBlob(legacyBlob(t), Detached{})
	if err != nil {
		t.Fatal(err)
	}
	leaf := alone.Material.Certificates[0]
	chain := testenv.ReadVector(t, "sigstore-java", "samples", "fulcio-response", "valid", "fulcio.crt.pem")
	stamp := []byte{0x30, 0x03, 0x02, 0x01, 0x00}
	b, err := DecodeCosignBlob(legacyBlob(t), Detached{Certificate: leaf, Chain: chain, Timestamp: stamp, SCT: []byte("sct")})
	if err != nil {
		t.Fatal(err)
	}
	m := b.Material
	if len(m.Certificates) < 2 || !m.Chain || !bytes.Equal(m.Certificates[0], leaf) || !bytes.Equal(m.Timestamps[0], stamp) || string(m.SCT) != "sct" {
		t.Errorf("%+v", m)
	}
	for name, c := range map[string]struct {
		beside Detached
		want   string
	}{
		"another signature":    {Detached{Signature: []byte("AAAA")}, "another signature"},
		"another rekor bundle": {Detached{RekorBundle: []byte("{}")}, "rekorBundle: another one"},
		"another certificate":  {Detached{Certificate: chain}, "cert: is another certificate"},
		"no certificate":       {Detached{Certificate: []byte("AAAA")}, "certificate: is not PEM"},
		"no timestamp":         {Detached{Timestamp: []byte("{}")}, "timestamp.SignedRFC3161Timestamp: missing"},
	} {
		_, err := DecodeCosignBlob(legacyBlob(t), c.beside)
		t.Run(name, func(t *testing.T) { wantError(t, err, c.want) })
	}
}

func TestCosignBlobEnvelope(t *testing.T) {
	// Unusual spacing and order: the raw JSON must survive.
	envelope := `{ "signatures":[{"sig":"c2ln"}], "payloadType":"application/vnd.in-toto+json","payload":"eyJ9" }`
	in := `{"base64Signature":"` + base64.StdEncoding.EncodeToString([]byte(envelope)) + `"}`
	b, err := DecodeCosignBlob([]byte(in), Detached{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Message != nil || string(b.Envelope.Raw) != envelope || string(b.Envelope.Signatures[0].Sig) != "sig" {
		t.Errorf("%+v", b)
	}
	out, err := b.CosignBlob()
	if err != nil || string(out) != in {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := FromDetached(Detached{Signature: []byte(envelope), Payload: []byte("x")}); err == nil {
		t.Error("a payload beside an envelope was accepted")
	}
}

func TestCosignBlobWriterRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Bundle)
		want   string
	}{
		"nothing signed":  {func(b *Bundle) { b.Message = nil }, "exactly one"},
		"both":            {func(b *Bundle) { b.Envelope = &Envelope{} }, "exactly one"},
		"empty signature": {func(b *Bundle) { b.Message.Signature = nil }, "signature: missing"},
		"payload":         {func(b *Bundle) { b.Message.Payload = []byte{} }, "no place"},
		"two entries":     {func(b *Bundle) { b.Material.Entries = append(b.Material.Entries, b.Material.Entries[0]) }, "2 log entries"},
		"no promise":      {func(b *Bundle) { b.Material.Entries[0].Promise = nil }, "inclusionPromise: missing"},
		"no body":         {func(b *Bundle) { b.Material.Entries[0].Body = nil }, "no body"},
	} {
		b, err := DecodeCosignBlob(legacyBlob(t), Detached{})
		if err != nil {
			t.Fatal(err)
		}
		c.change(b)
		_, err = b.CosignBlob()
		t.Run(name, func(t *testing.T) { wantError(t, err, c.want) })
	}
}

// A modern bundle of Rekor v1 can be written in the old form, one of Rekor v2 cannot.
func TestCosignBlobOfBundles(t *testing.T) {
	b, err := Decode(testenv.ReadVector(t, "sigstore-java", "samples", "bundles", "bundle.v3.sigstore"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := b.CosignBlob()
	if err != nil {
		t.Fatal(err)
	}
	old, err := DecodeCosignBlob(data, Detached{})
	if err != nil {
		t.Fatal(err)
	}
	e := b.Material.Entries[0]
	e.Proof = nil
	if !cmp.Equal(old.Material.Entries, []tlog.Entry{e}) || !bytes.Equal(old.Message.Signature, b.Message.Signature) {
		t.Error(cmp.Diff(old.Material.Entries, []tlog.Entry{e}))
	}
	b, err = Decode(testenv.ReadVector(t, "sigstore-java", "samples", "bundles", "bundle-with-rekor-v2-entry.sigstore"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.CosignBlob()
	wantError(t, err, "Rekor v1")
}

func FuzzDecodeCosignBlob(f *testing.F) {
	f.Add(legacyBlob(f))
	f.Add([]byte(`{"base64Signature":"AAEC"}`))
	f.Add([]byte(`{"base64Signature":"` + base64.StdEncoding.EncodeToString([]byte(`{"payload":"e30=","payloadType":"t","signatures":[{"sig":"c2ln"}]}`)) + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeCosignBlob(data, Detached{})
		if err != nil {
			return
		}
		out, err := b.CosignBlob()
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		again, err := DecodeCosignBlob(out, Detached{})
		if err != nil {
			t.Fatalf("written, but not read: %v", err)
		}
		if len(b.Material.Certificates) > 1 { // the format writes the first
			b.Material.Certificates, b.Material.Chain = b.Material.Certificates[:1], false
		}
		if !cmp.Equal(b, again) {
			t.Fatal(cmp.Diff(b, again))
		}
	})
}

func sha(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}
