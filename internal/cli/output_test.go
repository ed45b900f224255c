package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestKeysAreNotOverwritten(t *testing.T) {
	const private, public, bundle = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "-----BEGIN PUBLIC KEY-----\n", "{}\n"
	dir := t.TempDir()
	for name, data := range map[string]string{
		"a.key": private, "a.pub": public + "a", "lone.pub": public, "odd.json": "\n" + private, "plain.pem": "-----BEGIN PRIVATE KEY-----",
		"b.json": bundle, "c.key": "-----BEGIN CERTIFICATE-----", "c.pub": "text", "empty": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.key", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, data string
		ok         bool
	}{
		{"a.key", bundle, false},
		{"a.key", private, false},
		{"odd.json", bundle, false},
		{"plain.pem", bundle, false},
		{"link", bundle, false},
		{"a.pub", bundle, false},
		{"a.pub", public + "b", false},
		{"a.pub", public + "a", true},
		{"lone.pub", bundle, true},
		{"b.json", bundle, true},
		{"c.key", bundle, true},
		{"c.pub", bundle, true},
		{"empty", bundle, true},
		{"none", bundle, true},
	} {
		if err := CheckOutput(filepath.Join(dir, tt.name), []byte(tt.data)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		// --output-file does not know beforehand what will be written, and leaves the key alone either way.
		if tt.name == "a.pub" || tt.name == "lone.pub" {
			continue
		}
		f := &fake{}
		before, _ := os.ReadFile(filepath.Join(dir, tt.name))
		code := f.app(&Command{Run: func(_ context.Context, c *Call) error { fmt.Fprint(c.Out, tt.data); return nil }},
			"bulla", "do", "--output-file", filepath.Join(dir, tt.name))
		after, _ := os.ReadFile(filepath.Join(dir, tt.name))
		if tt.ok != (code == 0) || tt.ok && string(after) != tt.data || !tt.ok && string(after) != string(before) {
			t.Errorf("--output-file %s: status %d, %s", tt.name, code, f.err.String())
		}
	}
}

// A command that fails before it prints anything leaves the file of --output-file as it was; what a failing one printed is
// kept.
func TestOutputFileOfFailure(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	f := &fake{}
	say := ""
	run := func(_ context.Context, c *Call) error {
		io.WriteString(c.Out, say)
		return context.Canceled
	}
	if code := f.app(&Command{Run: run}, "bulla", "do", "--output-file", name); code != 130 {
		t.Errorf("status %d, %s", code, f.err.String())
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range [][2]string{{"", "before"}, {"report", "report"}} {
		say = tt[0]
		f.app(&Command{Run: run}, "bulla", "do", "--output-file", name)
		if data, err := os.ReadFile(name); err != nil || string(data) != tt[1] {
			t.Errorf("%q was printed: the file has %q, %v", say, data, err)
		}
	}
}
