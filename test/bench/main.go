// Command bench prints bulla's figures beside those of cosign and sigstore-go, taken in one run on one machine:
//
//	make bench
//
// It needs the shared test vectors, and builds cosign (once, into the tool cache), a client of sigstore-go and the
// benchmarks of test/interop. It writes nothing outside the temporary folder.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// bench is what the rows share.
type bench struct {
	root, shared, dir string
	bulla, server     string // programs
	cosign, small     string // small is the sigstore-go client
	runs              int
	env               []string
	missed            int
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == measureFlag {
		exitOn(measureOne(os.Args[2:]))
		return
	}
	if len(os.Args) == 3 && os.Args[1] == hashFlag {
		exitOn(hashOne(os.Args[2]))
		return
	}
	var b bench
	flag.StringVar(&b.bulla, "bulla", "bin/bulla", "the program to measure")
	flag.IntVar(&b.runs, "n", 30, "runs of each short command")
	flag.StringVar(&b.server, "server", "bin/bulla-server", "the services to measure")
	only := flag.String("only", "", "one of: start, blob, library, large, size, ready, latency, entries, timestamps, signings, many, trips, registry-verify, registry-sign, registry-copy; or registry, for those three")
	strict := flag.Bool("strict", false, "fail when a figure misses its goal")
	flag.Parse()
	exitOn(b.run(*only))
	if b.missed > 0 {
		fmt.Printf("\n%d goals missed\n", b.missed)
		if *strict {
			os.Exit(1)
		}
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(only string) error {
	if err := b.prepare(); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }() // temporary
	fmt.Printf("%s, %d cores, %s; median wall time of %d runs in turn, largest resident set\n\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH, b.runs)
	fmt.Printf("%-34s %-22s %12s %12s   %s\n", "what", "who", "time", "memory", "goal")
	for _, part := range []struct {
		name string
		f    func() error
	}{
		{"start", b.start},
		{"blob", b.blob},
		{"library", b.library},
		{"large", b.large},
		{"size", b.size},
		{"ready", b.ready},
		{"latency", b.entryLatency},
		{"entries", b.entries},
		{"timestamps", b.timestamps},
		{"signings", b.signings},
		{"many", b.many},
		{"trips", b.trips},
		{"registry-verify", b.evidence((*registryBench).verifying)},
		{"registry-sign", b.evidence((*registryBench).sign)},
		{"registry-copy", b.evidence((*registryBench).copy)},
	} {
		if only != "" && only != part.name && !strings.HasPrefix(part.name, only+"-") {
			continue
		}
		if err := part.f(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Println()
	}
	return nil
}

func (b *bench) prepare() error {
	var err error
	if b.root, err = filepath.Abs("."); err != nil {
		return err
	}
	if b.shared = os.Getenv("BULLA_SHARED"); b.shared == "" {
		b.shared = filepath.Join(filepath.Dir(b.root), "shared")
	}
	if _, err := os.Stat(b.vector(vector)); err != nil {
		return fmt.Errorf("the bench needs the shared test vectors: %w", err)
	}
	if b.bulla, err = filepath.Abs(b.bulla); err != nil {
		return err
	}
	if b.server, err = filepath.Abs(b.server); err != nil {
		return err
	}
	if b.cosign, err = toolcache.Path("cosign", os.Stderr); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bulla-bench-"); err != nil {
		return err
	}
	b.small = filepath.Join(b.dir, "sgverify")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.small, "./sgverify")
	cmd.Dir = filepath.Join(b.root, "test", "interop")
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the client of sigstore-go: %w\n%s", err, out)
	}
	// Nothing of the person's own settings, and no way to the network.
	b.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "TUF_ROOT=" + filepath.Join(b.dir, "tuf"),
		"HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9",
	}
	return nil
}

// vector is the bundle of the short rows: keyless, Rekor v2, offline.
const vector = "rekor2-happy-path"

const (
	signer = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/" +
		"extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	issuer = "https://token.actions.githubusercontent.com"
)

func (b *bench) vector(elem ...string) string {
	return filepath.Join(append([]string{b.shared, "vectors", "conformance-public"}, elem...)...)
}

// row is one line of the table; a goal is a sentence and whether it is met.
type row struct{ what, who, time, memory, goal string }

func (b *bench) print(r row, met bool) {
	if r.goal != "" {
		word := "met"
		if !met {
			word = "MISSED"
			b.missed++
		}
		r.goal += ": " + word
	}
	fmt.Println(strings.TrimRight(fmt.Sprintf("%-34s %-22s %12s %12s   %s", r.what, r.who, r.time, r.memory, r.goal), " "))
}
