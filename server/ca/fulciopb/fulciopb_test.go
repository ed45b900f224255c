package fulciopb_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/ca/fulciopb"
	"google.golang.org/protobuf/encoding/protowire"
)

func field(num protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), value))
}

func TestProto(t *testing.T) {
	key := func(content, proof string) string { return field(1, field(2, content)) + field(2, proof) }
	for name, c := range map[string]struct {
		wire string
		want fulciopb.SigningRequest
	}{
		"empty":           {"", fulciopb.SigningRequest{}},
		"key":             {field(1, field(1, "t")) + field(2, key("k", "p")), fulciopb.SigningRequest{Token: "t", PublicKey: []byte("k"), Proof: []byte("p"), HasKey: true}},
		"CSR":             {field(3, "c"), fulciopb.SigningRequest{CSR: []byte("c"), HasCSR: true}},
		"CSR, then key":   {field(3, "c") + field(2, key("k", "p")), fulciopb.SigningRequest{PublicKey: []byte("k"), Proof: []byte("p"), HasKey: true}},
		"key, then CSR":   {field(2, key("k", "p")) + field(3, "c"), fulciopb.SigningRequest{CSR: []byte("c"), HasCSR: true}},
		"last counts":     {field(1, field(1, "a")) + field(1, field(1, "b")), fulciopb.SigningRequest{Token: "b"}},
		"unknown":         {field(77, "x") + string(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)), fulciopb.SigningRequest{}},
		"algorithm given": {field(2, field(1, "\x08\x02"+field(2, "k"))), fulciopb.SigningRequest{PublicKey: []byte("k"), HasKey: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var got fulciopb.SigningRequest
			if err := got.UnmarshalProto([]byte(c.wire)); err != nil {
				t.Fatal(err)
			}
			if got.Token != c.want.Token || string(got.PublicKey) != string(c.want.PublicKey) || string(got.Proof) != string(c.want.Proof) ||
				string(got.CSR) != string(c.want.CSR) || got.HasKey != c.want.HasKey || got.HasCSR != c.want.HasCSR {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
	for name, wire := range map[string]string{
		"cut off": "\x0a\x05a", "no tag": "\x00", "group": "\x0b", "text": field(1, field(1, "\xff")), "key text": field(2, key("\xff", "")),
		"inner": field(2, "\x0a\x05a"), "huge": "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
	} {
		if err := new(fulciopb.SigningRequest).UnmarshalProto([]byte(wire)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := new(fulciopb.Empty).UnmarshalProto([]byte("\x0a\x05a")); err == nil {
		t.Error("a malformed empty message is accepted")
	}
}

func TestJSON(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"null":            {`{"credentials":null,"publicKeyRequest":null}`, ""},
		"two of a oneof":  {`{"publicKeyRequest":{},"certificateSigningRequest":"AA=="}`, "excludes another"},
		"both spellings":  {`{"publicKeyRequest":{},"public_key_request":{}}`, "given twice"},
		"number":          {`{"credentials":{"oidcIdentityToken":7}}`, "credentials.oidcIdentityToken"},
		"not base64":      {`{"certificateSigningRequest":"?"}`, "certificateSigningRequest"},
		"list":            {`[]`, "object"},
		"bad UTF-8":       {"{\"credentials\":{\"oidcIdentityToken\":\"\xff\"}}", "oidcIdentityToken"},
		"unknown nested":  {`{"credentials":{"x":{"y":[1,{}]}}}`, ""},
		"algorithm":       {`{"publicKeyRequest":{"publicKey":{"algorithm":{"a":1},"content":"k"}}}`, ""},
		"deep unknown":    {`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "x"},
		"trailing object": {`{}{}`, ""},
	} {
		_, err := fulciopb.ParseJSON([]byte(c.text))
		if name == "trailing object" {
			if err == nil {
				t.Error("a second object is accepted")
			}
			continue
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	out, err := json.Marshal(fulciopb.NewSigningCertificate([]string{"a"}))
	if err != nil || string(out) != `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["a"]}}}` {
		t.Fatal(string(out), err)
	}
}

// FuzzAppendJSON: the quick way writes what the other one does, whatever the texts are.
func FuzzAppendJSON(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE-----\nAA+/==\n-----END CERTIFICATE-----\n", "a")
	f.Add("\n\n\"", "\x00<&>\u2028\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, chain := range [][]string{{}, {a}, {a, b}} {
			answer := fulciopb.NewSigningCertificate(chain)
			want, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := answer.AppendJSON(nil); err != nil || string(got) != string(want) {
				t.Fatalf("%s, want %s (%v)", got, want, err)
			}
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"credentials":{"oidcIdentityToken":"a.b.c"},"publicKeyRequest":{"publicKey":{"algorithm":"ECDSA","content":"k"},"proofOfPossession":"AA=="}}`))
	f.Add([]byte(`{"certificate_signing_request":"AA==","x":[{"y":null}]}`))
	f.Add([]byte(`{"publicKey":{"content":"AA=="},"signedEmailAddress":"AA"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*fulciopb.SigningRequest, error){fulciopb.ParseJSON, fulciopb.ParseLegacyJSON} {
			r, err := parse(data)
			if err == nil && r.HasKey && r.HasCSR {
				t.Fatal("both members of the oneof")
			}
			if err == nil && !json.Valid(data) {
				t.Fatal("accepted what is no JSON")
			}
		}
	})
}

func FuzzUnmarshalProto(f *testing.F) {
	f.Add([]byte(field(1, field(1, "t")) + field(2, field(1, field(2, "k"))+field(2, "p"))))
	f.Add([]byte(field(3, "c")))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r fulciopb.SigningRequest
		if r.UnmarshalProto(data) == nil && r.HasKey && r.HasCSR {
			t.Fatal("both members of the oneof")
		}
	})
}
