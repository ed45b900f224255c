package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/footprint"
)

const mib = 1 << 20

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
func inMiB(n int64) string      { return fmt.Sprintf("%.1f MiB", float64(n)/mib) }

// processes prints the rows of commands that are compared as whole processes.
func (b *bench) processes(what string, commands []command, wall time.Duration, rss int64) error {
	all, err := interleave(commands, b.runs, b.env)
	if err != nil {
		return err
	}
	for _, c := range commands {
		s := all[c.name]
		goal := ""
		if c.name == "bulla" {
			goal = fmt.Sprintf("<= %s, <= %s", ms(wall), inMiB(rss))
		}
		b.print(row{what, c.name, ms(s.wall()), inMiB(s.rss()), goal}, s.wall() <= wall && s.rss() <= rss)
	}
	return nil
}

func (b *bench) start() error {
	return b.processes("version, whole process", []command{
		{"cosign", []string{b.cosign, "version"}},
		{"bulla", []string{b.bulla, "version"}},
	}, 8*time.Millisecond, 15*mib)
}

func (b *bench) blob() error {
	bundle, root, artifact := b.vector(vector, "bundle.sigstore.json"), b.vector(vector, "trusted_root.json"), b.vector("a.txt")
	args := []string{
		"verify-blob", "--bundle", bundle, "--trusted-root", root,
		"--certificate-identity", signer, "--certificate-oidc-issuer", issuer, artifact,
	}
	return b.processes("verify-blob, Rekor v2, offline", []command{
		{"cosign", append([]string{b.cosign}, args...)},
		{"sigstore-go client", []string{b.small, bundle, root, signer, issuer, artifact}},
		{"bulla", append([]string{b.bulla}, args...)},
	}, 12*time.Millisecond, 16*mib)
}

// measured is one line of `go test -bench`.
type measured struct{ ns, bytes, allocs float64 }

// library runs the benchmarks of both libraries, in one process, several times over, and keeps each one's fastest: what
// else the machine does disturbs all of them alike.
func (b *bench) library() error {
	const rounds = 6
	exe := filepath.Join(b.dir, "libbench.test")
	build := exec.Command("go", "test", "-c", "-o", exe, "./libbench")
	build.Dir = filepath.Join(b.root, "test", "interop")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	var out []byte
	for range rounds {
		cmd := exec.Command(exe, "-test.run=^$", "-test.bench=.", "-test.benchmem", "-test.benchtime=200x")
		cmd.Dir = filepath.Join(build.Dir, "libbench")
		round, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, round)
		}
		out = append(out, round...)
	}
	all := parseBench(out)
	for _, name := range []string{"sigstore-go", "sigstore-go-fresh-root", "bulla", "bulla-fresh-root", "raw-checks"} {
		m, ok := all["BenchmarkVerify/"+name]
		if !ok {
			return fmt.Errorf("no figure for %s in\n%s", name, out)
		}
		goal, met := "", true
		if name == "bulla" {
			theirs, raw := all["BenchmarkVerify/sigstore-go"], all["BenchmarkVerify/raw-checks"]
			goal = fmt.Sprintf("<= 1/2 of the time (%.2f), <= 1/4 of the allocations (%.2f), <= 1.3 x the raw checks (%.2f)",
				m.ns/theirs.ns, m.allocs/theirs.allocs, m.ns/raw.ns)
			met = m.ns <= theirs.ns/2 && m.allocs <= theirs.allocs/4 && m.ns <= 1.3*raw.ns
		}
		b.print(row{"library Verify, parse included", name, fmt.Sprintf("%.2f ms", m.ns/1e6), fmt.Sprintf("%.0f allocs", m.allocs), goal}, met)
	}
	return nil
}

// parseBench keeps the fastest of the repeated runs of each benchmark.
func parseBench(out []byte) map[string]measured {
	all := map[string]measured{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := f[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of processors
			name = name[:i]
		}
		var m measured
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				continue
			}
			switch f[i+1] {
			case "ns/op":
				m.ns = v
			case "B/op":
				m.bytes = v
			case "allocs/op":
				m.allocs = v
			}
		}
		if old, ok := all[name]; !ok || m.ns < old.ns {
			all[name] = m
		}
	}
	return all
}

// size compares what people have to download and to depend on.
func (b *bench) size() error {
	size, err := footprint.Program(b.root, "./cmd/bulla", b.dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(b.cosign)
	if err != nil {
		return err
	}
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	b.print(row{"program, stripped", "cosign", "", mb(info.Size()), ""}, true)
	b.print(row{"program, stripped", "bulla", "", mb(size), "<= 17 MB"}, size <= 17e6)

	const module, theirs = "github.com/bulla-sign/bulla", "github.com/sigstore/sigstore-go"
	for _, lib := range []struct {
		name, pkg string
		versions  []string
		local     map[string]string
	}{
		{"sigstore-go", theirs + "/pkg/verify", []string{theirs + "@v1.3.0", "github.com/sigstore/sigstore@v1.10.11"}, nil},
		{"bulla", module + "/verify", []string{module + "@v0.0.0"}, map[string]string{module: b.root}},
	} {
		dir, err := os.MkdirTemp(b.dir, "importer-")
		if err != nil {
			return err
		}
		imp, err := footprint.Import(dir, lib.pkg, lib.versions, lib.local)
		if err != nil {
			return err
		}
		goal, met := "", true
		if lib.name == "bulla" {
			goal, met = "<= 4 and <= 60", len(imp.Linked) <= 4 && imp.Graph <= 60
		}
		b.print(row{"modules linked by an importer; all", lib.name, strconv.Itoa(len(imp.Linked)), strconv.Itoa(imp.Graph), goal}, met)
	}
	return nil
}
