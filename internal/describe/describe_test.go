package describe_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

func describer(t testing.TB) *describe.Describer {
	t.Helper()
	root, err := publicgood.Root()
	if err != nil {
		t.Fatal(err)
	}
	return &describe.Describer{Root: root}
}

// files are vectors of every format that has some.
var files = []struct {
	path   string
	format string
	want   string // a line of the text
}{
	{"sigstore-rs/bundle_v03.json", "sigstore bundle", "  Log: c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d (the ID of https://rekor.sigstore.dev)"},
	{"sigstore-java/samples/bundles/bundle-with-rekor-v2-entry.sigstore", "sigstore bundle", "  Kind: hashedrekord 0.0.2"},
	{"legacy/cosign-sign-blob-bundle.json", "cosign blob bundle", "Signed with: a certificate"},
	{"legacy/rekor-bundle-rekord-key.json", "rekor bundle", "  Kind: rekord 0.0.1"},
	{"legacy/rekor.pub", "public key", "Public key: ECDSA P-256"},
	{"sigstore-python/a.txt.sig", "signature", "Encoding: base64"},
	{"sigstore-python/a.txt.crt", "certificate", "  Public key: ECDSA P-384"},
	{"sigstore-rs/keys/ecdsa_encrypted_private.key", "private key", "Encrypted: true"},
	{"trust/public-good/trusted_root.json", "trusted root", "Transparency log: https://rekor.sigstore.dev"},
	{"trust/public-good/signing_config.json", "signing config", "Identity provider: https://oauth2.sigstore.dev/auth"},
	{"trust/public-good/signing_config.v0.2.json", "signing config", "Timestamp authorities to use: any one"},
	{"sigstore-java/samples/checkpoints/valid_multi_sig.txt", "checkpoint", "Tree size: 37795272"},
	{"tuf/root-signing/metadata/timestamp.json", "tuf metadata", "Role: timestamp"},
	{"github-cli/sigstore-js-2.1.0-bundle-v0.1.json", "sigstore bundle", "Media type: application/vnd.dev.sigstore.bundle+json;version=0.1"},
}

func TestFile(t *testing.T) {
	d := describer(t)
	for _, tt := range files {
		doc, err := d.File(testenv.ReadVector(t, tt.path))
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		if doc.Format != tt.format {
			t.Errorf("%s: format %q, want %q", tt.path, doc.Format, tt.format)
		}
		if problems := problems(t, doc); len(problems) > 0 && tt.format != "private key" {
			t.Errorf("%s: %q", tt.path, problems)
		}
		if err := doc.Malformed(); err != nil {
			t.Errorf("%s: %v", tt.path, err)
		}
		if text := textOf(t, doc); !strings.Contains("\n"+text, "\n"+tt.want+"\n") {
			t.Errorf("%s: no line %q in\n%s", tt.path, tt.want, text)
		}
	}
}

func textOf(t testing.TB, doc *describe.Document) string {
	t.Helper()
	var out bytes.Buffer
	if err := doc.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// problems returns the lines that say what is wrong.
func problems(t testing.TB, doc *describe.Document) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(textOf(t, doc)) {
		if problem, ok := strings.CutPrefix(strings.TrimSpace(line), "Problem: "); ok {
			out = append(out, problem)
		}
	}
	return out
}

// What is wrong with a file is said, and the rest of it shown.
func TestProblems(t *testing.T) {
	d := describer(t)
	bundled := testenv.ReadVector(t, "sigstore-rs/bundle_v03.json")
	for _, tt := range []struct {
		name      string
		data      []byte
		want      string
		malformed bool
	}{
		{"broken media type", bytes.Replace(bundled, []byte("bundle.v0.3"), []byte("bundle.v0.9"), 1), "newer than 0.3", true},
		{"no inclusion proof", testenv.ReadVector(t, "conformance-public/intoto-missing-inclusion-proof_fail/bundle.sigstore.json"), "inclusionProof", false},
		{"unknown field in a root", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","x":1}`), "x", true},
		{"plain private key", testenv.ReadVector(t, "sigstore-rs/keys/ecdsa_private.key"), "can sign", false},
	} {
		doc, err := d.File(tt.data)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if problems := problems(t, doc); len(problems) != 1 || !strings.Contains(problems[0], tt.want) {
			t.Errorf("%s: problems %q, want one with %q", tt.name, problems, tt.want)
		}
		if got := doc.Malformed() != nil; got != tt.malformed {
			t.Errorf("%s: malformed: %v", tt.name, doc.Malformed())
		}
	}
}

// Parts of two bundles put together are told apart, though nothing is verified.
func TestSplicedEntry(t *testing.T) {
	w := world.New(t)
	a, _, _ := w.Bundle(t, world.Spec{Log: world.LogV2, Timestamp: true})
	b, _, _ := w.Bundle(t, world.Spec{Log: world.LogV2, Timestamp: true})
	describeIt := func(b *bundle.Bundle) string {
		data, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := describer(t).File(data)
		if err != nil {
			t.Fatal(err)
		}
		return textOf(t, doc)
	}
	if text := describeIt(a); !strings.Contains(text, "Signature: the same as in this file") || !strings.Contains(text, "Stamps: the signature in this file") {
		t.Errorf("a whole bundle:\n%s", text)
	}
	a.Material.Entries, a.Material.Timestamps = b.Material.Entries, b.Material.Timestamps
	if text := describeIt(a); !strings.Contains(text, "Signature: another than in this file") || !strings.Contains(text, "Stamps: something else than the signature") {
		t.Errorf("a spliced bundle:\n%s", text)
	}
}

func TestUnknown(t *testing.T) {
	for _, data := range []string{"", "hello\n", "{}", `{"a":1}`, "[1]", "\x00\x01\x02"} {
		if doc, err := describer(t).File([]byte(data)); !errors.Is(err, describe.ErrUnknown) {
			t.Errorf("%q: %+v, %v", data, doc, err)
		}
	}
}

func TestLines(t *testing.T) {
	line := bytes.TrimSpace(testenv.ReadVector(t, "cosign-generated/key-notlog.sigstore.json"))
	doc, err := describer(t).File(bytes.Repeat(append(line, '\n'), 1003))
	if err != nil {
		t.Fatal(err)
	}
	if doc.Format != "json lines" || len(doc.Documents) != 1000 || !strings.HasPrefix(textOf(t, doc), "Documents: 1003, of which the first 1000 are shown\n") {
		t.Errorf("%s, %d documents, %v", doc.Format, len(doc.Documents), doc.Items)
	}
	doc, err = describer(t).File([]byte(string(line) + "\n{\"what\":\"else\"}\n"))
	if err != nil || len(doc.Documents) != 2 || doc.Documents[0].Format != "sigstore bundle" || doc.Documents[1].Format != "unknown" {
		t.Errorf("%+v, %v", doc, err)
	}
}

func TestPrintable(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain – ünïcode 📦", "plain – ünïcode 📦"},
		{`back\slash "quoted"`, `back\slash "quoted"`},
		{"two\nlines", `two\nlines`},
		{"\x1b[2J", `\x1b[2J`},
		{"\u202egpj.exe", `\u202egpj.exe`},
		{"\xff", `\xff`},
		{"\uFFFD", "\uFFFD"},
		{strings.Repeat("a", 3000), strings.Repeat("a", 2000) + "... (3000 bytes)"},
	} {
		if got := describe.Printable(tt.in); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// cosign's lines for bundles of each kind: what Sniff recognises must not matter, nor what is missing.
func TestCosign(t *testing.T) {
	w := world.New(t)
	for _, spec := range world.Specs() {
		b, _, _ := w.Bundle(t, spec)
		if b.Version == bundle.Cosign {
			continue
		}
		var out bytes.Buffer
		if err := describer(t).Cosign(&out, b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"- Bundle Media Type: " + b.MediaType + "\n", "- Verification Material:\n  - Content: ", "- Content:\n  - Type: ",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", spec.Name(), want, out.String())
			}
		}
		if n := len(b.Material.Entries); n > 0 && !strings.Contains(out.String(), fmt.Sprintf("  - Transparency Log Entries: %d\n", n)) {
			t.Errorf("%s: no entries in\n%s", spec.Name(), out.String())
		}
	}
}

// FuzzFile describes anything without panic, and never prints what a terminal obeys.
func FuzzFile(f *testing.F) {
	for _, tt := range files {
		f.Add(testenv.ReadVector(f, tt.path))
	}
	f.Add([]byte("{\"base64Signature\":\"\x1b\"}"))
	d := describer(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := d.File(data)
		if err != nil {
			return
		}
		for _, r := range textOf(t, doc) {
			if r != '\n' && !strconv.IsPrint(r) {
				t.Fatalf("%q is printed", r)
			}
		}
		if b, err := bundle.Decode(data); err == nil {
			var out bytes.Buffer
			if err := d.Cosign(&out, b); err != nil {
				t.Fatal(err)
			}
		}
	})
}
