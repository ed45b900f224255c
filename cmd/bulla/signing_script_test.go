package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
)

// signingScripts are the commands that scripts have beside the program: they act on registries in memory, one with the
// referrers API and one without.
type signingScripts struct {
	api, tags *testenv.Registry
	t         *testing.T
}

// TestSigningScript runs every testdata/signing/*.txt. There, $API and $TAGS are the hosts of two registries.
func TestSigningScript(t *testing.T) {
	t.Parallel()
	s := &signingScripts{
		api:  testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, OCISubject: true}),
		tags: testenv.NewRegistry(t, testenv.RegistryOptions{}), t: t,
	}
	testscript.Run(t, watched(testscript.Params{
		Dir:           filepath.Join("testdata", "signing"),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("API", s.api.Host)
			env.Setenv("TAGS", s.tags.Host)
			env.Setenv("COSIGN_PASSWORD", "pw")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("HTTPS_PROXY", nowhere)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image": s.image, "index": s.index, "manifest": s.manifest, "count": s.count, "exits": s.exits,
			"certificates": s.certificates, "replace": s.replace, "readenv": readEnv, "keypair": keyPairFiles,
		},
	}, "image"))
}

func (s *signingScripts) registry(host string) *testenv.Registry {
	if host == s.api.Host {
		return s.api
	}
	return s.tags
}

// image VAR HOST/REPOSITORY:TAG pushes an image and puts its reference by digest into VAR, the digest's hexadecimal part
// into VAR_HEX.
func (s *signingScripts) image(ts *testscript.TestScript, _ bool, args []string) {
	host, ref, _ := strings.Cut(args[1], "/")
	s.set(ts, args[0], s.registry(host).PushImage(s.t, ref))
}

// index VAR HOST/REPOSITORY:TAG N pushes an index of N images; they get the variables VAR0, VAR1 and so on.
func (s *signingScripts) index(ts *testscript.TestScript, _ bool, args []string) {
	host, ref, _ := strings.Cut(args[1], "/")
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	index, images := s.registry(host).PushIndex(s.t, ref, n)
	s.set(ts, args[0], index)
	for i, img := range images {
		s.set(ts, args[0]+strconv.Itoa(i), img)
	}
}

func (s *signingScripts) set(ts *testscript.TestScript, name, ref string) {
	ts.Setenv(name, ref)
	_, hex, _ := strings.Cut(ref, "sha256:")
	ts.Setenv(name+"_HEX", hex)
}

// manifest HOST/REPOSITORY REFERENCE FILE writes what a registry holds to a file; negated, it holds nothing.
func (s *signingScripts) manifest(ts *testscript.TestScript, neg bool, args []string) {
	host, repo, _ := strings.Cut(args[0], "/")
	data := s.registry(host).ReadManifest(repo, args[1])
	switch {
	case neg && data != nil:
		ts.Fatalf("%s has %s", args[0], args[1])
	case neg:
	case data == nil:
		ts.Fatalf("%s does not have %s", args[0], args[1])
	default:
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), data, 0o600))
	}
}

// count FILE TEXT N counts how often a text is in a file.
func (s *signingScripts) count(ts *testscript.TestScript, _ bool, args []string) {
	if got := strings.Count(ts.ReadFile(args[0]), args[1]); strconv.Itoa(got) != args[2] {
		ts.Fatalf("%q is %d times in %s, want %s", args[1], got, args[0], args[2])
	}
}

// exits N PROGRAM ARGUMENT... runs a program that must end with status N.
func (s *signingScripts) exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with status %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// certificates writes a key (leaf.pem), its certificate (leaf.crt, leaf.der), what is above it (chain.crt), the trusted
// root that knows all that (root.json), and one that does not (other.json).
func (s *signingScripts) certificates(ts *testscript.TestScript, _ bool, _ []string) {
	w := world.New(s.t)
	key := mint.NewKey(s.t, algorithm.ECDSAP256SHA256)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	leaf := w.CA.Issue(s.t, mint.LeafOptions{
		Public: key.Public(), SANs: []identity.SAN{{Kind: identity.Email, Value: "signer@bulla.test"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	})
	for name, data := range map[string][]byte{
		"leaf.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "leaf.der": leaf, "leaf.crt": mint.PEM(leaf),
		"chain.crt": append(mint.PEM(w.CA.Intermediate.Raw), mint.PEM(w.CA.Root.Raw)...),
		"root.json": w.RootJSON(s.t), "other.json": world.New(s.t).RootJSON(s.t),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600))
	}
}

// replace HOST/REPOSITORY TAG replaces the list under a referrers tag with an empty one, as a program that does not look may.
func (s *signingScripts) replace(ts *testscript.TestScript, _ bool, args []string) {
	host, repo, _ := strings.Cut(args[0], "/")
	const index = "application/vnd.oci.image.index.v1+json"
	s.registry(host).PushManifest(s.t, repo, args[1], index, []byte(`{"schemaVersion":2,"mediaType":"`+index+`","manifests":[]}`))
}

// readenv FILE sets the variables of a file of lines NAME=VALUE.
func readEnv(ts *testscript.TestScript, _ bool, args []string) {
	for _, line := range strings.Fields(ts.ReadFile(args[0])) {
		name, value, _ := strings.Cut(line, "=")
		ts.Setenv(name, value)
	}
}
