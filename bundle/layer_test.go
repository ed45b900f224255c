package bundle

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulla-sign/bulla/internal/testenv"
)

const simplePayload = `{"critical":{"identity":{"docker-reference":"localhost:5000/a"},"image":{"docker-manifest-digest":"sha256:` +
	`0000000000000000000000000000000000000000000000000000000000000000"},"type":"cosign container image signature"},"optional":null}`

const statementEnvelope = `{"payloadType":"application/vnd.in-toto+json","payload":"%","signatures":[{"keyid":"","sig":"c2ln"}]}`

func layerEnvelope() []byte {
	statement := `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2","subject":[{"name":"a",` +
		`"digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}],"predicate":{}}`
	return []byte(strings.Replace(statementEnvelope, "%", base64.StdEncoding.EncodeToString([]byte(statement)), 1))
}

// layerEvidence are the annotations of a layer signed without a key of one's own.
func layerEvidence(t testing.TB) map[string]string {
	t.Helper()
	cert := testenv.ReadVector(t, "sigstore-java", "samples", "fulcio-response", "valid", "cert.pem")
	chain := testenv.ReadVector(t, "sigstore-java", "samples", "fulcio-response", "valid", "fulcio.crt.pem")
	stamp := base64.StdEncoding.EncodeToString(testenv.ReadVector(t, "timestamp", "rekor", "test.tsr"))
	return map[string]string{
		"dev.sigstore.cosign/certificate":      string(cert[:bytes.Index(cert, []byte("-----END CERTIFICATE-----"))+26]),
		"dev.sigstore.cosign/chain":            string(chain),
		"dev.sigstore.cosign/bundle":           string(testenv.ReadVector(t, "legacy", "signature-spec-example-bundle.json")),
		"dev.sigstore.cosign/rfc3161timestamp": `{"SignedRFC3161Timestamp":"` + stamp + `"}`,
	}
}

func TestLayers(t *testing.T) {
	for name, c := range map[string]struct {
		payload   []byte
		mediaType string
		signature string
	}{
		"signature":   {[]byte(simplePayload), simpleSigningLayer, "c2ln"},
		"attestation": {layerEnvelope(), envelopeLayer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := layerEvidence(t)
			annotations["dev.cosignproject.cosign/signature"] = c.signature
			annotations["org.example/other"] = "anything"
			b, err := FromLayer(c.payload, c.mediaType, annotations)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Validate(ValidateOptions{}); err != nil {
				t.Errorf("validate: %v", err)
			}
			m := b.Material
			if b.Version != Cosign || b.MediaType != c.mediaType || len(m.Certificates) < 2 || !m.Chain || len(m.Timestamps) != 1 || m.NoKey {
				t.Errorf("%+v", b)
			}
			checkRekorEntry(t, &m.Entries[0], "rekord", "0.0.1")
			if b.Envelope != nil && !bytes.Equal(b.Envelope.Raw, c.payload) || b.Message != nil && !bytes.Equal(b.Message.Payload, c.payload) {
				t.Error("the layer's bytes did not survive")
			}
			payload, mediaType, out, err := b.Layer()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(payload, c.payload) || mediaType != c.mediaType || out["dev.cosignproject.cosign/signature"] != c.signature {
				t.Errorf("%s %s %v", payload, mediaType, out)
			}
			if want := "https://slsa.dev/provenance/v0.2"; b.Envelope != nil && out["predicateType"] != want {
				t.Errorf("predicate type %q", out["predicateType"])
			}
			again, err := FromLayer(payload, mediaType, out)
			if err != nil || !cmp.Equal(b, again) {
				t.Errorf("%v %s", err, cmp.Diff(b, again))
			}
		})
	}
}

func TestKeyedLayer(t *testing.T) {
	b, err := FromLayer([]byte(simplePayload), simpleSigningLayer, map[string]string{
		"dev.cosignproject.cosign/signature": "c2ln", "dev.sigstore.cosign/certificate": "", "dev.sigstore.cosign/bundle": "",
	})
	if err != nil || !b.Material.NoKey || string(b.Message.Signature) != "sig" {
		t.Fatalf("%+v, %v", b, err)
	}
	_, _, out, err := b.Layer()
	if want := (map[string]string{"dev.cosignproject.cosign/signature": "c2ln"}); err != nil || !cmp.Equal(out, want) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestFromLayerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		payload     string
		mediaType   string
		annotations map[string]string
		want        string
	}{
		"no annotations":       {simplePayload, simpleSigningLayer, nil, "annotation dev.cosignproject.cosign/signature: missing"},
		"empty signature":      {simplePayload, simpleSigningLayer, map[string]string{signatureAnnotation: ""}, "missing or empty"},
		"signature not base64": {simplePayload, simpleSigningLayer, map[string]string{signatureAnnotation: "*"}, "is not standard base64"},
		"envelope as signature": {simplePayload, simpleSigningLayer, map[string]string{
			signatureAnnotation: base64.StdEncoding.EncodeToString(layerEnvelope()),
		}, "is a dsse envelope"},
		"public key":         {simplePayload, simpleSigningLayer, map[string]string{signatureAnnotation: "c2ln", certificateAnnotation: string(testenv.ReadVector(t, "legacy", "rekor.pub"))}, "annotation dev.sigstore.cosign/certificate: holds a PEM block"},
		"chain alone":        {simplePayload, simpleSigningLayer, map[string]string{signatureAnnotation: "c2ln", chainAnnotation: "x"}, "annotation dev.sigstore.cosign/chain: given without"},
		"broken bundle":      {simplePayload, simpleSigningLayer, map[string]string{signatureAnnotation: "c2ln", rekorAnnotation: "{}"}, "annotation dev.sigstore.cosign/bundle.SignedEntryTimestamp: missing"},
		"broken timestamp":   {simplePayload, simpleSigningLayer, map[string]string{signatureAnnotation: "c2ln", timestampAnnotation: "{}"}, "annotation dev.sigstore.cosign/rfc3161timestamp.SignedRFC3161Timestamp: missing"},
		"signed attestation": {string(layerEnvelope()), envelopeLayer, map[string]string{signatureAnnotation: "c2ln"}, "must be empty"},
		"no envelope":        {"x", envelopeLayer, nil, "payload: is not the JSON"},
		"binary":             {"\xff{", envelopeLayer, nil, "payload: is not the JSON"},
		"broken envelope":    {`{"payload":"AA==","payloadType":"t"}`, envelopeLayer, nil, "payload.signatures: missing"},
		"member twice":       {strings.Replace(string(layerEnvelope()), "{", `{"payloadType":"x",`, 1), envelopeLayer, nil, "payload.payloadType: given twice"},
		"image layer":        {"x", "application/vnd.oci.image.layer.v1.tar+gzip", nil, `mediaType: is "application/vnd.oci.image.layer.v1.tar+gzip"`},
		"no media type":      {simplePayload, "", nil, `mediaType: is ""`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromLayer([]byte(c.payload), c.mediaType, c.annotations)
			wantError(t, err, c.want)
		})
	}
}

func TestLayerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Bundle)
		want   string
	}{
		"over an artifact": {func(b *Bundle) { b.Message.Payload = nil }, "over an artifact"},
		"two timestamps":   {func(b *Bundle) { b.Material.Timestamps = append(b.Material.Timestamps, []byte{1}) }, "several timestamps"},
		"detached SCT":     {func(b *Bundle) { b.Material.SCT = []byte{1} }, "no place"},
		"two entries":      {func(b *Bundle) { b.Material.Entries = append(b.Material.Entries, b.Material.Entries[0]) }, "2 log entries"},
		"Rekor v2":         {func(b *Bundle) { b.Material.Entries[0].Promise = nil }, "Rekor v1"},
		"nothing signed":   {func(b *Bundle) { b.Message = nil }, "exactly one"},
		"no statement": {func(b *Bundle) {
			b.Message, b.Envelope = nil, &Envelope{Payload: []byte("{}"), PayloadType: StatementPayloadType}
		}, "dsseEnvelope.payload"},
	} {
		annotations := layerEvidence(t)
		annotations[signatureAnnotation] = "c2ln"
		b, err := FromLayer([]byte(simplePayload), simpleSigningLayer, annotations)
		if err != nil {
			t.Fatal(err)
		}
		c.change(b)
		_, _, _, err = b.Layer()
		t.Run(name, func(t *testing.T) { wantError(t, err, c.want) })
	}
}

func FuzzFromLayer(f *testing.F) {
	all := layerEvidence(f)
	f.Add([]byte(simplePayload), true, "c2ln", all[certificateAnnotation], all[chainAnnotation], all[rekorAnnotation], all[timestampAnnotation])
	f.Add(layerEnvelope(), false, "", "", "", all[rekorAnnotation], "")
	f.Fuzz(func(t *testing.T, payload []byte, simple bool, signature, certificate, chain, rekor, timestamp string) {
		mediaType := envelopeLayer
		if simple {
			mediaType = simpleSigningLayer
		}
		b, err := FromLayer(payload, mediaType, map[string]string{
			signatureAnnotation: signature, certificateAnnotation: certificate, chainAnnotation: chain,
			rekorAnnotation: rekor, timestampAnnotation: timestamp,
		})
		if err != nil {
			return
		}
		out, mediaType, annotations, err := b.Layer()
		if err != nil {
			if b.Envelope != nil && b.Envelope.PayloadType == StatementPayloadType {
				return // a payload that is no statement
			}
			t.Fatalf("read, but not written: %v", err)
		}
		again, err := FromLayer(out, mediaType, annotations)
		if err != nil || !cmp.Equal(b, again) {
			t.Fatalf("%v %s", err, cmp.Diff(b, again))
		}
	})
}
