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

func startStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{dir: t.TempDir()}
	state := filepath.Join(s.dir, "up")
	var err error
	if s.instance, err = startInstance(bullaServer(t), "--dir", state, "--port", "0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.instance.stop)
	ct := the(t, s.published(t).CTLogs())
	keys, err := filepath.Glob(filepath.Join(state, "keys", "ca-2*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("the authority has the keys %v, %v", keys, err)
	}
	password, err := os.ReadFile(filepath.Join(state, "password"))
	if err != nil {
		t.Fatal(err)
	}
	if s.fulcio, err = realsigstore.CertificateAuthority(s.dir, realsigstore.Authority{
		Issuer: s.Issuer, CTLog: ct.BaseURL, CTLogKey: s.public(t, "ct", ct.PublicKey),
		Chain: s.file(t, "chain.pem", get(t, s.URL+"/api/v1/rootCert")), Key: keys[0], Password: strings.TrimSpace(string(password)),
	}, os.Stderr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.fulcio.Kill)
	s.stamper = sharedStamper(t)
	if s.log, err = realsigstore.TransparencyLog(s.dir, realsigstore.LogSettings{Checkpoints: time.Second, BatchAge: 100 * time.Millisecond}, os.Stderr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.log.Kill)
	s.describe(t, ct.BaseURL)
	return s
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
func (s *stack) describe(t *testing.T, ct string) {
	t.Helper()
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(get(t, s.fulcio.URL+"/api/v2/trustBundle"), &bundle); err != nil || len(bundle.Chains) != 1 {
		t.Fatalf("Fulcio publishes %d chains, %v", len(bundle.Chains), err)
	}
	issuing := s.file(t, "fulcio.pem", []byte(strings.Join(bundle.Chains[0].Certificates, "\n")))
	stamping := s.file(t, "tsa.pem", get(t, s.stamper.URL+"/api/v1/timestamp/certchain"))
	start := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	s.root, s.services = filepath.Join(s.dir, "trusted-root.json"), filepath.Join(s.dir, "signing-config.json")
	theWorld.bulla.run("trusted-root", "create", "--out", s.root,
		"--fulcio", fmt.Sprintf("url=%s,certificate-chain=%s,start-time=%s", s.fulcio.URL, issuing, start),
		"--ctfe", fmt.Sprintf("url=%s,public-key=%s,start-time=%s", ct, filepath.Join(s.dir, "ct.pub"), start),
		"--rekor", fmt.Sprintf("url=%s,public-key=%s,start-time=%s,origin=%s", s.log.URL, s.public(t, "log", s.log.Key), start, s.log.Origin),
		"--tsa", fmt.Sprintf("url=%s,certificate-chain=%s,start-time=%s", s.stamper.URL, stamping, start),
	).wantOK(t)
	theWorld.bulla.run("signing-config", "create", "--out", s.services,
		"--fulcio", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", s.fulcio.URL, start),
		"--rekor", fmt.Sprintf("url=%s,api-version=2,start-time=%s,operator=test", s.log.URL, start), "--rekor-config", "EXACT:1",
		"--tsa", fmt.Sprintf("url=%s/api/v1/timestamp,api-version=1,start-time=%s,operator=test", s.stamper.URL, start), "--tsa-config", "EXACT:1",
		"--oidc-provider", fmt.Sprintf("url=%s,api-version=1,start-time=%s,operator=test", s.Issuer, start),
	).wantOK(t)
}

// with are the flags that have a signature made by the servers of the stack.
func (s *stack) with() []string {
	return []string{"--yes", "--trusted-root", s.root, "--signing-config", s.services}
}

func (s *stack) as(t *testing.T) []string {
	t.Helper()
	return append(s.with(), "--identity-token", s.token(t, identity))
}

func (s *stack) by(who string) []string {
	return []string{"--trusted-root", s.root, "--certificate-identity", who, "--certificate-oidc-issuer", s.Issuer}
}

// TestRealServers signs with bulla and with cosign by Fulcio, rekor-tiles and timestamp-authority as they are, and has
// both verify it. Certificates are in our CT log.
func TestRealServers(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	programs := []*program{theWorld.bulla, theWorld.cosign}
	for _, signer := range programs {
		t.Run(signer.name+"/blob", func(t *testing.T) { s.blobs(t, signer, programs) })
		t.Run(signer.name+"/key", func(t *testing.T) { s.keyed(t, signer, programs) })
		t.Run(signer.name+"/image", func(t *testing.T) { s.images(t, signer, programs) })
	}
	// Each program got four certificates, and Fulcio had each of them logged.
	log, err := client.New(the(t, s.published(t).CTLogs()).BaseURL, http.DefaultClient, jsonclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	headWith(t, log, uint64(len(programs)*4-1))
}

func (s *stack) blobs(t *testing.T, signer *program, verifiers []*program) {
	artifact, bundle := toSign(t)
	other, attestation := filepath.Join(t.TempDir(), "other.txt"), filepath.Join(t.TempDir(), "attestation.json")
	if err := os.WriteFile(other, []byte("what was slipped in\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	predicate := s.file(t, "predicate.json", []byte(`{"built":true}`))
	typed := []string{"--type", predicateType}
	signer.run(join([]string{"sign-blob", "--bundle", bundle}, s.as(t), []string{artifact})...).wantOK(t)
	signer.run(join([]string{"attest-blob", "--bundle", attestation, "--predicate", predicate}, typed, s.as(t), []string{artifact})...).wantOK(t)
	for _, v := range verifiers {
		blob, statement := []string{"verify-blob", "--bundle", bundle}, join([]string{"verify-blob-attestation", "--bundle", attestation}, typed)
		v.run(join(blob, s.by(identity), []string{artifact})...).wantOK(t)
		v.run(join(statement, s.by(identity), []string{artifact})...).wantOK(t)
		v.run(join(blob, s.by(identity), []string{other})...).wantRefused(t)
		v.run(join(statement, s.by(identity), []string{other})...).wantRefused(t)
		v.run(join(blob, s.by("mallory@example.com"), []string{artifact})...).wantRefused(t)
		// The instance has the same authority, but another log and another timestamp authority.
		here := s.trusting(t, v)
		here.run(join(blob, []string{"--certificate-identity", identity, "--certificate-oidc-issuer", s.Issuer}, []string{artifact})...).wantRefused(t)
	}
}

// keyed: signatures with a key are timestamped and logged as well.
func (s *stack) keyed(t *testing.T, signer *program, verifiers []*program) {
	key := theWorld.key(t, signer, algorithms()[0], "real")
	other := theWorld.key(t, signer, algorithms()[0], "another")
	artifact, bundle := toSign(t)
	signer.run(join([]string{"sign-blob", "--key", key.private, "--bundle", bundle}, s.with(), []string{artifact})...).wantOK(t)
	var made struct {
		VerificationMaterial struct {
			TlogEntries               []struct{ InclusionProof json.RawMessage }
			TimestampVerificationData struct{ RFC3161Timestamps []json.RawMessage }
		}
	}
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	if m := made.VerificationMaterial; len(m.TlogEntries) != 1 || len(m.TimestampVerificationData.RFC3161Timestamps) != 1 {
		t.Errorf("the bundle has %d log entries and %d timestamps", len(m.TlogEntries), len(m.TimestampVerificationData.RFC3161Timestamps))
	}
	for _, v := range verifiers {
		verify := func(public string) result {
			return v.run("verify-blob", "--key", public, "--bundle", bundle, "--trusted-root", s.root, artifact)
		}
		verify(key.public).wantOK(t)
		verify(other.public).wantRefused(t)
		v.run("verify-blob", "--key", key.public, "--bundle", bundle, "--trusted-root", theWorld.trustedRoot(), artifact).wantRefused(t)
	}
}

func (s *stack) images(t *testing.T, signer *program, verifiers []*program) {
	repository := fmt.Sprintf("%s/real-%08x/app", theWorld.fallback, random32(t))
	image, other := push(t, repository+":v1"), push(t, repository+":v2")
	predicate := s.file(t, "predicate.json", []byte(`{"built":true}`))
	typed := []string{"--type", predicateType}
	signer.run(join([]string{"sign"}, s.as(t), []string{image})...).wantOK(t)
	signer.run(join([]string{"attest", "--predicate", predicate}, typed, s.as(t), []string{image})...).wantOK(t)
	for _, v := range verifiers {
		v.run(join([]string{"verify"}, s.by(identity), []string{image})...).wantOK(t)
		v.run(join([]string{"verify-attestation"}, typed, s.by(identity), []string{image})...).wantOK(t)
		v.run(join([]string{"verify"}, s.by("mallory@example.com"), []string{image})...).wantRefused(t)
		v.run(join([]string{"verify"}, s.by(identity), []string{other})...).wantRefused(t)
	}
}
