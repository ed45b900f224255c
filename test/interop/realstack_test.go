package interop

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"

	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
)

// stack is Fulcio, rekor-tiles and timestamp-authority beside one of our instances, which is their identity provider and
// CT log: Fulcio issues with the key and the chain of the instance's own authority, read from the files of its state.
type stack struct {
	*instance
	dir             string
	root, services  string // trusted root and signing config, made with bulla
	ctlog, ctKey    string // the CT log's address and its key's file
	stamped         bool   // signatures get timestamps
	logAt           string // the log's address
	fulcio, stamper *realsigstore.Server
	log             *realsigstore.Log
}

var theStamper struct {
	once sync.Once
	*realsigstore.Server
	err error
}

// sharedStamper is timestamp-authority, one for all tests: it has its metrics on port 2112, whatever it is told. So has Rekor
// v1, which does without where the port is taken, and so must start after it.
func sharedStamper(t *testing.T) *realsigstore.Server {
	t.Helper()
	theStamper.once.Do(func() {
		theStamper.Server, theStamper.err = realsigstore.TimestampAuthority(os.Stderr)
		if theStamper.err == nil {
			theWorld.atEnd(theStamper.Kill)
		}
	})
	if theStamper.err != nil {
		t.Fatal(theStamper.err)
	}
	return theStamper.Server
}

// startStack starts a stack of the test's own, which counts what is in the log.
func startStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{dir: t.TempDir()}
	s.start(t, t.Cleanup)
	return s
}

var theStack struct {
	once sync.Once
	*stack
}

// sharedStack is one stack for all tests that only sign and verify.
func sharedStack(t *testing.T) *stack {
	t.Helper()
	theStack.once.Do(func() {
		dir, err := os.MkdirTemp(theWorld.dir, "stack-")
		if err != nil {
			t.Fatal(err)
		}
		s := &stack{dir: dir}
		s.start(t, theWorld.atEnd)
		theStack.stack = s
	})
	if theStack.stack == nil {
		t.Fatal("the servers did not start; another test says why")
	}
	return theStack.stack
}

func (s *stack) start(t *testing.T, atEnd func(func())) {
	t.Helper()
	state := filepath.Join(s.dir, "up")
	var err error
	if s.instance, err = startInstance(bullaServer(t), "--dir", state, "--port", "0"); err != nil {
		t.Fatal(err)
	}
	atEnd(s.instance.stop)
	ct := the(t, s.published(t).CTLogs())
	keys, err := filepath.Glob(filepath.Join(state, "keys", "ca-2*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("the authority has the keys %v, %v", keys, err)
	}
	password, err := os.ReadFile(filepath.Join(state, "password"))
	if err != nil {
		t.Fatal(err)
	}
	s.ctlog, s.ctKey = ct.BaseURL, s.public(t, "ct", ct.PublicKey)
	if s.fulcio, err = realsigstore.CertificateAuthority(s.dir, realsigstore.Authority{
		Issuer: s.Issuer, CTLog: s.ctlog, CTLogKey: s.ctKey,
		Chain: s.file(t, "chain.pem", get(t, s.URL+"/api/v1/rootCert")), Key: keys[0], Password: strings.TrimSpace(string(password)),
	}, os.Stderr); err != nil {
		t.Fatal(err)
	}
	atEnd(s.fulcio.Kill)
	s.stamper = sharedStamper(t)
	if s.log, err = realsigstore.TransparencyLog(s.dir, realsigstore.LogSettings{Checkpoints: time.Second, BatchAge: 100 * time.Millisecond}, os.Stderr); err != nil {
		t.Fatal(err)
	}
	atEnd(s.log.Kill)
	s.logAt = s.log.URL
	s.describe(t)
}

func (s *stack) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *stack) public(t *testing.T, name string, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s.file(t, name+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// describe makes the trusted root and the signing config of what the servers publish about themselves.
func (s *stack) describe(t *testing.T) {
	t.Helper()
	s.trustWith(t, fmt.Sprintf("url=%s,public-key=%s,start-time=%s,origin=%s", s.log.URL, s.public(t, "log", s.log.Key), began(), s.log.Origin))
	s.services, s.stamped = filepath.Join(s.dir, "signing-config.json"), true
	s.configure(t, s.services, places{CA: s.fulcio.URL, Log: s.log.URL, Version: 2, TSA: s.stamper.URL})
}

// began is from when on the services are trusted and used.
func began() string { return time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) }

// trustWith makes the trusted root, with one log.
func (s *stack) trustWith(t *testing.T, log string) {
	t.Helper()
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(get(t, s.fulcio.URL+"/api/v2/trustBundle"), &bundle); err != nil || len(bundle.Chains) != 1 {
		t.Fatalf("Fulcio publishes %d chains, %v", len(bundle.Chains), err)
	}
	issuing := s.file(t, "fulcio.pem", []byte(strings.Join(bundle.Chains[0].Certificates, "\n")))
	stamping := s.file(t, "tsa.pem", get(t, s.stamper.URL+"/api/v1/timestamp/certchain"))
	s.root = filepath.Join(s.dir, "trusted-root.json")
	theWorld.bulla.run("trusted-root", "create", "--out", s.root,
		"--fulcio", fmt.Sprintf("url=%s,certificate-chain=%s,start-time=%s", s.fulcio.URL, issuing, began()),
		"--ctfe", fmt.Sprintf("url=%s,public-key=%s,start-time=%s", s.ctlog, s.ctKey, began()),
		"--rekor", log,
		"--tsa", fmt.Sprintf("url=%s,certificate-chain=%s,start-time=%s", s.stamper.URL, stamping, began()),
	).wantOK(t)
}

// places are the addresses of services; without a TSA nothing is timestamped.
type places struct {
	CA, Log string
	Version int // of the log
	TSA     string
}

// configure makes a signing config.
func (s *stack) configure(t *testing.T, file string, at places) {
	t.Helper()
	args := []string{
		"signing-config", "create", "--out", file,
		"--fulcio", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", at.CA, began()),
		"--rekor", fmt.Sprintf("url=%s,api-version=%d,start-time=%s,operator=test", at.Log, at.Version, began()), "--rekor-config", "EXACT:1",
		"--oidc-provider", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", s.Issuer, began()),
	}
	if at.TSA != "" {
		args = append(args, "--tsa", fmt.Sprintf("url=%s/api/v1/timestamp,api-version=1,start-time=%s,operator=test", at.TSA, began()), "--tsa-config", "EXACT:1")
	}
	theWorld.bulla.run(args...).wantOK(t)
}

// with are the flags that have a signature made by the servers of the stack.
func (s *stack) with() []string {
	return []string{"--yes", "--trusted-root", s.root, "--signing-config", s.services}
}

// by are the flags that have a signature verified.
func (s *stack) by(who string) []string {
	return []string{"--trusted-root", s.root, "--certificate-identity", who, "--certificate-oidc-issuer", s.Issuer}
}

// TestRealServers signs with bulla and with cosign by Fulcio, rekor-tiles and timestamp-authority as they are, and has
// both verify it: everything that can be signed, by certificate and by key. Certificates are in our CT log.
func TestRealServers(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	for _, signer := range []*program{theWorld.bulla, theWorld.cosign} {
		for _, d := range deeds() {
			t.Run(signer.name+"/"+d.name, func(t *testing.T) { s.everybody(t, signer, d) })
		}
	}
	// Each program got four certificates, and Fulcio had each of them logged.
	log, err := client.New(s.ctlog, http.DefaultClient, jsonclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	headWith(t, log, 7)
}
