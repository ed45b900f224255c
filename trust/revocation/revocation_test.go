package revocation_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/keyset"
	"github.com/bulla-sign/bulla/trust/revocation"
)

var (
	since = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	some  = strings.Repeat("ab", 32)
)

func signer(t testing.TB, details algorithm.Details) (keys.Signer, trust.Key) {
	t.Helper()
	s, err := keys.FromSigner(mint.NewKey(t, details))
	if err != nil {
		t.Fatal(err)
	}
	k, err := trust.NewKey("revoker", s.Public(), algorithm.Unspecified, trust.Window{})
	if err != nil {
		t.Fatal(err)
	}
	return s, k
}

func sign(t testing.TB, r trust.Revocation, by keys.Signer) []byte {
	t.Helper()
	data, err := revocation.Sign(context.Background(), r, by)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	all := []trust.Revocation{
		{Artifact: some, Reason: "CVE-2026-1"},
		{Key: some, From: since, Reason: "stolen"},
		{Subject: "alice@bulla.test", Issuer: "https://issuer.bulla.test", From: since, Reason: "left"},
	}
	for _, details := range []algorithm.Details{algorithm.ECDSAP256SHA256, algorithm.Ed25519, algorithm.ECDSAP384SHA384} {
		s, k := signer(t, details)
		l := &revocation.List{Keys: []trust.Key{k}}
		for _, r := range all {
			l.Statements = append(l.Statements, sign(t, r, s))
		}
		data, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := revocation.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(mint.SPKI(t, s.Public()))
		for i, r := range all {
			r.By = "key sha256:" + hex.EncodeToString(sum[:])
			if !reflect.DeepEqual(got[i], r) {
				t.Errorf("got %+v, want %+v", got[i], r)
			}
		}
	}
	s, k := signer(t, algorithm.ECDSAP256SHA256)
	data, err := (&revocation.List{Keys: []trust.Key{k}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := revocation.Decode(data); err != nil || len(got) != 0 {
		t.Errorf("an empty list: %v, %v", got, err)
	}
	_ = s
}

func TestSignRefuses(t *testing.T) {
	s, _ := signer(t, algorithm.ECDSAP256SHA256)
	for name, r := range map[string]trust.Revocation{
		"nothing": {Reason: "x"}, "no reason": {Artifact: some}, "two things": {Artifact: some, Key: some, Reason: "x"},
		"identity without issuer": {Subject: "a", Reason: "x"}, "issuer alone": {Issuer: "a", Reason: "x"}, "no digest": {Artifact: "abc", Reason: "x"},
		"line feed": {Artifact: some, Reason: "a\nb"}, "long": {Artifact: some, Reason: strings.Repeat("x", 1001)},
	} {
		if _, err := revocation.Sign(context.Background(), r, s); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

// envelope signs any payload.
func envelope(t testing.TB, by keys.Signer, payloadType, payload string) string {
	t.Helper()
	env := &bundle.Envelope{Payload: []byte(payload), PayloadType: payloadType}
	alg, err := algorithm.Default(by.Public())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := by.Sign(context.Background(), alg, algorithm.Bytes(env.PAE()))
	if err != nil {
		t.Fatal(err)
	}
	env.Signatures = []bundle.EnvelopeSignature{{Sig: sig}}
	data, err := env.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What is unknown, unsigned or malformed spoils the whole list: it could be the revocation that matters.
func TestDecodeRefuses(t *testing.T) {
	s, k := signer(t, algorithm.ECDSAP256SHA256)
	stranger, _ := signer(t, algorithm.ECDSAP256SHA256)
	good := string(sign(t, trust.Revocation{Artifact: some, Reason: "x"}, s))
	keySet, err := keyset.Encode([]trust.Key{k})
	if err != nil {
		t.Fatal(err)
	}
	k.Window.Start = since
	windowed, err := keyset.Encode([]trust.Key{k})
	if err != nil {
		t.Fatal(err)
	}
	list := func(mediaType, keys string, statements ...string) string {
		return `{"mediaType":"` + mediaType + `","keys":` + keys + `,"statements":[` + strings.Join(statements, ",") + `]}`
	}
	here := func(statements ...string) string {
		return list(revocation.ListMediaType, string(keySet), statements...)
	}
	if _, _, err := revocation.Decode([]byte(here(good))); err != nil {
		t.Fatal(err)
	}
	st := func(predicateType, subject, predicate string) string {
		return envelope(t, s, bundle.StatementPayloadType, `{"_type":"https://in-toto.io/Statement/v1","subject":[`+subject+`],"predicateType":"`+predicateType+`","predicate":`+predicate+`}`)
	}
	subject := `{"name":"artifact","digest":{"sha256":"` + some + `"}}`
	ours := revocation.PredicateType
	var env map[string]any
	if err := json.Unmarshal([]byte(good), &env); err != nil {
		t.Fatal(err)
	}
	unsigned := `{"payloadType":"` + bundle.StatementPayloadType + `","payload":"` + env["payload"].(string) + `","signatures":[]}`
	wrong := `{"payloadType":"` + bundle.StatementPayloadType + `","payload":"` + env["payload"].(string) + `","signatures":[{"sig":"` + base64.StdEncoding.EncodeToString([]byte("x")) + `"}]}`
	for name, tt := range map[string]struct{ data, want string }{
		"not JSON":         {"x", "revocations"},
		"media type":       {list("application/json", string(keySet), good), "mediaType"},
		"unknown member":   {`{"more":1,` + here()[1:], "more"},
		"no keys":          {`{"mediaType":"` + revocation.ListMediaType + `","statements":[]}`, "keys"},
		"empty key set":    {list(revocation.ListMediaType, `{"mediaType":"`+keyset.MediaType+`","keys":[]}`, good), "no key"},
		"windowed key":     {list(revocation.ListMediaType, string(windowed), good), "window"},
		"stranger":         {here(good, string(sign(t, trust.Revocation{Artifact: some, Reason: "x"}, stranger))), "statements[1]: revocation: it is not signed by a key that may revoke"},
		"unsigned":         {here(unsigned), "statements[0]"},
		"wrong signature":  {here(wrong), "not signed"},
		"payload type":     {here(envelope(t, s, "text/plain", "{}")), "payload type"},
		"not a statement":  {here(envelope(t, s, bundle.StatementPayloadType, "{}")), "statements[0]"},
		"other predicate":  {here(st("https://example.com/p", subject, `{"kind":"artifact","reason":"x"}`)), "predicate type"},
		"unknown field":    {here(st(ours, subject, `{"kind":"artifact","reason":"x","unless":"y"}`)), "unless"},
		"unknown kind":     {here(st(ours, subject, `{"kind":"everything","reason":"x"}`)), "not clear"},
		"no reason":        {here(st(ours, subject, `{"kind":"artifact"}`)), "reason"},
		"two subjects":     {here(st(ours, subject+","+subject, `{"kind":"artifact","reason":"x"}`)), "one subject"},
		"sha512 as well":   {here(st(ours, strings.Replace(subject, `{"sha256"`, `{"sha512":"`+strings.Repeat("a", 128)+`","sha256"`, 1), `{"kind":"key","reason":"x"}`)), "one subject"},
		"halves disagree":  {here(st(ours, subject, `{"kind":"identity","subject":"a","issuer":"b","reason":"x"}`)), "not clear"},
		"artifact by name": {here(st(ours, subject, `{"kind":"artifact","subject":"a","reason":"x"}`)), "not clear"},
		"bad time":         {here(st(ours, subject, `{"kind":"artifact","from":"yesterday","reason":"x"}`)), "from"},
		"control":          {here(st(ours, subject, `{"kind":"artifact","reason":"x\u001b[2J"}`)), "printable"},
		"no predicate":     {here(st(ours, subject, `{}`)), "reason"},
		"huge":             {here(`{"payload":"` + strings.Repeat("a", 70000) + `"}`), "limit"},
	} {
		if _, _, err := revocation.Decode([]byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s, k := signer(f, algorithm.ECDSAP256SHA256)
	data, err := (&revocation.List{Keys: []trust.Key{k}, Statements: [][]byte{sign(f, trust.Revocation{Key: some, From: since, Reason: "x"}, s)}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"mediaType":"` + revocation.ListMediaType + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, all, err := revocation.Decode(data)
		if err != nil {
			return
		}
		again, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := revocation.Decode(again); err != nil || !reflect.DeepEqual(got, all) {
			t.Errorf("%v, %v; was %v", got, err, all)
		}
	})
}
