package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestDetachedVectors(t *testing.T) {
	for name, good := range map[string]bool{"a.txt": true, "b.txt": true, "c.txt": true, "bad.txt": false} {
		signature := testenv.ReadVector(t, "sigstore-python", name+".sig")
		certificate := testenv.ReadVector(t, "sigstore-python", name+".crt")
		block, _ := pem.Decode(certificate)
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(signature)))
		if err != nil {
			t.Fatal(err)
		}
		// Every spelling of the two comes to the same.
		for _, s := range [][]byte{signature, raw} {
			for _, c := range [][]byte{certificate, block.Bytes, []byte(base64.StdEncoding.EncodeToString(certificate) + "\n")} {
				b, err := FromDetached(Detached{Signature: s, Certificate: c})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !bytes.Equal(b.Message.Signature, raw) || len(b.Material.Certificates) != 1 || !bytes.Equal(b.Material.Certificates[0], block.Bytes) {
					t.Errorf("%s: %+v", name, b)
				}
				if err := b.Validate(ValidateOptions{}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		artifact := testenv.ReadVector(t, "sigstore-python", name)
		if ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), sha(artifact), raw) != good {
			t.Errorf("%s: want a signature that verifies: %v", name, good)
		}
	}
}

func TestFromDetached(t *testing.T) {
	rekor := testenv.ReadVector(t, "legacy", "rekor-bundle-rekord-key.json")
	stamp := testenv.ReadVector(t, "sigstore-java", "samples", "timestamp-response", "valid", "sigstage_tsa_response_with_embedded_certs.tsr")
	wrapped := []byte(`{"SignedRFC3161Timestamp":"` + base64.StdEncoding.EncodeToString(stamp) + `"}` + "\n")
	for _, ts := range [][]byte{stamp, wrapped} {
		b, err := FromDetached(Detached{Signature: []byte("AAEC"), Payload: []byte("p"), Timestamp: ts, RekorBundle: rekor})
		if err != nil {
			t.Fatal(err)
		}
		m := b.Material
		if !m.NoKey || len(m.Certificates) != 0 || len(m.Timestamps) != 1 || !bytes.Equal(m.Timestamps[0], stamp) || string(b.Message.Payload) != "p" {
			t.Errorf("%+v", b)
		}
		checkRekorEntry(t, &m.Entries[0], "rekord", "0.0.1")
		if err := b.Validate(ValidateOptions{}); err != nil {
			t.Error(err)
		}
	}
	b, err := FromDetached(Detached{Signature: []byte("AAEC"), Payload: []byte{}})
	if err != nil || b.Message.Payload == nil {
		t.Errorf("an empty payload is one: %+v, %v", b, err)
	}
}

func TestDetachedChain(t *testing.T) {
	leaf := testenv.ReadVector(t, "sigstore-java", "samples", "fulcio-response", "valid", "cert.pem")
	chain := testenv.ReadVector(t, "sigstore-java", "samples", "fulcio-response", "valid", "fulcio.crt.pem")
	n := bytes.Count(chain, []byte("BEGIN CERT"))
	first := leaf[:bytes.Index(leaf, []byte("-----END CERTIFICATE-----"))+26]
	for name, d := range map[string]Detached{
		"apart":           {Certificate: first, Chain: chain},
		"in one file":     {Certificate: append(bytes.Clone(first), chain...)},
		"leaf repeated":   {Certificate: first, Chain: append(bytes.Clone(first), chain...)},
		"text between":    {Certificate: first, Chain: append([]byte("subject=/CN=x\n"), chain...)},
		"chain in base64": {Certificate: first, Chain: []byte(base64.StdEncoding.EncodeToString(chain))},
	} {
		d.Signature = []byte("AAEC")
		b, err := FromDetached(d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		block, _ := pem.Decode(leaf)
		if len(b.Material.Certificates) != 1+n || !b.Material.Chain || !bytes.Equal(b.Material.Certificates[0], block.Bytes) {
			t.Errorf("%s: %d certificates, want %d", name, len(b.Material.Certificates), 1+n)
		}
	}
}

func TestFromDetachedRefuses(t *testing.T) {
	cert := testenv.ReadVector(t, "sigstore-python", "a.txt.crt")
	key := testenv.ReadVector(t, "legacy", "rekor.pub")
	private := testenv.ReadVector(t, "cosign-generated", "cosign.key")
	for name, c := range map[string]struct {
		d    Detached
		want string
	}{
		"no signature":         {Detached{}, "signature: missing"},
		"blank signature":      {Detached{Signature: []byte(" \n")}, "signature: missing"},
		"words":                {Detached{Signature: []byte("<html>not found</html>")}, "signature: is text, but not base64"},
		"hex":                  {Detached{Signature: []byte("3045022100f")}, "signature: is text"},
		"huge signature":       {Detached{Signature: bytes.Repeat([]byte{0x80}, maxItem+1)}, "signature: 65537 bytes"},
		"broken envelope":      {Detached{Signature: []byte(`{"payload":`)}, "signature.payload: not valid JSON"},
		"public key":           {Detached{Signature: []byte("AAEC"), Certificate: key}, `certificate: holds a PEM block "PUBLIC KEY"`},
		"private key":          {Detached{Signature: []byte("AAEC"), Certificate: private}, `certificate: holds a PEM block "ENCRYPTED SIGSTORE PRIVATE KEY"`},
		"certificate cut":      {Detached{Signature: []byte("AAEC"), Certificate: cert[:len(cert)-40]}, "certificate: is not PEM"},
		"huge certificate":     {Detached{Signature: []byte("AAEC"), Certificate: make([]byte, maxPEM+1)}, "certificate: longer"},
		"blank certificate":    {Detached{Signature: []byte("AAEC"), Certificate: []byte("\n")}, "certificate: empty"},
		"eleven certificates":  {Detached{Signature: []byte("AAEC"), Certificate: bytes.Repeat(cert, 11)}, "more than 10"},
		"eleven together":      {Detached{Signature: []byte("AAEC"), Certificate: bytes.Repeat(cert, 2), Chain: bytes.Repeat(cert, 10)}, "chain: more than 10"},
		"chain alone":          {Detached{Signature: []byte("AAEC"), Chain: cert}, "chain: given without"},
		"chain of keys":        {Detached{Signature: []byte("AAEC"), Certificate: cert, Chain: key}, "chain: holds a PEM block"},
		"timestamp in base64":  {Detached{Signature: []byte("AAEC"), Timestamp: []byte("MIIC")}, "timestamp: is neither DER"},
		"huge timestamp":       {Detached{Signature: []byte("AAEC"), Timestamp: bytes.Repeat([]byte{0x30}, maxItem+1)}, "timestamp: 65537 bytes"},
		"timestamp, unknown":   {Detached{Signature: []byte("AAEC"), Timestamp: []byte(`{"SignedRFC3161Timestamp":"MIIC","x":1}`)}, `timestamp: unknown field "x"`},
		"timestamp, no DER":    {Detached{Signature: []byte("AAEC"), Timestamp: []byte(`{"SignedRFC3161Timestamp":"AAAA"}`)}, "timestamp: is neither DER"},
		"rekor bundle, not":    {Detached{Signature: []byte("AAEC"), RekorBundle: []byte("x")}, "rekor bundle: not valid JSON"},
		"rekor bundle, a blob": {Detached{Signature: []byte("AAEC"), RekorBundle: legacyBlob(t)}, `rekor bundle: unknown field "base64Signature"`},
		"huge SCT":             {Detached{Signature: []byte("AAEC"), SCT: make([]byte, maxItem+1)}, "signed certificate timestamp: longer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromDetached(c.d)
			wantError(t, err, c.want)
		})
	}
}

func FuzzFromDetached(f *testing.F) {
	f.Add([]byte("AAEC"), testenv.ReadVector(f, "sigstore-python", "a.txt.crt"), []byte(nil), testenv.ReadVector(f, "legacy", "rekor-bundle-rekord-key.json"))
	f.Add(testenv.ReadVector(f, "sigstore-python", "b.txt.sig"), []byte(nil), []byte(`{"SignedRFC3161Timestamp":"MIIC"}`), testenv.ReadVector(f, "legacy", "signature-spec-example-bundle.json"))
	f.Fuzz(func(t *testing.T, signature, certificate, timestamp, rekor []byte) {
		b, err := FromDetached(Detached{Signature: signature, Certificate: certificate, Timestamp: timestamp, RekorBundle: rekor})
		if err != nil {
			return
		}
		if (b.Message == nil) == (b.Envelope == nil) || b.Material.NoKey != (len(b.Material.Certificates) == 0) {
			t.Fatalf("%+v", b)
		}
		for _, der := range b.Material.Certificates {
			if _, err := x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
		}
	})
}
