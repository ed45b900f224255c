package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestSniff(t *testing.T) {
	read := func(elem ...string) []byte { return testenv.ReadVector(t, elem...) }
	b64 := func(data []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(data) + "\n") }
	der := func(data []byte) []byte {
		block, _ := pem.Decode(data)
		return block.Bytes
	}
	cert := read("sigstore-python", "a.txt.crt")
	key := read("legacy", "rekor.pub")
	bundle := read("sigstore-java", "samples", "bundles", "bundle.v3.sigstore")
	stamp := read("sigstore-java", "samples", "timestamp-response", "valid", "sigstage_tsa_response_with_embedded_certs.tsr")
	signature := read("sigstore-python", "a.txt.sig")
	rawSignature, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(signature)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   []byte
		want Format
	}{
		"bundle":                   {bundle, "sigstore bundle"},
		"bundle in snake case":     {[]byte(`{"verification_material":{}}`), "sigstore bundle"},
		"bundle of the future":     {[]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v9+json"}`), "sigstore bundle"},
		"blob bundle":              {legacyBlob(t), "cosign blob bundle"},
		"envelope":                 {layerEnvelope(), "dsse envelope"},
		"envelope in base64":       {b64(layerEnvelope()), "dsse envelope"},
		"statement":                {read("dsse", "conformance-statement.json"), "in-toto statement"},
		"simple signing":           {[]byte(simplePayload), "simple signing payload"},
		"simple signing, base64":   {b64([]byte(simplePayload)), "signature"},
		"rekor bundle":             {read("legacy", "rekor-bundle-rekord-key.json"), "rekor bundle"},
		"cosign timestamp":         {[]byte(`{"SignedRFC3161Timestamp":"MIIC"}`), "cosign timestamp"},
		"timestamp response":       {stamp, "timestamp response"},
		"older timestamp response": {read("timestamp", "rekor", "test.tsr"), "timestamp response"},
		"refused timestamp":        {[]byte{0x30, 5, 0x30, 3, 2, 1, 2}, "timestamp response"},
		"timestamp token":          {stamp[bytes.Index(stamp, []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02})-4:], "timestamp token"},
		"signature":                {signature, "signature"},
		"raw signature":            {rawSignature, "signature"},
		"certificate":              {cert, "certificate"},
		"certificate with text":    {append([]byte("subject=x\n"), cert...), "certificate"},
		"certificate in base64":    {b64(cert), "certificate"},
		"certificate in DER":       {der(cert), "certificate"},
		"public key":               {key, "public key"},
		"public key in DER":        {der(key), "public key"},
		"private key":              {read("cosign-generated", "cosign.key"), "private key"},
		"trusted root":             {read("trust", "public-good", "trusted_root.json"), "trusted root"},
		"signing config":           {read("cosign-generated", "sc-empty.json"), "signing config"},
		"client trust config":      {[]byte(`{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"}`), "client trust config"},
		"manifest":                 {[]byte(`{"schemaVersion":2}`), "oci manifest"},
		"index":                    {[]byte(`{"mediaType":"application/vnd.oci.image.index.v1+json"}`), "oci manifest"},
		"TUF":                      {[]byte(`{"signatures":[],"signed":{}}`), "tuf metadata"},
		"JSON lines":               {[]byte("{\"a\":1}\n{\"b\":2}\n"), "json lines"},
		"one line":                 {append(bytes.TrimSpace(bytes.ReplaceAll(bundle, []byte("\n"), nil)), '\n'), "sigstore bundle"},

		"empty":             {nil, ""},
		"blank":             {[]byte(" \n"), ""},
		"a word":            {[]byte("abcd"), ""},
		"text":              {[]byte("hello, world"), ""},
		"JSON of others":    {[]byte(`{"name":"x"}`), ""},
		"JSON list":         {[]byte(`[{"base64Signature":"AA=="}]`), ""},
		"name only inside":  {[]byte(`{"a":{"base64Signature":"AA=="}}`), ""},
		"broken JSON":       {[]byte(`{"base64Signature":`), ""},
		"broken lines":      {[]byte("{\"a\":\n{\"b\":2}\n"), ""},
		"other PEM":         {[]byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"), ""},
		"broken PEM":        {[]byte("-----BEGIN CERTIFICATE-----\n"), ""},
		"truncated DER":     {stamp[:len(stamp)-1], ""},
		"DER and more":      {append(bytes.Clone(stamp), 0), ""},
		"another sequence":  {[]byte{0x30, 3, 1, 1, 0}, ""},
		"JSON in base64":    {b64([]byte(`{"name":"a long enough document to be a signature, if it were one"}`)), "signature"},
		"private in base64": {b64(read("cosign-generated", "cosign.key")), "private key"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Sniff(c.in); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// Every bundle of the sets that must be accepted is recognised, whatever its name.
func TestSniffBundles(t *testing.T) {
	n := 0
	for _, set := range []string{"sigstore-java/samples/bundles", "sigstore-js/bundles"} {
		names, err := filepath.Glob(filepath.Join(testenv.Vectors(t, filepath.FromSlash(set)), "*.sigstore*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if got := Sniff(data); got != sniffBundle {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d bundles, want at least 30", n)
	}
}

func FuzzSniff(f *testing.F) {
	f.Add(legacyBlob(f))
	f.Add(layerEnvelope())
	f.Add(testenv.ReadVector(f, "timestamp", "rekor", "test.tsr"))
	f.Add(testenv.ReadVector(f, "sigstore-python", "a.txt.crt"))
	f.Add([]byte("{}\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := Sniff(data)
		// A format that is read is recognised.
		if _, err := DecodeCosignBlob(data, Detached{}); err == nil && got != sniffBlob {
			t.Fatalf("a blob bundle is called %q", got)
		}
		if _, err := parseRekorBundle(data); err == nil && got != sniffRekorBundle {
			t.Fatalf("a rekor bundle is called %q", got)
		}
	})
}
