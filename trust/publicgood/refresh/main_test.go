package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

const configFile = "signing_config.v0.2.json"

// write puts files into a new directory and returns it.
func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRefreshReproducesThePackage(t *testing.T) {
	pkg := filepath.Join(testenv.Root(), "trust", "publicgood")
	to := t.TempDir()
	if err := refresh(pkg, to, publicgood.Date); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"trusted_root.json", "signing_config.v0.2.json", "root.json", "snapshot.go"} {
		want, err := os.ReadFile(filepath.Join(pkg, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from what is in the package: %v", name, err)
		}
	}
}

func TestRefreshRefuses(t *testing.T) {
	pkg := filepath.Join(testenv.Root(), "trust", "publicgood")
	root, err := os.ReadFile(filepath.Join(pkg, "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(pkg, configFile))
	if err != nil {
		t.Fatal(err)
	}
	tuf := publicgood.TUFRoot()
	empty := []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	tests := []struct {
		name, date string
		files      map[string][]byte
		want       string
	}{
		{"no files", publicgood.Date, nil, "trusted_root.json"},
		{"no TUF root", publicgood.Date, map[string][]byte{"trusted_root.json": root}, "root.json"},
		{"damaged root", publicgood.Date, map[string][]byte{"trusted_root.json": root[:100], "root.json": tuf}, "trusted root"},
		{"root that lost its logs", publicgood.Date, map[string][]byte{"trusted_root.json": empty, "root.json": tuf}, "lost the log"},
		{
			"TUF metadata of another role", publicgood.Date,
			map[string][]byte{"trusted_root.json": root, "root.json": []byte(`{"signed":{"_type":"targets","version":99}}`)},
			"not root",
		},
		{
			"older TUF root", publicgood.Date,
			map[string][]byte{"trusted_root.json": root, "root.json": []byte(`{"signed":{"_type":"root","version":1}}`)},
			"older",
		},
		{"damaged signing config", publicgood.Date, map[string][]byte{"trusted_root.json": root, "root.json": tuf, configFile: config[:100]}, "signing config"},
		{"no signing config", publicgood.Date, map[string][]byte{"trusted_root.json": root, "root.json": tuf, configFile: nil}, configFile},
		{"no JSON", publicgood.Date, map[string][]byte{"trusted_root.json": root, "root.json": []byte(`root`)}, "root.json"},
		{"no day", "yesterday", map[string][]byte{"trusted_root.json": root, "root.json": tuf}, "yesterday"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			to := t.TempDir()
			switch given, ok := test.files[configFile]; {
			case !ok && test.files != nil:
				test.files[configFile] = config
			case given == nil:
				delete(test.files, configFile)
			}
			err := refresh(write(t, test.files), to, test.date)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if left, _ := os.ReadDir(to); len(left) > 0 {
				t.Errorf("%d files were written all the same", len(left))
			}
		})
	}
	if err := refresh("", t.TempDir(), publicgood.Date); err == nil || !strings.Contains(err.Error(), "-from") {
		t.Errorf("without -from: %v", err)
	}
}
