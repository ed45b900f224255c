package interop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
)

// sampled are the ways to fail that CI plays against real servers: those in which what the server did matters.
var sampled = []string{
	"dropped after it was done", "503 for a while", "429, come back in a second", "cut off once", "another's answer", "redirected to another host",
}

// failing is a service, and the proxy before it.
type failing struct {
	fault.Service
	proxy *fault.Proxy
}

// scene is real servers behind proxies, and a signer who knows them by these.
type scene struct {
	*stack
	config string
	failing
	entries func(t *testing.T, file string) int // of the log, about a file or about everything
	tokens  []string                            // that were handed out
}

// do signs a file, or attests to it, with a new token.
func (sc *scene) do(t *testing.T, d deed, subject []string, flags ...string) result {
	t.Helper()
	token := sc.token(t, identity)
	sc.tokens = append(sc.tokens, readFile(t, token))
	return theWorld.bulla.run(join(d.sign, []string{"--yes", "--signing-config", sc.config, "--trusted-root", sc.root, "--identity-token", token}, flags, subject)...)
}

// play fails in every way that is sampled, or with BULLA_SOAK in every way, while a file is signed or attested to.
func (sc *scene) play(t *testing.T, d deed) {
	stage := fault.NewStage(t, nil)
	sc.proxy.Fail(fault.Fault{Method: sc.Method, Path: sc.Path, Edit: stage.Keep})
	dir := t.TempDir()
	subject, _ := d.subjects(t, dir)
	sc.do(t, d.in(t, dir), subject).wantOK(t)
	for _, way := range fault.Ways() {
		faults := way.Make(sc.Service, stage)
		if faults == nil || os.Getenv("BULLA_SOAK") == "" && !slices.Contains(sampled, way.Name) {
			continue
		}
		t.Run(way.Name, func(t *testing.T) {
			dir := t.TempDir()
			d := d.in(t, dir)
			subject, _ := d.subjects(t, dir)
			bundle, file := subject[1], subject[2]
			before := sc.entries(t, file)
			sc.proxy.Fail(faults...)
			defer sc.proxy.Heal()
			r, want := sc.do(t, d, subject, way.Flags()...), fault.Wanted(sc.Name, way.Name)
			if r.code != want.Status || !regexp.MustCompile(want.Says).MatchString(r.stderr) {
				t.Errorf("want status %d and %q: %s", want.Status, want.Says, r)
			}
			if n := stage.Reached(); n != 0 {
				t.Errorf("another host got %d requests", n)
			}
			after := sc.entries(t, file) - before
			if r.code == 0 {
				theWorld.bulla.run(join(d.verify, sc.by(identity), subject)...).wantOK(t)
				if after != 1 {
					t.Errorf("one signature has %d entries", after)
				}
				return
			}
			if _, err := os.Stat(bundle); err == nil || after > 1 {
				t.Errorf("it failed and left a bundle (%v) and %d entries", err, after)
			}
		})
	}
}

// TestRealFaults plays the table of docs/design/faults.md against Fulcio, rekor-tiles and timestamp-authority, each behind a
// proxy.
func TestRealFaults(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	ca, log, tsa := fault.NewProxy(t, s.fulcio.URL), fault.NewProxy(t, withTiles(t, s)), fault.NewProxy(t, s.stamper.URL)
	sc := scene{stack: s, config: filepath.Join(s.dir, "proxied.json"), entries: func(t *testing.T, _ string) int {
		checkpoint, err := os.ReadFile(filepath.Join(realsigstore.Tiles(s.dir), "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.Split(string(checkpoint), "\n")[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}}
	s.configure(t, sc.config, places{CA: ca.URL, Log: log.URL, Version: 2, TSA: tsa.URL})
	sc.failures(t, log, tsa, []failing{
		{fault.Service{Name: "certificate authority", Method: "POST", Path: "/api/v2/signingCert"}, ca},
		{fault.Service{Name: "log v2", Method: "POST", Path: "/api/v2/log/entries"}, log},
		{fault.Service{Name: "timestamp authority", Method: "POST", Path: "/api/v1/timestamp"}, tsa},
	})
}

// TestRealRekorFaults does so with the log of the public instance, with a timestamp beside its word. What it has about a file
// its index says.
func TestRealRekorFaults(t *testing.T) {
	t.Parallel()
	p := sharedPublicLike(t)
	log, tsa := fault.NewProxy(t, p.logAt), fault.NewProxy(t, p.stamper.URL)
	sc := scene{stack: p.stack, config: filepath.Join(t.TempDir(), "proxied.json"), entries: func(t *testing.T, file string) int {
		return len(p.indexed(t, []byte(readFile(t, file))))
	}}
	p.configure(t, sc.config, places{CA: p.fulcio.URL, Log: log.URL, Version: 1, TSA: tsa.URL})
	sc.failures(t, log, tsa, []failing{
		{fault.Service{Name: "log v1", Method: "POST", Path: "/api/v1/log/entries"}, log},
		{fault.Service{Name: "timestamp authority", Method: "POST", Path: "/api/v1/timestamp"}, tsa},
	})
}

// failures plays what fails, while a file is signed and while it is attested to, and sees that the log and the timestamp
// authority were shown no credential.
func (sc *scene) failures(t *testing.T, log, tsa *fault.Proxy, all []failing) {
	for _, sc.failing = range all {
		for _, d := range deeds()[:2] {
			t.Run(sc.Name+"/"+d.name, func(t *testing.T) { sc.play(t, d) })
		}
	}
	if len(sc.tokens) == 0 {
		t.Error("no token was used")
	}
	for name, p := range map[string]*fault.Proxy{"log": log, "timestamp authority": tsa} {
		for _, r := range p.Requests() {
			shown := r.Authorization != ""
			for _, token := range sc.tokens {
				shown = shown || strings.Contains(string(r.Body), token)
			}
			if shown {
				t.Errorf("the %s was shown a credential: %s %s", name, r.Method, r.Path)
			}
		}
	}
}

// withTiles is the address of rekor-tiles as it is deployed, with its tiles beside it: it serves no reads itself.
func withTiles(t *testing.T, s *stack) string {
	t.Helper()
	to, err := url.Parse(s.log.URL)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v2/log/", fault.Forward(to))
	mux.Handle("/", http.FileServer(http.Dir(realsigstore.Tiles(s.dir))))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestRepositoryFaults puts a proxy before the TUF repository of an instance: what fails changes nothing, says why, and the
// next attempt works.
func TestRepositoryFaults(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	mirror, err := url.Parse(in.Mirror)
	if err != nil {
		t.Fatal(err)
	}
	proxy := fault.NewProxy(t, "http://"+mirror.Host)
	of := fault.Service{Name: "repository", Method: "GET", Path: mirror.Path}
	for _, way := range fault.Ways() {
		stage := fault.NewStage(t, nil)
		if slices.Contains([]string{"another's answer", "409"}, way.Name) { // GETs have no such answers
			continue
		}
		faults := way.Make(of, stage)
		if faults == nil {
			continue
		}
		t.Run(way.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tuf")
			p := theWorld.bulla.with("TUF_ROOT=" + dir)
			args := []string{"initialize", "--mirror", proxy.URL + mirror.Path, "--root", in.Root, "--root-checksum", in.RootSHA256}
			proxy.Fail(faults...)
			limited := args
			if way.Timeout > 0 {
				limited = append(slices.Clone(args), way.Flags()...)
			}
			r := p.run(limited...)
			proxy.Heal()
			if left := trusted(t, dir); r.code != 0 && (left || r.stderr == "") {
				t.Errorf("it failed and left something (%v): %s", left, r)
			}
			if always := faults[0].Times < 0; always && r.code == 0 {
				t.Errorf("it succeeded although nothing was answered: %s", r)
			}
			if n := stage.Reached(); n != 0 {
				t.Errorf("another host got %d requests", n)
			}
			p.run(args...).wantOK(t)
			if !trusted(t, dir) {
				t.Error("nothing was set up")
			}
		})
	}
}

// trusted says whether a folder holds a trusted root.
func trusted(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		found = found || err == nil && strings.Contains(d.Name(), "trusted_root")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
