package trust_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// documents returns the JSON files below the shared vectors whose text has the given media type, line by line for JSON
// lines. Names that say so (badtype) are left to other tests.
func documents(t testing.TB, mediaType string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	dir := testenv.Vectors(t)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(filepath.Base(path), ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || strings.Contains(path, "badtype") || !bytes.Contains(data, []byte(mediaType)) ||
			bytes.Contains(data, []byte("clienttrustconfig")) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if strings.HasSuffix(path, ".jsonl") {
			for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
				found[rel+string(rune('a'+i))] = line
			}
			return err
		}
		found[rel] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDecodeRealRoots(t *testing.T) {
	roots := documents(t, "vnd.dev.sigstore.trustedroot")
	if len(roots) < 40 {
		t.Fatalf("only %d trusted roots among the vectors", len(roots))
	}
	v1IDs, v2IDs := 0, 0
	for name, data := range roots {
		r, err := trust.DecodeRoot(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		encoded, err := r.Encode()
		if err != nil {
			t.Errorf("%s: Encode: %v", name, err)
			continue
		}
		again, err := trust.DecodeRoot(encoded)
		if err != nil {
			t.Errorf("%s: what was encoded does not decode: %v", name, err)
			continue
		}
		again.Source = r.Source
		if !reflect.DeepEqual(r, again) {
			t.Errorf("%s: changed by encoding", name)
		}
		if twice, err := again.Encode(); err != nil || !bytes.Equal(twice, encoded) {
			t.Errorf("%s: encoding is not canonical: %v", name, err)
		}
		for _, l := range append(r.Logs, r.CTLogs...) {
			if err := l.Usable(); err != nil {
				t.Errorf("%s: log %s: %v", name, l.BaseURL, err)
				continue
			}
			v1, _ := tlog.KeyIDv1(l.Key)
			v2, _ := tlog.KeyIDv2(l.Name(), l.Key)
			switch {
			case bytes.Equal(l.ID, v1):
				v1IDs++
			case bytes.Equal(l.ID, v2):
				v2IDs++
			default:
				t.Errorf("%s: log %s: ID %x is neither of v1 nor of v2", name, l.BaseURL, l.ID)
			}
		}
		for _, a := range append(r.CAs, r.TSAs...) {
			if !a.Linked() || a.Anchor() == nil {
				t.Errorf("%s: authority %s is not linked", name, a.URI)
			}
		}
	}
	if v1IDs == 0 || v2IDs == 0 {
		t.Errorf("%d IDs of v1 and %d of v2: the vectors do not cover both", v1IDs, v2IDs)
	}
}

func TestLookups(t *testing.T) {
	r, err := trust.DecodeRoot(testenv.ReadVector(t, "trust", "public-good", "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Logs {
		l := &r.Logs[i]
		if found := r.Log(l.ID); len(found) != 1 || found[0] != l {
			t.Errorf("Log(ID of %s) found %d", l.BaseURL, len(found))
		}
		hint, ok := l.Hint()
		if found := r.LogHint(hint); !ok || len(found) != 1 || found[0] != l {
			t.Errorf("LogHint of %s found %d", l.BaseURL, len(found))
		}
		if len(r.CTLog(l.ID)) != 0 {
			t.Errorf("%s is also a CT log", l.BaseURL)
		}
	}
	for i := range r.CTLogs {
		if found := r.CTLog(r.CTLogs[i].ID); len(found) != 1 || found[0] != &r.CTLogs[i] {
			t.Errorf("CTLog(ID of %s) found %d", r.CTLogs[i].BaseURL, len(found))
		}
	}
	if r.Logs[1].Name() != "log2025-1.rekor.sigstore.dev" {
		t.Errorf("name of the v2 log = %q", r.Logs[1].Name())
	}
	for _, id := range [][]byte{nil, {}, make([]byte, 32), r.Logs[0].ID[:4]} {
		if found := r.Log(id); len(found) != 0 {
			t.Errorf("Log(%x) found %d", id, len(found))
		}
	}
	if found := r.LogHint(0); len(found) != 0 {
		t.Errorf("LogHint(0) found %d", len(found))
	}
	// Two logs that share an ID are both found.
	r.Logs = append(r.Logs, r.Logs[0])
	if found := r.Log(r.Logs[0].ID); len(found) != 2 {
		t.Errorf("Log found %d of two logs with one ID", len(found))
	}
}

func TestBrokenVectors(t *testing.T) {
	read := func(elem ...string) []byte {
		return testenv.ReadVector(t, append([]string{"sigstore-python"}, elem...)...)
	}
	if _, err := trust.DecodeRoot(read("trusted_root", "trustedroot.badtype.json")); err == nil || !strings.Contains(err.Error(), "mediaType") {
		t.Errorf("trustedroot.badtype.json: %v", err)
	}
	// The other two hold a single authority; it is put where one belongs.
	tests := []struct{ file, want string }{
		{"certificate_authority.json", ""},
		{"certificate_authority.empty.json", "timestampAuthorities[0].certChain: has no certificates"},
		{"certificate_authority.missingroot.json", "is missing"},
	}
	for _, test := range tests {
		doc := `{"mediaType":"` + trust.RootMediaType + `","timestampAuthorities":[` + string(read("trusted_root", test.file)) + `]}`
		_, err := trust.DecodeRoot([]byte(doc))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.file, err, test.want)
		}
	}
	if _, _, err := trust.DecodeClientConfig(read("trust_config", "config.badtype.json")); err == nil || !strings.Contains(err.Error(), "mediaType") {
		t.Errorf("config.badtype.json: %v", err)
	}
}

func TestDecodeRealSigningConfigs(t *testing.T) {
	configs := documents(t, "vnd.dev.sigstore.signingconfig")
	if len(configs) < 10 {
		t.Fatalf("only %d signing configs among the vectors", len(configs))
	}
	for name, data := range configs {
		c, err := trust.DecodeSigningConfig(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		encoded, err := c.Encode()
		if err != nil {
			t.Errorf("%s: Encode: %v", name, err)
			continue
		}
		if again, err := trust.DecodeSigningConfig(encoded); err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%s: changed by encoding: %v", name, err)
		}
	}
}

func TestDecodeRealClientConfigs(t *testing.T) {
	for _, elem := range [][]string{{"trust_config", "config.v1.json"}, {"tsa", "trust_config.json"}} {
		root, config, err := trust.DecodeClientConfig(testenv.ReadVector(t, append([]string{"sigstore-python"}, elem...)...))
		if err != nil || len(root.Logs) == 0 || len(config.CAs) == 0 {
			t.Errorf("%v: %v", elem, err)
		}
	}
}

func FuzzDecodeRoot(f *testing.F) {
	// Real material, a piece at a time: the fuzzer spends a minute on shrinking each whole root.
	for _, name := range []string{"public-good", "staging"} {
		r, err := trust.DecodeRoot(testenv.ReadVector(f, "trust", name, "trusted_root.json"))
		if err != nil {
			f.Fatal(err)
		}
		pieces := []trust.Root{{}, {CAs: r.CAs[:1]}, {TSAs: r.TSAs[:1]}}
		for i := range r.Logs {
			pieces = append(pieces, trust.Root{Logs: r.Logs[i : i+1]})
		}
		for i := range r.CTLogs {
			pieces = append(pieces, trust.Root{CTLogs: r.CTLogs[i : i+1]})
		}
		for _, piece := range pieces {
			data, err := piece.Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := trust.DecodeRoot(data)
		if err != nil {
			return
		}
		encoded, err := r.Encode()
		if err != nil {
			t.Fatalf("decoded but does not encode: %v", err)
		}
		again, err := trust.DecodeRoot(encoded)
		if err != nil {
			t.Fatalf("encoded but does not decode: %v\n%s", err, encoded)
		}
		again.Source = r.Source
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("changed by encoding: %s", encoded)
		}
		for i := range r.Logs {
			r.Logs[i].Name()
			if alg, err := r.Logs[i].Algorithm(); err == nil && alg.CheckKey(r.Logs[i].Key) != nil {
				t.Fatalf("usable log %d has a key that does not fit", i)
			}
		}
	})
}

func FuzzDecodeSigningConfig(f *testing.F) {
	for _, data := range documents(f, "vnd.dev.sigstore.signingconfig") {
		f.Add(data)
	}
	f.Add(testenv.ReadVector(f, "sigstore-python", "trust_config", "config.v1.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, _ = trust.DecodeClientConfig(data)
		c, err := trust.DecodeSigningConfig(data)
		if err != nil {
			return
		}
		encoded, err := c.Encode()
		if err != nil {
			t.Fatalf("decoded but does not encode: %v", err)
		}
		if again, err := trust.DecodeSigningConfig(encoded); err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("changed by encoding: %v\n%s", err, encoded)
		}
	})
}
