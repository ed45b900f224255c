package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/trustsource"
)

// canary is a dialer that notes where somebody wanted to go, and lets nobody.
type canary struct {
	mu   sync.Mutex
	seen []string
}

func (c *canary) dial(_ context.Context, _, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, address)
	return nil, errors.New("the canary sings")
}

func (c *canary) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	slices.Sort(seen)
	return slices.Compact(seen)
}

// leaves lists the commands that do something, by their names.
func leaves(commands []*cli.Command, above string) (out []string) {
	for _, c := range commands {
		name, _, _ := strings.Cut(c.Use, " ")
		if c.Run != nil {
			out = append(out, above+name)
		}
		out = append(out, leaves(c.Commands, above+name+" ")...)
	}
	return out
}

const (
	offlineImage = "registry.invalid/app:1"
	offlineURL   = "https://files.invalid/a"
)

// wanderers are calls of every command that would go to the network, if anything lets them. A command that cannot want
// to has an empty list.
func wanderers(bundle, file, manifest string) map[string][][]string {
	who := []string{"--certificate-identity", "a@b.c", "--certificate-oidc-issuer", "https://issuer.invalid"}
	key := []string{"--key", "https://keys.invalid/k.pub"}
	with := func(more []string, args ...string) []string { return append(slices.Clone(more), args...) }
	kms := "hashivault://key"
	return map[string][][]string{
		"sign":                    {{"-y", offlineImage}, {"-y", "--key", kms, offlineImage}, {"-y", "--identity-token", "eyJhbGciOiJub25lIn0.e30.x", offlineImage}, {"-y", "--fulcio-auth-flow=device", offlineImage}},
		"sign-blob":               {{"-y", bundle}, {"-y", offlineURL}, {"-y", "--fulcio-auth-flow=client_credentials", "--rekor-url", "https://log.invalid", bundle}, {"-y", "--fulcio-auth-flow=normal", bundle}},
		"attest":                  {{"-y", "--predicate", bundle, offlineImage}},
		"attest-blob":             {{"-y", "--predicate", bundle, offlineURL}, {"-y", "--predicate", bundle, "--bundle", bundle + ".out", bundle}},
		"verify":                  {with(who, offlineImage), with(key, offlineImage), with(who, "--trusted-root", bundle, offlineImage)},
		"verify-attestation":      {with(who, offlineImage), with(key, offlineImage)},
		"verify-blob":             {with(who, "--bundle", bundle, offlineURL), with(key, "--bundle", bundle, bundle), with(who, "--log=online", "--rekor-url", "https://log.invalid", "--bundle", bundle, bundle), {"--key", kms, "--bundle", bundle, bundle}},
		"verify-blob-attestation": {with(who, "--bundle", bundle, offlineURL)},
		"inspect":                 {{offlineImage}, {bundle}},
		"bundle create":           {with(key, "--artifact", bundle, "--signature", bundle)},
		"bundle inspect":          {{bundle}},
		"bundle upgrade":          {{bundle}},
		"generate-key-pair":       {{"--kms", kms}},
		"import-key-pair":         {{"--key", offlineURL}},
		"public-key":              {with(key), {"--key", kms}},
		"tree":                    {{offlineImage}},
		"download signature":      {{offlineImage}},
		"download attestation":    {{offlineImage}},
		"triangulate":             {{offlineImage}},
		"generate":                {{offlineImage}},
		"doctor":                  {{offlineImage}, {"--write", offlineImage}},
		"flush":                   {{}},
		"dockerfile verify":       {with(who, file)},
		"manifest verify":         {with(who, manifest)},
		"copy":                    {{offlineImage, "registry.invalid/other:1"}},
		"save":                    {{"--dir", bundle + ".dir", offlineImage}},
		"load":                    {{"--dir", filepath.Dir(bundle), offlineImage}},
		"download sbom":           {{offlineImage}},
		"attach signature":        {{"--bundle", bundle, offlineImage}, {"--signature", bundle, offlineImage}},
		"attach attestation":      {{"--attestation", bundle, offlineImage}},
		"attach sbom":             {{"--sbom", bundle, offlineImage}},
		"upload blob":             {{"-f", bundle, offlineImage}},
		"upload wasm":             {{"-f", bundle, offlineImage}},
		"repair":                  {{offlineImage}},
		"clean":                   {{"-y", offlineImage}},
		"whoami":                  {{}},
		"logout":                  {{}},
		"login":                   nil, // it stores, and asks nobody
		"initialize":              {{}, {"--mirror", "https://tuf.invalid", "--root", "https://tuf.invalid/root.json"}, {"--staging"}},
		"trusted-root create":     {{"--with-default-services"}},
		"signing-config create":   {{"--with-default-services"}},
		"env":                     {{}},
		"trust list":              {{}},
		"trust add":               {{"a", "--staging"}, {"a", "--mirror", "https://tuf.invalid", "--root", "https://tuf.invalid/root.json"}},
		"trust remove":            {{"a"}},
		"trust show":              {{}, {"built-in"}},
		"trust diff":              {{"default", "built-in"}},
		"trust export":            {{}, {"built-in"}},
		"trust revoke":            {with(key, "--list", bundle, "--reason", "x", "--public-key", "https://keys.invalid/k.pub"), {"--key", kms, "--list", bundle, "--reason", "x", "--identity", "a", "--issuer", "b"}},
		"up":                      {{"--ephemeral"}},
		"version":                 {{}},
	}
}

// wander are the calls of wanderers, with the files that they name.
func wander(t *testing.T, dir string) map[string][][]string {
	t.Helper()
	bundle := filepath.Join(dir, "a.json")
	if err := os.WriteFile(bundle, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, manifest := filepath.Join(dir, "Dockerfile"), filepath.Join(dir, "pod.yaml")
	for name, text := range map[string]string{file: "FROM " + offlineImage, manifest: "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: '" + offlineImage + "'}]}"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return wanderers(bundle, file, manifest)
}

// With --offline no command wants to go anywhere but to the registry that it was given; see [cli.System.Dial].
func TestOfflineCanary(t *testing.T) {
	dir := t.TempDir()
	calls := wander(t, dir)
	for _, name := range leaves(newApp(&cli.System{}).Commands, "") {
		if _, ok := calls[name]; !ok {
			t.Errorf("%s: the canary does not know the command", name)
		}
	}
	c := new(canary)
	x := newTerminal(t)
	x.dial, x.env["TUF_MIRROR"], x.env["DOCKER_CONFIG"] = c.dial, trustsource.PublicMirror, dir
	x.env["ACTIONS_ID_TOKEN_REQUEST_URL"], x.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "https://ci.invalid/x", "t"
	for name, all := range calls {
		for _, args := range all {
			line := append([]string{"bulla"}, strings.Fields(name)...)
			line = append(append(line, args...), "--offline", "--timeout", "5s")
			_, _, stderr := x.run(line...)
			for _, at := range c.take() {
				if at != "registry.invalid:443" && at != "registry.invalid:80" {
					t.Errorf("%s went to %s\n%s", strings.Join(line, " "), at, stderr)
				}
			}
			if strings.Contains(stderr, "unknown flag") {
				t.Errorf("%s: %s", strings.Join(line, " "), stderr)
			}
		}
	}
	// The same without the flag: the canary would have sung.
	for name, want := range map[string]string{"initialize": "tuf-repo-cdn.sigstore.dev:443", "verify-blob": "tuf-repo-cdn.sigstore.dev:443", "public-key": "keys.invalid:443", "tree": "registry.invalid:443"} {
		line := append([]string{"bulla"}, strings.Fields(name)...)
		x.run(append(append(line, calls[name][0]...), "--timeout", "5s")...)
		if got := c.take(); !slices.Contains(got, want) {
			t.Errorf("%s went to %q, not to %s", name, got, want)
		}
	}
	// From a variable, too, for commands that take others from none.
	x.env["BULLA_OFFLINE"] = "true"
	x.run("bulla", "initialize")
	x.run("bulla", "inspect", offlineImage)
	x.run("bulla", "public-key", "--key", "https://keys.invalid/k.pub")
	x.env["BULLA_OFFLINE"] = "maybe"
	x.want(21, "BULLA_OFFLINE", "bulla", "tree", offlineImage)
	x.want(21, "BULLA_OFFLINE", "bulla", "version")
	if got := c.take(); len(got) != 0 {
		t.Errorf("with BULLA_OFFLINE: went to %q", got)
	}
}

// In cosign's place the flag means what it means there: the registry may lead elsewhere, nothing else is asked.
func TestOfflineAsCosign(t *testing.T) {
	c := new(canary)
	x := newTerminal(t)
	x.dial, x.env["TUF_MIRROR"] = c.dial, trustsource.PublicMirror
	x.run("cosign", "verify-blob", "--offline", "--key", "https://keys.invalid/k.pub", "--bundle", "x", "y")
	x.run("cosign", "verify", "--offline", "--certificate-identity", "a", "--certificate-oidc-issuer", "https://i.invalid", offlineImage, "--timeout", "5s")
	for _, at := range c.take() {
		if !strings.HasPrefix(at, "registry.invalid:") {
			t.Errorf("went to %s", at)
		}
	}
}
