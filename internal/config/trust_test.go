package config_test

import (
	"crypto"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/config"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

// files are trust material in a directory of its own.
type files struct {
	dir   string
	world *world.World
}

func newFiles(t *testing.T) files {
	w := world.New(t)
	f := files{t.TempDir(), w}
	pub := func(key crypto.PublicKey) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mint.SPKI(t, key)})
	}
	var tsa [][]byte
	for _, c := range w.TSA.Chain() {
		tsa = append(tsa, c.Raw)
	}
	other := mint.NewCA(t, mint.CAOptions{Name: "other"})
	for name, data := range map[string][]byte{
		"root.json": w.RootJSON(t), "log.pub": pub(w.V1.Key.Public()), "ct.pub": pub(w.CTLog.Key.Public()),
		"chain.pem": mint.PEM(w.CA.Intermediate.Raw, w.CA.Root.Raw), "shuffled.pem": mint.PEM(w.CA.Root.Raw, w.CA.Intermediate.Raw),
		"root.pem": mint.PEM(w.CA.Root.Raw), "intermediate.pem": mint.PEM(w.CA.Intermediate.Raw),
		"two.pem": mint.PEM(w.CA.Root.Raw, other.Root.Raw, w.CA.Intermediate.Raw, other.Intermediate.Raw),
		"tsa.pem": mint.PEM(tsa...), "empty": nil, "text": []byte("hello"), "object.json": []byte("{}"),
		"unknown.json": []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","bogus":1}`),
		"many.pem":     []byte(strings.Repeat(string(mint.PEM(w.CA.Root.Raw)), 65)),
		"large":        make([]byte, 4<<20+1),
		"broken.pem":   []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		if err := os.WriteFile(filepath.Join(f.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// path returns a file's name, empty for an empty one.
func (f files) path(name string) string {
	if name == "" {
		return ""
	}
	return filepath.Join(f.dir, name)
}

// counts are the parts of a root: logs, CT logs, authorities for certificates and for time.
type counts [4]int

func of(r *trust.Root) counts { return counts{len(r.Logs), len(r.CTLogs), len(r.CAs), len(r.TSAs)} }

func TestTrust(t *testing.T) {
	f := newFiles(t)
	public, err := publicgood.Root()
	if err != nil {
		t.Fatal(err)
	}
	base := of(public)
	for _, tt := range []struct {
		name  string
		trust config.Trust // file names in the directory
		env   map[string]string
		want  counts
		said  string // in the source's name
		err   string
		io    bool
	}{
		{name: "nothing", want: base, said: "public-good"},
		{name: "root", trust: config.Trust{TrustedRoot: "root.json"}, want: counts{2, 1, 1, 1}, said: "root.json"},
		{name: "chain", trust: config.Trust{CertificateChain: "chain.pem"}, want: counts{base[0], base[1], 2, base[3]}, said: "with --certificate-chain"},
		{name: "shuffled", trust: config.Trust{CertificateChain: "shuffled.pem"}, want: counts{base[0], base[1], 2, base[3]}},
		{name: "root certificate alone", trust: config.Trust{CARoots: "root.pem"}, want: counts{base[0], base[1], 1, base[3]}, said: "with --ca-roots"},
		{name: "roots and intermediates", trust: config.Trust{CARoots: "root.pem", CAIntermediates: "intermediate.pem"}, want: counts{base[0], base[1], 2, base[3]}},
		{name: "two hierarchies", trust: config.Trust{CARoots: "two.pem"}, want: counts{base[0], base[1], 4, base[3]}},
		{name: "timestamps", trust: config.Trust{TimestampChain: "tsa.pem"}, want: counts{base[0], base[1], base[2], 1}, said: "with --timestamp-certificate-chain"},
		{name: "parts of a root", trust: config.Trust{TrustedRoot: "root.json", CARoots: "two.pem"}, want: counts{2, 1, 4, 1}, said: "root.json, with --ca-roots"},
		{name: "variables", env: map[string]string{
			"SIGSTORE_ROOT_FILE": "chain.pem", "SIGSTORE_TSA_CERTIFICATE_FILE": "tsa.pem", "SIGSTORE_REKOR_PUBLIC_KEY": "log.pub", "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": "ct.pub",
		}, want: counts{1, 1, 2, 1}, said: "with SIGSTORE_ROOT_FILE"},
		{name: "one variable", env: map[string]string{"SIGSTORE_REKOR_PUBLIC_KEY": "log.pub"}, want: counts{1, base[1], base[2], base[3]}},
		{name: "a flag is stronger than its variable", trust: config.Trust{CARoots: "two.pem"}, env: map[string]string{"SIGSTORE_ROOT_FILE": "nosuch"}, want: counts{base[0], base[1], 4, base[3]}},
		{name: "so is the chain", trust: config.Trust{TimestampChain: "tsa.pem"}, env: map[string]string{"SIGSTORE_TSA_CERTIFICATE_FILE": "nosuch"}, want: counts{base[0], base[1], base[2], 1}},
		{name: "no variable reaches into a file", trust: config.Trust{TrustedRoot: "root.json"}, env: map[string]string{"SIGSTORE_REKOR_PUBLIC_KEY": "nosuch"}, want: counts{2, 1, 1, 1}},

		{name: "chain and roots", trust: config.Trust{CertificateChain: "chain.pem", CARoots: "root.pem"}, err: "cannot be given together"},
		{name: "chain and intermediates", trust: config.Trust{CertificateChain: "chain.pem", CAIntermediates: "root.pem"}, err: "cannot be given together"},
		{name: "intermediates alone", trust: config.Trust{CAIntermediates: "intermediate.pem"}, err: "--ca-intermediates needs --ca-roots"},
		{name: "an intermediate for a root", trust: config.Trust{CARoots: "intermediate.pem"}, err: "leads to no root"},
		{name: "no certificate", trust: config.Trust{CARoots: "text"}, err: "no PEM certificate"},
		{name: "empty", trust: config.Trust{CARoots: "empty"}, err: "no PEM certificate"},
		{name: "a key for a certificate", trust: config.Trust{CARoots: "log.pub"}, err: `"PUBLIC KEY", not a certificate`},
		{name: "a broken certificate", trust: config.Trust{CARoots: "broken.pem"}, err: "certificate 1"},
		{name: "too many", trust: config.Trust{CARoots: "many.pem"}, err: "more than 64 certificates"},
		{name: "too large", trust: config.Trust{CARoots: "large"}, err: "more than 4194304 bytes"},
		{name: "a CA for a TSA", trust: config.Trust{TimestampChain: "text"}, err: "--timestamp-certificate-chain"},
		{name: "a certificate for a key", env: map[string]string{"SIGSTORE_REKOR_PUBLIC_KEY": "root.pem"}, err: "SIGSTORE_REKOR_PUBLIC_KEY"},
		{name: "text for a key", env: map[string]string{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": "text"}, err: "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"},
		{name: "no root", trust: config.Trust{TrustedRoot: "object.json"}, err: "trusted root "},
		{name: "unknown field", trust: config.Trust{TrustedRoot: "unknown.json"}, err: "bogus"},
		{name: "empty root", trust: config.Trust{TrustedRoot: "empty"}, err: "trusted root "},
		{name: "large root", trust: config.Trust{TrustedRoot: "large"}, err: "more than 4194304 bytes"},
		{name: "missing root", trust: config.Trust{TrustedRoot: "nosuch"}, err: "nosuch", io: true},
		{name: "missing chain", trust: config.Trust{CertificateChain: "nosuch"}, err: "--certificate-chain", io: true},
		{name: "missing intermediates", trust: config.Trust{CARoots: "root.pem", CAIntermediates: "nosuch"}, err: "nosuch", io: true},
		{name: "missing variable's file", env: map[string]string{"SIGSTORE_ROOT_FILE": "nosuch"}, err: "SIGSTORE_ROOT_FILE", io: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := tt.trust
			for _, name := range []*string{&given.TrustedRoot, &given.CARoots, &given.CAIntermediates, &given.CertificateChain, &given.TimestampChain} {
				*name = f.path(*name)
			}
			given.LookupEnv = func(name string) (string, bool) { v, ok := tt.env[name]; return f.path(v), ok }
			root, err := given.Load(t.Context())
			for _, name := range given.Variables() { // what is said to have an effect has one, and the other way round
				if err == nil && !strings.Contains(root.Source.Name, name) {
					t.Errorf("%s has no effect: %s", name, root.Source.Name)
				}
			}
			if err == nil && strings.Count(root.Source.Name, "SIGSTORE_") != len(given.Variables()) {
				t.Errorf("%v are not all of %s", given.Variables(), root.Source.Name)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				var path *fs.PathError
				if got := errors.As(err, &path); got != tt.io {
					t.Errorf("%v: is about reading: %v, want %v", err, got, tt.io)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := of(root); got != tt.want {
				t.Errorf("logs, CT logs, CAs, TSAs: %v, want %v", got, tt.want)
			}
			if !strings.Contains(root.Source.Name, tt.said) {
				t.Errorf("the source is called %q, want %q in it", root.Source.Name, tt.said)
			}
		})
	}
}

// TestTrustIsNotShared loads twice: replacing parts of one root must not change the next.
func TestTrustIsNotShared(t *testing.T) {
	f := newFiles(t)
	before, err := config.Trust{}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := of(before)
	if _, err := (config.Trust{CARoots: f.path("root.pem"), TimestampChain: f.path("tsa.pem")}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := config.Trust{}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if of(after) != want || strings.Contains(after.Source.Name, "with") {
		t.Errorf("the embedded root changed: %v, %q", of(after), after.Source.Name)
	}
}
