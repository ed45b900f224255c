package mint

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
)

// Kinds of log entries that Body writes.
const (
	HashedRekordV1 = "hashedrekord/0.0.1"
	DSSEV1         = "dsse/0.0.1"
	IntotoV1       = "intoto/0.0.1" // the older of v1's two forms: no signature inside
	IntotoV2       = "intoto/0.0.2" // the newer, still of Rekor v1
	RekordV1       = "rekord/0.0.1"
	HashedRekordV2 = "hashedrekord/0.0.2" // Rekor v2
	DSSEV2         = "dsse/0.0.2"         // Rekor v2 before June 2026
)

// Signed is what an entry is about.
type Signed struct {
	Message     []byte // what was hashed and signed; of an envelope its payload
	PayloadType string // of an envelope; "" says that Message is not an envelope's payload
	Signature   []byte
	Certificate []byte           // DER; else Public
	Public      crypto.PublicKey // used when there is no certificate
	Details     algorithm.Details
}

// object is a JSON object; encoding/json sorts its keys, which for these names is the order of RFC 8785.
type object map[string]any

// Body writes an entry's canonical body as the service would.
func Body(t testing.TB, kind string, s Signed) []byte {
	t.Helper()
	var spec object
	switch kind {
	case HashedRekordV1:
		spec = object{
			"data":      object{"hash": s.hexHash(Hash(s.Details), s.Bytes())},
			"signature": object{"content": b64(s.Signature), "publicKey": object{"content": b64(s.pem(t))}},
		}
	case RekordV1:
		spec = object{
			"data":      object{"hash": s.hexHash(crypto.SHA256, s.Bytes())},
			"signature": object{"content": b64(s.Signature), "format": "x509", "publicKey": object{"content": b64(s.pem(t))}},
		}
	case DSSEV1:
		spec = object{
			"envelopeHash": s.hexHash(crypto.SHA256, s.envelope()),
			"payloadHash":  s.hexHash(crypto.SHA256, s.Message),
			"signatures":   []object{{"signature": b64(s.Signature), "verifier": b64(s.pem(t))}},
		}
	case IntotoV1:
		spec = object{
			"content": object{
				"hash":        s.hexHash(crypto.SHA256, s.envelope()),
				"payloadHash": s.hexHash(crypto.SHA256, s.Message),
			},
			"publicKey": b64(s.pem(t)),
		}
	case IntotoV2:
		signature := object{"publicKey": b64(s.pem(t)), "sig": b64([]byte(b64(s.Signature)))}
		spec = object{"content": object{
			"envelope":    object{"payloadType": s.PayloadType, "signatures": []object{signature}},
			"hash":        s.hexHash(crypto.SHA256, s.envelope()),
			"payloadHash": s.hexHash(crypto.SHA256, s.Message),
		}}
	case HashedRekordV2:
		hash := Hash(s.Details)
		spec = object{"hashedRekordV002": object{
			"data":      object{"algorithm": hashNameV2(hash), "digest": b64(Sum(hash, s.Bytes()))},
			"signature": s.signatureV2(t),
		}}
	case DSSEV2:
		spec = object{"dsseV002": object{
			"payloadHash": object{"algorithm": "SHA2_256", "digest": b64(Sum(crypto.SHA256, s.Message))},
			"signatures":  []object{s.signatureV2(t)},
		}}
	default:
		t.Fatalf("no body of kind %q", kind)
	}
	name, version, _ := strings.Cut(kind, "/")
	return canonical(t, object{"apiVersion": version, "kind": name, "spec": spec})
}

// Bytes is what the signature is over: the message, or the envelope's PAE (DSSE protocol.md).
func (s Signed) Bytes() []byte {
	if s.PayloadType == "" {
		return s.Message
	}
	return pae(s.PayloadType, s.Message)
}

func pae(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// envelope is the JSON of the DSSE envelope, whose hash some kinds carry.
func (s Signed) envelope() []byte {
	return fmt.Appendf(nil, `{"payload":"%s","payloadType":"%s","signatures":[{"sig":"%s"}]}`,
		b64(s.Message), s.PayloadType, b64(s.Signature))
}

func (s Signed) hexHash(h crypto.Hash, data []byte) object {
	name := strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))
	return object{"algorithm": name, "value": hex.EncodeToString(Sum(h, data))}
}

// pem is the verifier of Rekor v1: a certificate or public key in PEM.
func (s Signed) pem(t testing.TB) []byte {
	if s.Certificate != nil {
		return PEM(s.Certificate)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: SPKI(t, s.Public)})
}

func (s Signed) signatureV2(t testing.TB) object {
	verifier := object{"keyDetails": s.Details.String()}
	if s.Certificate != nil {
		verifier["x509Certificate"] = object{"rawBytes": b64(s.Certificate)}
	} else {
		verifier["publicKey"] = object{"rawBytes": b64(SPKI(t, s.Public))}
	}
	return object{"content": b64(s.Signature), "verifier": verifier}
}

func hashNameV2(h crypto.Hash) string {
	return strings.Replace(h.String(), "SHA-", "SHA2_", 1)
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func canonical(t testing.TB, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
