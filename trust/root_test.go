package trust_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// object is a JSON object to be damaged.
type object = map[string]any

// publicGood returns the public-good root as plain JSON values.
func publicGood(t *testing.T) object {
	t.Helper()
	var doc object
	if err := json.Unmarshal(testenv.ReadVector(t, "trust", "public-good", "trusted_root.json"), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func item(o object, list string, i int) object { return o[list].([]any)[i].(object) }

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeRootMediaTypes(t *testing.T) {
	for mediaType, ok := range map[string]bool{
		"application/vnd.dev.sigstore.trustedroot+json;version=0.1": true,
		"application/vnd.dev.sigstore.trustedroot.v0.1+json":        true,
		"application/vnd.dev.sigstore.trustedroot.v0.2+json":        true,
		"application/vnd.dev.sigstore.trustedroot.v0.3+json":        false,
		"application/vnd.dev.sigstore.trustedroot+json;version=0.2": false,
		"": false,
	} {
		doc := publicGood(t)
		doc["mediaType"] = mediaType
		r, err := trust.DecodeRoot(marshal(t, doc))
		if (err == nil) != ok {
			t.Errorf("media type %q: %v", mediaType, err)
		}
		if err != nil {
			continue
		}
		if encoded, err := r.Encode(); err != nil || !bytes.HasPrefix(encoded, []byte(`{"mediaType":"`+trust.RootMediaType+`",`)) {
			t.Errorf("media type %q is encoded as %.100s: %v", mediaType, encoded, err)
		}
	}
}

func TestDecodeRootRefuses(t *testing.T) {
	key := func(doc object) object { return item(doc, "tlogs", 0)["publicKey"].(object) }
	chain := func(doc object, list string, i int) object { return item(doc, list, i)["certChain"].(object) }
	repeated := func(v any, n int) []any {
		var all []any
		for range n {
			all = append(all, v)
		}
		return all
	}
	tests := []struct {
		name   string
		damage func(doc object)
		want   string
	}{
		{"unknown field", func(d object) { d["rekor"] = "x" }, "rekor"},
		{"unknown field of a log", func(d object) { item(d, "tlogs", 1)["url"] = "x" }, "tlogs[1]"},
		{"list is an object", func(d object) { d["tlogs"] = object{} }, "tlogs"},
		{"null in a list", func(d object) { d["ctlogs"] = []any{nil} }, "ctlogs[0]"},
		{"too many logs", func(d object) { d["tlogs"] = repeated(item(d, "tlogs", 0), 257) }, "tlogs: more than 256"},
		{"too many authorities", func(d object) {
			d["certificateAuthorities"] = repeated(item(d, "certificateAuthorities", 0), 129)
		}, "more than 128"},
		{"long address", func(d object) { item(d, "tlogs", 0)["baseUrl"] = strings.Repeat("a", 5000) }, "tlogs[0].baseUrl"},
		{"short log ID", func(d object) { item(d, "tlogs", 0)["logId"] = object{"keyId": "AAAA"} }, "tlogs[0].logId: keyId has 3 bytes"},
		{"long log ID", func(d object) {
			item(d, "tlogs", 0)["logId"] = object{"keyId": base64.StdEncoding.EncodeToString(make([]byte, 33))}
		}, "33 bytes"},
		{"short checkpoint ID", func(d object) { item(d, "tlogs", 1)["checkpointKeyId"] = object{"keyId": "AAAA"} }, "tlogs[1].checkpointKeyId"},
		{"no key", func(d object) { delete(key(d), "rawBytes") }, "tlogs[0].publicKey"},
		{"damaged key", func(d object) { key(d)["rawBytes"] = "MFkw" }, "tlogs[0].publicKey: public key is not"},
		{"key of another curve", func(d object) { key(d)["keyDetails"] = "PKIX_ECDSA_P384_SHA_384" }, "needs curve P-384"},
		{"key of another type", func(d object) { key(d)["keyDetails"] = "PKIX_ED25519" }, "needs an Ed25519 key"},
		{"PKIX as PKCS #1", func(d object) { key(d)["keyDetails"] = "PKCS1_RSA_PKCS1V5" }, "PKCS #1"},
		{"window turned round", func(d object) {
			key(d)["validFor"] = object{"start": "2022-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
		}, "tlogs[0].publicKey.validFor: ends before it starts"},
		{"year one", func(d object) { key(d)["validFor"] = object{"end": "0001-01-01T00:00:00Z"} }, "year 1"},
		{"no time", func(d object) { key(d)["validFor"] = object{"end": "never"} }, "tlogs[0].publicKey.validFor.end"},
		{"no chain", func(d object) { delete(item(d, "certificateAuthorities", 0), "certChain") }, "certificateAuthorities[0].certChain: has no certificates"},
		{"empty chain", func(d object) { chain(d, "timestampAuthorities", 0)["certificates"] = []any{} }, "timestampAuthorities[0].certChain: has no"},
		{"long chain", func(d object) {
			c := chain(d, "certificateAuthorities", 0)
			c["certificates"] = repeated(c["certificates"].([]any)[0], 9)
		}, "more than 8"},
		{
			"empty certificate", func(d object) { item(chain(d, "certificateAuthorities", 1), "certificates", 0)["rawBytes"] = "" },
			"certificateAuthorities[1].certChain.certificates[0]: is not an X.509",
		},
		{"huge certificate", func(d object) {
			item(chain(d, "certificateAuthorities", 1), "certificates", 1)["rawBytes"] = strings.Repeat("AAAA", 6000)
		}, "certificates[1]: has 18000 bytes"},
		{"chain turned round", func(d object) {
			c := chain(d, "certificateAuthorities", 1)["certificates"].([]any)
			c[0], c[1] = c[1], c[0]
		}, "certificate 0 was issued by"},
		{"chain without root", func(d object) {
			c := chain(d, "timestampAuthorities", 0)
			c["certificates"] = repeated(c["certificates"].([]any)[0], 1)
		}, ""},
		{"leaf as certificate authority", func(d object) {
			item(d, "certificateAuthorities", 0)["certChain"] = item(d, "timestampAuthorities", 0)["certChain"]
		}, "certificate 0 (CN=sigstore-tsa,O=sigstore.dev) is not a certificate authority"},
		{"chain of strangers", func(d object) {
			old := item(chain(d, "certificateAuthorities", 0), "certificates", 0) // same name as the new root, another key
			c := chain(d, "certificateAuthorities", 1)["certificates"].([]any)
			c[1] = old
		}, "certificate 0 (CN=sigstore-intermediate,O=sigstore.dev) is not signed by certificate 1"},
		{"window of an authority", func(d object) {
			item(d, "timestampAuthorities", 0)["validFor"] = object{"start": "2022-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
		}, "timestampAuthorities[0].validFor"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc := publicGood(t)
			if _, err := trust.DecodeRoot(marshal(t, doc)); err != nil {
				t.Fatal(err)
			}
			test.damage(doc)
			_, err := trust.DecodeRoot(marshal(t, doc))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("%v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want an error with %q", err, test.want)
			}
		})
	}
	good := marshal(t, publicGood(t))
	for name, data := range map[string][]byte{
		"empty": nil, "null": []byte("null"), "list": []byte("[]"), "trailing data": append(bytes.Clone(good), "{}"...),
		"truncated": good[:len(good)-1], "too large": append(bytes.Clone(good), bytes.Repeat([]byte(" "), 1<<20)...),
		"field given twice":                  append([]byte(`{"tlogs":[],`), good[1:]...),
		"field given twice in two spellings": append([]byte(`{"timestamp_authorities":[],`), good[1:]...),
	} {
		if _, err := trust.DecodeRoot(data); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

func TestUnknownAlgorithmsKeepTheRootReadable(t *testing.T) {
	tests := []struct {
		name   string
		change func(l object)
		want   string
	}{
		{"name from the future", func(l object) { l["publicKey"].(object)["keyDetails"] = "SLH_DSA_128S" }, "SLH_DSA_128S"},
		{"number from the future", func(l object) { l["publicKey"].(object)["keyDetails"] = 42 }, "42"},
		{"known name without support", func(l object) { l["publicKey"].(object)["keyDetails"] = "ML_DSA_65" }, "ML_DSA_65"},
		{"not stated", func(l object) { delete(l["publicKey"].(object), "keyDetails") }, "do not state"},
		{"no public key", func(l object) { delete(l, "publicKey") }, "do not state"},
		{"key that cannot be parsed", func(l object) { l["publicKey"] = object{"rawBytes": "AAAA", "keyDetails": "ML_DSA_44"} }, "ML_DSA_44"},
		{"other tree hash", func(l object) { l["hashAlgorithm"] = "SHA2_512" }, "tree hash"},
		{"unknown tree hash", func(l object) { l["hashAlgorithm"] = "BLAKE3" }, "BLAKE3"},
		{"unknown number of tree hash", func(l object) { l["hashAlgorithm"] = 17 }, "17"},
		{"no tree hash", func(l object) { delete(l, "hashAlgorithm") }, "not stated"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc := publicGood(t)
			test.change(item(doc, "tlogs", 1))
			r, err := trust.DecodeRoot(marshal(t, doc))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Logs[0].Usable(); err != nil {
				t.Errorf("the other log: %v", err)
			}
			l := &r.Logs[1]
			if err := l.Usable(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Usable: %v, want an error with %q", err, test.want)
			}
			if _, err := l.Algorithm(); err == nil {
				t.Error("an unusable log has an algorithm")
			}
			if found := r.Log(l.ID); len(found) != 1 {
				t.Errorf("found %d times by its ID", len(found))
			}
			encoded, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := trust.DecodeRoot(encoded)
			if err != nil {
				t.Fatal(err)
			}
			again.Source = r.Source
			if !reflect.DeepEqual(r, again) {
				t.Errorf("changed by encoding: %s", encoded)
			}
		})
	}
	if err := (&trust.Log{Hash: crypto.SHA256}).Usable(); err == nil {
		t.Error("a log without key is usable")
	}
}

func TestMissingLogID(t *testing.T) {
	doc, want := publicGood(t), publicGood(t)
	for _, list := range []string{"tlogs", "ctlogs"} {
		delete(item(doc, list, 0), "logId")
		item(doc, list, 1)["logId"] = object{}
	}
	a, err := trust.DecodeRoot(marshal(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	b, err := trust.DecodeRoot(marshal(t, want))
	if err != nil {
		t.Fatal(err)
	}
	a.Source = b.Source
	if !reflect.DeepEqual(a, b) { // also the Ed25519 log, whose ID depends on its name
		t.Error("computed IDs differ from the stated ones")
	}
	// SCTs carry an ID made of the key alone (RFC 6962, 3.2), whatever its type.
	doc = publicGood(t)
	item(doc, "ctlogs", 0)["publicKey"] = item(doc, "tlogs", 1)["publicKey"]
	delete(item(doc, "ctlogs", 0), "logId")
	if a, err = trust.DecodeRoot(marshal(t, doc)); err != nil {
		t.Fatal(err)
	}
	if id, err := tlog.KeyIDv1(a.CTLogs[0].Key); err != nil || !bytes.Equal(a.CTLogs[0].ID, id) {
		t.Errorf("ID of an Ed25519 CT log = %x, %v; want %x", a.CTLogs[0].ID, err, id)
	}
}

func TestCheckpointID(t *testing.T) {
	doc := publicGood(t)
	item(doc, "tlogs", 1)["checkpointKeyId"] = object{"keyId": "3q2+7w=="}
	item(doc, "tlogs", 1)["operator"] = "sigstore.dev"
	r, err := trust.DecodeRoot(marshal(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	if hint, ok := r.Logs[1].Hint(); !ok || hint != 0xdeadbeef {
		t.Errorf("Hint = %x, %v", hint, ok)
	}
	if found := r.LogHint(0xdeadbeef); len(found) != 1 || found[0].Operator != "sigstore.dev" {
		t.Errorf("LogHint found %d", len(found))
	}
	if _, ok := (&trust.Log{ID: []byte{1, 2, 3}}).Hint(); ok {
		t.Error("three bytes give a hint")
	}
}

func TestLogName(t *testing.T) {
	for url, want := range map[string]string{
		"https://rekor.example":            "rekor.example",
		"https://rekor.example:8443/api/x": "rekor.example",
		"http://localhost:3003":            "localhost",
		"rekor.example":                    "rekor.example",
		"rekor.example/2025":               "rekor.example",
		"localhost:3003":                   "localhost",
		"http://[::1]:3000":                "::1",
		"":                                 "",
		"https://":                         "",
		"http://a b/":                      "",
		"https://%zz":                      "",
	} {
		if got := (&trust.Log{BaseURL: url}).Name(); got != want {
			t.Errorf("Name of %q = %q, want %q", url, got, want)
		}
	}
}

func TestWindow(t *testing.T) {
	start, end := time.Unix(1000, 0), time.Unix(2000, 0)
	tests := []struct {
		window trust.Window
		at     time.Time
		want   bool
	}{
		{trust.Window{}, time.Unix(0, 0), true},
		{trust.Window{Start: start, End: end}, start, true},
		{trust.Window{Start: start, End: end}, end, true},
		{trust.Window{Start: start, End: end}, start.Add(-1), false},
		{trust.Window{Start: start, End: end}, end.Add(1), false},
		{trust.Window{Start: start}, end.AddDate(100, 0, 0), true},
		{trust.Window{Start: start}, start.Add(-1), false},
		{trust.Window{End: end}, start.AddDate(-100, 0, 0), true},
		{trust.Window{End: end}, end.Add(1), false},
		{trust.Window{Start: start, End: start}, start, true},
	}
	for _, test := range tests {
		if got := test.window.Contains(test.at); got != test.want {
			t.Errorf("%v contains %v: %v, want %v", test.window, test.at, got, test.want)
		}
	}
}
