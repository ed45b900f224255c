package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestPAE uses DSSE's own vector (protocol.md, "Test Vectors").
func TestPAE(t *testing.T) {
	var v struct {
		Payload, PayloadType, PAE string
		Envelope                  json.RawMessage
	}
	if err := json.Unmarshal(testenv.ReadVector(t, "dsse", "hello-world.json"), &v); err != nil {
		t.Fatal(err)
	}
	e, err := ParseEnvelope(v.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Payload) != v.Payload || e.PayloadType != v.PayloadType || len(e.Signatures) != 1 || len(e.Signatures[0].Sig) != 64 {
		t.Errorf("%+v", e)
	}
	if got := e.PAE(); string(got) != v.PAE {
		t.Errorf("%q, want %q", got, v.PAE)
	}
	// Lengths count bytes, not letters, and bind type and payload.
	for _, tc := range []struct{ kind, payload, want string }{
		{"", "", "DSSEv1 0  0 "},
		{"é", "😀", "DSSEv1 2 é 4 😀"},
		{"a 1", "b", "DSSEv1 3 a 1 1 b"},
	} {
		if got := PAE(tc.kind, []byte(tc.payload)); string(got) != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

const envelope1 = `{"payloadType":"t","payload":"cGF5","signatures":[{"sig":"c2ln","keyid":"k"},{"sig":"c2ln"}]}`

func TestEnvelope(t *testing.T) {
	e, err := ParseEnvelope([]byte(envelope1))
	want := &Envelope{Payload: []byte("pay"), PayloadType: "t", Signatures: []EnvelopeSignature{{"k", []byte("sig")}, {"", []byte("sig")}}}
	if err != nil || !reflect.DeepEqual(e, want) {
		t.Fatalf("%v %+v", err, e)
	}
	if out, err := e.Encode(); err != nil || string(out) != envelope1 {
		t.Errorf("%v %s", err, out)
	}
	open := strings.NewReplacer(`{"payloadType"`, `{"more":[{}],"payloadType"`, `"keyid"`, `"cert":"-----","keyid"`).Replace(envelope1)
	if e, err := ParseEnvelope([]byte(open)); err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("unknown members: %v %+v", err, e)
	}
	e.PayloadType = "\xff"
	if _, err := e.Encode(); err == nil {
		t.Error("invalid UTF-8 was written")
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"no type":       {`"payloadType":"t",`, "", "payloadType: missing"},
		"no payload":    {`"cGF5"`, `""`, "payload: missing"},
		"no signatures": {`[{"sig":"c2ln","keyid":"k"},{"sig":"c2ln"}]`, `[]`, "signatures: missing"},
		"payload twice": {`"payload"`, `"payload":"","payload"`, "payload: given twice"},
		"sig twice":     {`{"sig"`, `{"sig":"","sig"`, "signatures[0].sig: given twice"},
		"not base64":    {`cGF5`, `c*F5`, "payload: not base64"},
		"33 signatures": {`[`, `[` + strings.Repeat(`{},`, 32), "signatures: more than 32"},
		"trailing":      {`}]}`, `}]}]`, "after the end"},
	} {
		in := strings.Replace(envelope1, tc.old, tc.new, 1)
		if in == envelope1 {
			t.Fatalf("%s: nothing replaced", name)
		}
		_, err := ParseEnvelope([]byte(in))
		if e := (*FormatError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(envelope1))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEnvelope(data)
		if err != nil {
			return
		}
		out, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseEnvelope(out)
		if err != nil || !bytes.Equal(e.PAE(), again.PAE()) || !reflect.DeepEqual(e, again) {
			t.Fatalf("changed: %v\n%+v\n%+v", err, e, again)
		}
	})
}
