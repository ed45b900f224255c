package interop

import (
	"fmt"
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
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
)

// sampled are the ways to fail that CI plays against real servers: those in which what the server did matters.
var sampled = []string{
	"dropped after it was done", "503 for a while", "429, come back in a second", "cut off once", "another's answer", "redirected to another host",
}

// TestRealFaults plays the table of docs/design/faults.md against Fulcio, rekor-tiles and timestamp-authority, each behind a
// proxy.
func TestRealFaults(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	start := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	ca, log, tsa := fault.NewProxy(t, s.fulcio.URL), fault.NewProxy(t, withTiles(t, s)), fault.NewProxy(t, s.stamper.URL)
	config := filepath.Join(s.dir, "proxied.json")
	theWorld.bulla.run("signing-config", "create", "--out", config,
		"--fulcio", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", ca.URL, start),
		"--rekor", fmt.Sprintf("url=%s,api-version=2,start-time=%s,operator=test", log.URL, start), "--rekor-config", "EXACT:1",
		"--tsa", fmt.Sprintf("url=%s/api/v1/timestamp,api-version=1,start-time=%s,operator=test", tsa.URL, start), "--tsa-config", "EXACT:1",
	).wantOK(t)
	artifact := s.file(t, "artifact.txt", []byte("what was shipped\n"))
	sign := func(t *testing.T, bundle string, flags ...string) result {
		return theWorld.bulla.run(join([]string{"sign-blob", "--yes", "--signing-config", config, "--trusted-root", s.root, "--identity-token", s.token(t, identity), "--bundle", bundle}, flags, []string{artifact})...)
	}
	size := func(t *testing.T) int {
		checkpoint, err := os.ReadFile(filepath.Join(realsigstore.Tiles(s.dir), "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.Split(string(checkpoint), "\n")[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, of := range []struct {
		fault.Service
		proxy *fault.Proxy
	}{
		{fault.Service{Name: "certificate authority", Method: "POST", Path: "/api/v2/signingCert"}, ca},
		{fault.Service{Name: "log v2", Method: "POST", Path: "/api/v2/log/entries"}, log},
		{fault.Service{Name: "timestamp authority", Method: "POST", Path: "/api/v1/timestamp"}, tsa},
	} {
		t.Run(of.Name, func(t *testing.T) {
			stage := fault.NewStage(t, nil)
			of.proxy.Fail(fault.Fault{Method: of.Method, Path: of.Path, Edit: stage.Keep})
			sign(t, filepath.Join(t.TempDir(), "first.json")).wantOK(t)
			for _, way := range fault.Ways() {
				faults := way.Make(of.Service, stage)
				if faults == nil || os.Getenv("BULLA_SOAK") == "" && !slices.Contains(sampled, way.Name) {
					continue
				}
				t.Run(way.Name, func(t *testing.T) {
					bundle, before := filepath.Join(t.TempDir(), "out.json"), size(t)
					of.proxy.Fail(faults...)
					defer of.proxy.Heal()
					r, want := sign(t, bundle, way.Flags()...), fault.Wanted(of.Name, way.Name)
					if r.code != want.Status || !regexp.MustCompile(want.Says).MatchString(r.stderr) {
						t.Errorf("want status %d and %q: %s", want.Status, want.Says, r)
					}
					if n := stage.Reached(); n != 0 {
						t.Errorf("another host got %d requests", n)
					}
					if r.code == 0 {
						theWorld.bulla.run(join([]string{"verify-blob", "--bundle", bundle}, s.by(identity), []string{artifact})...).wantOK(t)
						if after := size(t); after != before+1 {
							t.Errorf("one signature has %d entries", after-before)
						}
					} else if _, err := os.Stat(bundle); err == nil {
						t.Errorf("it failed and left a bundle")
					}
				})
			}
		})
	}
	for name, p := range map[string]*fault.Proxy{"log": log, "timestamp authority": tsa} {
		for _, r := range p.Requests() {
			if r.Authorization != "" || strings.Contains(string(r.Body), "eyJ") { // how every token begins
				t.Errorf("the %s was shown a credential", name)
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
