package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/crypto/scrypt"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
	"github.com/bulla-sign/bulla/keys"
)

// slow is how far away the farther of the two registries is: every request takes so much longer.
const slow = 50 * time.Millisecond

// Runs of each command of the rows about registries: those that fetch a hundred signatures from far away take seconds, the
// others are short, and more of them even out what else the machine does.
const (
	fewRuns  = 5
	manyRuns = 11
)

// evidence returns the rows about evidence in registries, or one sort of them: requests and time, near and far, beside cosign.
// The pings of /v2/ are not counted; these registries ask for no tokens and lead to no storage.
func (b *bench) evidence(rows ...func(*registryBench) error) func() error {
	return func() error {
		return b.inRegistries(func(kind registryKind) error {
			d, err := front(kind.addr)
			if err != nil {
				return err
			}
			defer d.close()
			e := &registryBench{bench: b, at: d, kind: kind}
			if err := e.prepare(); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			for _, row := range rows {
				if err := row(e); err != nil {
					return fmt.Errorf("%s: %w", kind.name, err)
				}
			}
			return nil
		})
	}
}

// registryBench is the rows about one kind of registry.
type registryBench struct {
	*bench
	at     *distance
	kind   registryKind
	dir    string
	images int
}

// key is a file of the rows' keys.
func (e *registryBench) key(name string) string { return filepath.Join(e.dir, name) }

// stored is a key of the key store, whose files need no password.
func stored(name string) string { return "bench://" + name }

// password is that of the key files.
const password = "pw"

// prepare makes keys, in files and in a key store, and the files that say that there are no services.
func (e *registryBench) prepare() error {
	var err error
	if e.dir, err = os.MkdirTemp(e.bench.dir, "keys-"); err != nil {
		return err
	}
	// Both programs run it, and it answers in milliseconds.
	cmd := exec.Command("go", "build", "-trimpath", "-o", e.key("sigstore-kms-bench"), "./internal/testenv/kmsplugin")
	cmd.Dir = e.root
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the key store: %w\n%s", err, out)
	}
	for _, args := range [][]string{
		{e.bulla, "generate-key-pair", "--output-key-prefix", e.key("signer")},
		{e.bulla, "generate-key-pair", "--kms", stored("signer"), "--output-key-prefix", e.key("stored")},
		{e.bulla, "generate-key-pair", "--kms", stored("stranger"), "--output-key-prefix", e.key("stranger")},
		{e.cosign, "signing-config", "create", "--out", e.key("services.json")},
		{e.cosign, "trusted-root", "create", "--out", e.key("trust.json")},
	} {
		if err := runIn(e.settings(), args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (e *registryBench) settings() []string {
	return append(slices.Clone(e.env), "COSIGN_PASSWORD="+password, "DOCKER_CONFIG="+e.dir, "BULLA_TESTKMS_DIR="+e.dir,
		"PATH="+e.dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// image pushes an image of its own.
func (e *registryBench) image() (string, error) {
	e.images++
	tag := fmt.Sprintf("%s/bench-%d/app:v1", e.at.addr, e.images)
	return realregistry.PushImage(context.Background(), tag, tag)
}

func (e *registryBench) signing(key string) []string {
	return []string{"sign", "--key", key, "--signing-config", e.key("services.json"), "--trusted-root", e.key("trust.json"), "--yes"}
}

// verifying is the rows of the verification of an image with one, ten and a hundred signatures.
func (e *registryBench) verifying() error {
	for _, n := range []int{1, 10, 100} {
		allowed := e.kind.verify
		if n > 1 {
			allowed = 2*n + e.kind.all
		}
		if err := e.verify(n, allowed); err != nil {
			return err
		}
	}
	return nil
}

// verify compares the verification of an image with n signatures, the last of which is the one that is wanted.
func (e *registryBench) verify(n, allowed int) error {
	image, err := e.image()
	if err != nil {
		return err
	}
	for i := range n {
		key := stored("stranger")
		if i == n-1 {
			key = e.key("signer.key")
		}
		if err := runIn(e.settings(), e.bulla, append(e.signing(key), "-a", fmt.Sprintf("n=%d", i), image)...); err != nil {
			return err
		}
	}
	args := []string{"verify", "--key", e.key("signer.pub"), "--insecure-ignore-tlog", image}
	share := [2]float64{1. / 3, 0.6}
	if n > 1 {
		share[1] = 1. / 5
	}
	return e.compare(comparison{
		what: fmt.Sprintf("verify, %d signed, %s", n, e.kind.name), allowed: int64(allowed), share: share, runs: fewRuns,
		args: func() ([]string, error) { return args, nil },
	})
}

// sign compares the signing of an image that has no signature, with a key file, whose password both programs have to make
// a key of first, and with a key from a key store.
func (e *registryBench) sign() error {
	file := e.key("signer.key")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// The derivation is nearly all there is to opening a key file. cosign's is that of golang.org/x/crypto.
	derive := []part{
		{"cosign's scrypt alone", func() error {
			debug.FreeOSMemory() // which takes a few milliseconds: cosign, too, begins with memory that it has to ask for
			_, err := scrypt.Key([]byte(password), []byte(password), 1<<16, 8, 1, 32)
			return err
		}},
		{"bulla's scrypt alone", func() error {
			_, err := keys.DecryptPEM(data, []byte(password))
			return err
		}},
	}
	for _, c := range []struct {
		with, key string
		beside    []part
	}{{"key file", file, derive}, {"key store", stored("signer"), nil}} {
		err := e.compare(comparison{
			what: fmt.Sprintf("sign, %s, %s", c.with, e.kind.name), allowed: e.kind.sign, share: [2]float64{1. / 3, 1. / 2}, runs: manyRuns,
			beside: c.beside,
			args: func() ([]string, error) {
				image, err := e.image()
				return append(e.signing(c.key), image), err
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copy compares the copying of a signed image within a registry. cosign leaves the bundle behind.
func (e *registryBench) copy() error {
	image, err := e.image()
	if err != nil {
		return err
	}
	if err := runIn(e.settings(), e.bulla, append(e.signing(stored("signer")), image)...); err != nil {
		return err
	}
	return e.compare(comparison{what: "copy, " + e.kind.name, runs: fewRuns, args: func() ([]string, error) {
		e.images++
		return []string{"copy", image, fmt.Sprintf("%s/bench-%d/copy:v1", e.at.addr, e.images)}, nil
	}})
}

// comparison is what both programs do.
type comparison struct {
	what    string
	args    func() ([]string, error) // of one run
	runs    int
	allowed int64      // requests; 0: no goal
	share   [2]float64 // of cosign's time that bulla may take, near and far; 0: no goal
	beside  []part     // of the work, shown in rows of their own
}

// part is a part of what a program does.
type part struct {
	who string
	do  func() error
}

// compare runs both programs in turn, near and far.
func (e *registryBench) compare(c comparison) error {
	for i, delay := range []time.Duration{0, slow} {
		e.at.delay.Store(int64(delay))
		t, err := e.take(c)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s, %d ms", c.what, delay.Milliseconds())
		for j, p := range e.programs() {
			r := row{what: what, who: filepath.Base(p), time: ms(t.runs[j].wall()), memory: fmt.Sprintf("%d requests", t.asked[j])}
			met := true
			if share := float64(t.runs[1].wall()) / float64(t.runs[0].wall()); p == e.bulla && c.share[i] > 0 {
				r.goal = fmt.Sprintf("<= %d, <= %.2f of cosign's time (%.2f)", c.allowed, c.share[i], share)
				met = t.asked[j] <= c.allowed && share <= c.share[i]
			}
			e.print(r, met)
		}
		for j, p := range c.beside {
			e.print(row{what: what, who: p.who, time: ms(t.beside[j].wall())}, true)
		}
	}
	e.at.delay.Store(0)
	return nil
}

// programs are what is compared: cosign, and bulla.
func (e *registryBench) programs() [2]string { return [2]string{e.cosign, e.bulla} }

// taken is the runs of both programs.
type taken struct {
	runs   [2]series
	asked  [2]int64 // by the last run
	beside []series
}

// take runs both programs in turn, so that what disturbs the machine disturbs either, after one run that warms up what can
// be warm.
func (e *registryBench) take(c comparison) (*taken, error) {
	t := &taken{beside: make([]series, len(c.beside))}
	for i := range c.runs + 1 {
		for j, program := range e.programs() {
			args, err := c.args()
			if err != nil {
				return nil, err
			}
			e.at.asked.Store(0)
			s, err := measure(append([]string{program}, args...), e.settings())
			if err != nil {
				return nil, err
			}
			if t.asked[j] = e.at.asked.Load(); i > 0 {
				t.runs[j] = append(t.runs[j], s)
			}
		}
		for j, p := range c.beside {
			start := time.Now()
			if err := p.do(); err != nil {
				return nil, err
			}
			if i > 0 {
				t.beside[j] = append(t.beside[j], sample{Wall: time.Since(start)})
			}
		}
	}
	return t, nil
}
