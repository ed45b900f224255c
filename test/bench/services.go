package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/internal/testenv/witness"
	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/trust"
)

// email is who signs in the rows about services.
const email = "bench@example.com"

// deployment is a bulla-server with the settings of a bench: nothing but the machine limits clients.
type deployment struct {
	url string
	*process.Server
	witnesses *httptest.Server // nil: none
}

// settings of a deployment that are not those of a bench by itself.
type settings struct {
	checkpoints time.Duration // the log's interval; 0: its default
	witnessed   bool          // by a witness in this process
}

// deploy makes a deployment in a new folder and starts it.
func (b *bench) deploy(with settings) (*deployment, error) {
	dir, err := os.MkdirTemp(b.dir, "deployment-")
	if err != nil {
		return nil, err
	}
	d := &deployment{}
	d.Server, err = process.Start(1, func(ports []int) (process.Spec, error) {
		state := filepath.Join(dir, strconv.Itoa(ports[0]))
		d.url = "http://localhost:" + strconv.Itoa(ports[0])
		out, err := exec.Command(b.server, "init", "--dir", state, "--url", d.url, "--listen", fmt.Sprintf("127.0.0.1:%d", ports[0]),
			"--generate-password", "--development-login").CombinedOutput()
		if err != nil {
			return process.Spec{}, fmt.Errorf("bulla-server init: %w\n%s", err, out)
		}
		config := filepath.Join(state, "bulla-server.yaml")
		return process.Spec{Path: b.server, Args: []string{"serve", "--config", config}, Ready: d.url + "/readyz"}, d.configure(config, with)
	})
	return d, err
}

// configure lifts the limits on one client in a configuration as init writes it, where each key stands in a comment, and
// makes the settings.
func (d *deployment) configure(path string, with settings) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c := configuration{path, strings.Split(string(text), "\n")}
	for _, key := range []string{"connections", "address-connections", "address-rate", "in-flight", "identity-rate"} {
		if err := c.set("limits", key, "-1"); err != nil {
			return err
		}
	}
	if with.checkpoints != 0 {
		if err := c.set("log", "checkpoint-interval", with.checkpoints.String()); err != nil {
			return err
		}
	}
	if with.witnessed {
		policy, err := d.witness(filepath.Dir(path))
		if err != nil {
			return err
		}
		if err := c.set("log", "witnesses", policy); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(strings.Join(c.lines, "\n")), 0o600)
}

// configuration is the lines of a configuration.
type configuration struct {
	path  string
	lines []string
}

func (c *configuration) set(section, key, value string) error {
	begins := func(l string) bool { return strings.TrimPrefix(l, "#") == section+":" }
	for i := max(0, slices.IndexFunc(c.lines, begins)); i < len(c.lines); i++ {
		switch name, _, _ := strings.Cut(strings.TrimLeft(c.lines[i], " #"), ":"); name {
		case section:
			c.lines[i] = section + ":"
		case key:
			c.lines[i] = "  " + key + ": " + value
			return nil
		}
	}
	return fmt.Errorf("%s has no key %s in %s", c.path, key, section)
}

// witness starts a witness of the log whose state lies in dir, and returns the path of the policy that demands it.
func (d *deployment) witness(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "public", "trusted_root.json"))
	if err != nil {
		return "", err
	}
	root, err := trust.DecodeRoot(data)
	if err != nil {
		return "", err
	}
	key, ok := root.Logs[0].Key.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("the log's key is a %T", root.Logs[0].Key)
	}
	vkey, err := note.NewEd25519VerifierKey("localhost", key)
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	w, err := witness.New(verifier)
	if err != nil {
		return "", err
	}
	d.witnesses = httptest.NewServer(w)
	policy := filepath.Join(dir, "witnesses.policy")
	return policy, os.WriteFile(policy, w.Policy(d.witnesses.URL), 0o600)
}

// Kill ends the server, and its witness.
func (d *deployment) Kill() {
	d.Server.Kill()
	if d.witnesses != nil {
		d.witnesses.Close()
	}
}

// ready is the row from nothing to the first verified signature with an identity.
func (b *bench) ready() error {
	dir, err := os.MkdirTemp(b.dir, "first-")
	if err != nil {
		return err
	}
	start := time.Now()
	up := exec.Command(b.server, "up", "--ephemeral", "--output", "json")
	up.Env = append(b.env, "TMPDIR="+dir)
	out, err := up.StdoutPipe()
	if err != nil {
		return err
	}
	if err := up.Start(); err != nil {
		return err
	}
	defer func() {
		_ = up.Process.Signal(os.Interrupt) // already gone is as good
		_ = up.Wait()
	}()
	var said struct{ Mirror, Root, RootSHA256, Token, Issuer string }
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		return fmt.Errorf("bulla-server up: %w", err)
	}
	up1 := time.Since(start)
	if err := b.firstSignature(dir, said.Mirror, said.Root, said.Token, said.Issuer); err != nil {
		return err
	}
	took := time.Since(start)
	rss, err := residentPeak(up.Process.Pid)
	if err != nil {
		return err
	}
	b.print(row{"services up, from nothing", "bulla-server", ms(up1), "", ""}, true)
	b.print(row{"nothing to first verified signature", "bulla", ms(took), inMiB(rss), "< 5 s, < 100 MB"}, took < 5*time.Second && rss < 100e6)
	return nil
}

func (b *bench) firstSignature(dir, mirror, root, tokens, issuer string) error {
	token, err := identityToken(tokens)
	if err != nil {
		return err
	}
	artifact, bundle := filepath.Join(dir, "artifact"), filepath.Join(dir, "artifact.sigstore.json")
	if err := os.WriteFile(artifact, []byte("the first\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"initialize", "--mirror", mirror, "--root", root},
		{"sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, artifact},
		{"verify-blob", "--bundle", bundle, "--certificate-identity", email, "--certificate-oidc-issuer", issuer, artifact},
	} {
		cmd := exec.Command(b.bulla, args...)
		cmd.Env = b.env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("bulla %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

func identityToken(endpoint string) (string, error) {
	resp, err := http.PostForm(endpoint, url.Values{"email": {email}})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var said struct {
		Token string `json:"id_token"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&said)
	return said.Token, err
}

// residentPeak is the largest resident set that a process has had so far, in bytes.
func residentPeak(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d says nothing of its memory", pid)
}

// processorTime is what a process has used so far, in the kernel's ticks of 10 ms.
func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("process %d: its times are not understood", pid)
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
