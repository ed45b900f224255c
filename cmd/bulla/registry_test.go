package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/trustsource"
)

// withFlag lists the commands that have a flag, by their names.
func withFlag(commands []*cli.Command, above, flag string) (out []string) {
	for _, c := range commands {
		name, _, _ := strings.Cut(c.Use, " ")
		fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
		if c.Flags != nil {
			c.Flags(fs)
		}
		if c.Run != nil && fs.Lookup(flag) != nil {
			out = append(out, above+name)
		}
		out = append(out, withFlag(c.Commands, above+name+" ", flag)...)
	}
	return out
}

// A file of certificate authorities that is missing, empty or another thing ends every command that would go to the registry,
// before it goes there, in whatever way the file was named, and although other flags ask for less.
func TestWrongAuthorities(t *testing.T) {
	dir := t.TempDir()
	calls := wander(t, dir)
	none, empty, key := filepath.Join(dir, "none.pem"), filepath.Join(dir, "empty.pem"), filepath.Join(dir, "key.pem")
	damaged := filepath.Join(dir, "damaged.pem")
	for path, text := range map[string]string{
		empty: "", key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", damaged: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certs := filepath.Join(dir, "config", "docker", "certs.d", "registry.invalid")
	hosts, plain := filepath.Join(dir, "hosts", "registry.invalid"), filepath.Join(dir, "plain", "_default")
	for _, d := range []string{certs, hosts, plain} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{filepath.Join(certs, "ca.crt"): "x", filepath.Join(hosts, "hosts.toml"): "ca = 'ca.pem'\n", filepath.Join(plain, "ca.crt"): "x"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type way struct {
		flags []string
		env   map[string]string
		said  string
	}
	less := []string{"--allow-insecure-registry", "--allow-http-registry"}
	ways := []way{
		{[]string{"--registry-cacert", none}, nil, "none.pem"},
		{[]string{"--registry-cacert", empty}, nil, "empty.pem"},
		{[]string{"--registry-cacert", key}, nil, "key.pem"},
		{[]string{"--registry-cacert", damaged}, nil, "damaged.pem"},
		{[]string{"--registry-cacert", dir}, nil, dir},
		{append([]string{"--registry-cacert", empty}, less...), nil, "empty.pem"},
		{nil, map[string]string{"BULLA_REGISTRY_CACERT": empty}, "empty.pem"},
		{less, map[string]string{"XDG_CONFIG_HOME": filepath.Join(dir, "config")}, "ca.crt"},
		{less, map[string]string{"BULLA_REGISTRY_HOSTS": filepath.Join(dir, "hosts")}, "ca.pem"},
		{less, map[string]string{"BULLA_REGISTRY_HOSTS": filepath.Join(dir, "plain")}, "ca.crt"},
	}
	asks := 0
	for _, name := range withFlag(newApp(&cli.System{}).Commands, "", "registry-cacert") {
		for _, args := range calls[name] {
			line := slices.Concat([]string{"bulla"}, strings.Fields(name), args, []string{"--timeout", "5s"})
			seen, _, _ := goes(t, dir, nil, line)
			if !slices.ContainsFunc(seen, func(at string) bool { return strings.HasPrefix(at, "registry.invalid:") }) {
				continue // it does not come that far
			}
			asks++
			for _, w := range ways {
				seen, status, stderr := goes(t, dir, w.env, append(slices.Clone(line), w.flags...))
				// A host's own files are read when it is its turn; something else that is missing may be told before.
				before := strings.Contains(stderr, "trusted root: ") || strings.Contains(stderr, "loading the key: ")
				said := strings.Contains(stderr, w.said) || len(w.env) > 0 && before
				if slices.ContainsFunc(seen, func(at string) bool { return strings.HasPrefix(at, "registry.invalid:") }) || status == 0 || !said {
					t.Errorf("%s %v %v: status %d, went to %v, said %s", name, w.flags, w.env, status, seen, stderr)
				}
			}
		}
	}
	if asks < 15 {
		t.Errorf("only %d calls went to the registry", asks)
	}
}

// goes runs a command, and returns where it went.
func goes(t *testing.T, dir string, env map[string]string, line []string) (seen []string, status int, stderr string) {
	t.Helper()
	c := new(canary)
	x := newTerminal(t)
	x.dial, x.env["TUF_MIRROR"], x.env["DOCKER_CONFIG"] = c.dial, trustsource.PublicMirror, dir
	for name, value := range env {
		x.env[name] = value
	}
	status, _, stderr = x.run(line...)
	return c.take(), status, stderr
}
