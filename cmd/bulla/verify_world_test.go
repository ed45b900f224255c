package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/oci"
)

// TestVerifyScript runs every testdata/verify/*.txt, in which there is a signing world with its trust material in
// $TRUST (root.json, ca.pem, tsa.pem, rekor.pub, ctlog.pub), and these commands besides testscript's:
//
//	status N PROGRAM ARGS...     run, and demand this exit status
//	sign NAME ARTIFACT [WORD...] make evidence about a file, or about an image named by $IMAGE-like reference; see signSpec
//	registry [referrers|tls|auth] start a registry; $REG is its host, registry.pem its certificate, me:secret who may use it
//	image VAR REPO:TAG           push an image; $VAR is its name by digest
//	attach IMAGE NAME            attach the bundle NAME.json as a referrer, or what lies in NAME.layer by tag
//	fault [KEY=VALUE...]         make the registry fail; without arguments, heal it
//	requests N                   demand that the registry was asked at most N times since the last requests
//	serve                        serve the working directory's files; $URL is where
//	detached NAME FILE           write a detached certificate timestamp for NAME's certificate
//	statement IMAGE FILE K=V...  write the statement of a signature of the image, with annotations
//	simple IMAGE FILE K=V...     write the older document of one
//	moved IMAGE IMAGE sig|att    copy what lies under the older tag of one image to another's
//	bare NAME NAME               make evidence out of other evidence by leaving out its certificate
//	given FILE VAR               set $VAR to what the file holds
//	plain stdout|stderr FILE     copy the last output to FILE, with what differs from run to run masked
func TestVerifyScript(t *testing.T) {
	t.Parallel()
	vectors := testenv.Vectors(t)
	testscript.Run(t, watched(testscript.Params{
		Dir:           filepath.Join("testdata", "verify"),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("VECTORS", vectors)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("HTTPS_PROXY", nowhere)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
			env.Setenv("TRUST", filepath.Join(env.WorkDir, "trust"))
			env.Setenv("ESC", "\x1b")
			s := &stage{t: t, world: world.New(t), keys: map[string]crypto.Signer{}, made: map[string]*bundle.Bundle{}}
			env.Values[stageKey{}] = s
			return s.writeTrust(filepath.Join(env.WorkDir, "trust"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": runStatus, "sign": runSign, "registry": runRegistry, "image": runImage, "attach": runAttach,
			"fault": runFault, "plain": runPlain, "requests": runRequests, "serve": runServe,
			"detached": runDetached, "bare": runBare, "given": runGiven, "statement": runStatement, "simple": runSimple, "moved": runMoved,
		},
	}, "image", "doctor"))
}

type stageKey struct{}

// stage is what one script plays on.
type stage struct {
	t     *testing.T
	world *world.World
	reg   *testenv.Registry
	keys  map[string]crypto.Signer
	made  map[string]*bundle.Bundle
}

func on(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func (s *stage) writeTrust(dir string) error {
	var ca, tsa [][]byte
	for _, c := range s.world.CA.Chain() {
		ca = append(ca, c.Raw)
	}
	for _, c := range s.world.TSA.Chain() {
		tsa = append(tsa, c.Raw)
	}
	files := map[string][]byte{
		"root.json": s.world.RootJSON(s.t), "ca.pem": mint.PEM(ca...), "tsa.pem": mint.PEM(tsa...),
		"ca-root.pem": mint.PEM(s.world.CA.Root.Raw), "ca-intermediate.pem": mint.PEM(s.world.CA.Intermediate.Raw),
		"rekor.pub": mintPEM(s.t, s.world.V1.Key.Public()), "ctlog.pub": mintPEM(s.t, s.world.CTLog.Key.Public()),
		"other.json": world.New(s.t).RootJSON(s.t),
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func mintPEM(t testing.TB, pub crypto.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mint.SPKI(t, pub)})
}

// runStatus runs a program and demands an exit status.
func runStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// runSign makes evidence and writes it in every form that it has.
func runSign(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: sign NAME ARTIFACT [WORD...]")
	}
	s := on(ts)
	name := args[0]
	var artifact []byte
	if _, digest, isImage := strings.Cut(args[1], "@"); isImage {
		repo := strings.TrimPrefix(strings.TrimSuffix(args[1], "@"+digest), s.reg.Host+"/")
		artifact = s.reg.ReadManifest(repo, digest)
	} else {
		artifact = []byte(ts.ReadFile(args[1]))
	}
	spec := s.spec(ts, artifact, args[2:])
	b, _, pub := s.world.Bundle(s.t, spec)
	s.made[name] = b
	for suffix, data := range forms(s.t, b, pub) {
		ts.Check(os.WriteFile(ts.MkAbs(name+suffix), data, 0o644))
	}
}

// forms returns the files that evidence can be written as, by suffix.
func forms(t testing.TB, b *bundle.Bundle, pub crypto.PublicKey) map[string][]byte {
	out := map[string][]byte{}
	if pub != nil {
		out[".pub"] = mintPEM(t, pub)
	}
	if data, err := b.Encode(); err == nil {
		out[".json"] = data
	}
	if data, err := b.CosignBlob(); err == nil {
		out[".cosign"] = data
	}
	if certs := b.Material.Certificates; len(certs) > 0 {
		out[".crt"] = mint.PEM(certs[0])
	}
	if ts := b.Material.Timestamps; len(ts) > 0 {
		out[".tsr"] = ts[0]
	}
	switch {
	case b.Envelope != nil:
		if data, err := b.Envelope.Encode(); err == nil {
			out[".envelope"] = data
		}
	default:
		out[".signature"] = fmt.Appendf(nil, "%s\n", base64Of(b.Message.Signature))
		if b.Message.Payload != nil {
			out[".payload"] = b.Message.Payload
		}
		if _, _, annotations, err := b.Layer(); err == nil && annotations["dev.sigstore.cosign/bundle"] != "" {
			out[".rekor"] = []byte(annotations["dev.sigstore.cosign/bundle"])
		}
	}
	return out
}

func base64Of(data []byte) string {
	out, _ := json.Marshal(data) // bytes always can
	return strings.Trim(string(out), `"`)
}

// spec reads the words of sign: key or cert; statement or simple (else the file itself); set, v1 or v2 for the log; tsa;
// nosct; alg=, signer= (a key by name, made once), email=, uri=, issuer=, type=, predicate=, optional=, version=, claim:NAME=.
func (s *stage) spec(ts *testscript.TestScript, artifact []byte, words []string) world.Spec {
	spec := world.Spec{Artifact: artifact}
	kind, predicate := world.PredicateType, "{}"
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "key":
		case "cert":
			spec.Signer = world.Cert
		case "statement":
			spec.Content = world.Statement
		case "simple":
			spec.Content = world.SimpleSigning
		case "set":
			spec.Log = world.LogV1SET
		case "v1":
			spec.Log = world.LogV1
		case "v2":
			spec.Log = world.LogV2
		case "tsa":
			spec.Timestamp = true
		case "nosct":
			spec.NoSCT = true
		case "alg":
			details, ok := algorithm.ParseDetails(value)
			if !ok {
				ts.Fatalf("unknown algorithm %s", value)
			}
			spec.Algorithm = details
		case "signer":
			if s.keys[value] == nil {
				s.keys[value] = mint.NewKey(s.t, algorithm.ECDSAP256SHA256)
			}
			spec.Key = s.keys[value]
		case "email":
			spec.Leaf.SANs = append(spec.Leaf.SANs, identity.SAN{Kind: identity.Email, Value: value})
		case "uri":
			spec.Leaf.SANs = append(spec.Leaf.SANs, identity.SAN{Kind: identity.URI, Value: value})
		case "dns":
			spec.Leaf.SANs = append(spec.Leaf.SANs, identity.SAN{Kind: identity.DNS, Value: value})
		case "issuer":
			spec.Leaf.Issuer = value
		case "now":
			spec.Time = time.Now().UTC().Truncate(time.Second)
			spec.Leaf.NotBefore = spec.Time.Add(-time.Minute)
		case "type":
			kind = value
		case "predicate":
			predicate = value
		case "payload":
			spec.Payload = []byte(ts.ReadFile(value))
		case "version":
			spec.Version = map[string]bundle.Version{"0.1": bundle.V01, "0.2": bundle.V02, "0.3": bundle.V03, "cosign": bundle.Cosign}[value]
		default:
			claim, ok := strings.CutPrefix(name, "claim:")
			if !ok {
				ts.Fatalf("sign: unknown word %s", word)
			}
			if spec.Leaf.Extensions == nil {
				spec.Leaf.Extensions = map[string]string{}
			}
			spec.Leaf.Extensions[claim] = value
		}
	}
	if spec.Content == world.Statement && spec.Payload == nil {
		spec.Payload = world.StatementFor(artifact, kind, predicate)
	}
	return spec
}

func runRegistry(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	var o testenv.RegistryOptions
	for _, arg := range args {
		switch arg {
		case "referrers":
			o.Referrers = true
		case "tls":
			o.TLS = true
		case "auth":
			o.User, o.Password = "me", "secret"
		default:
			ts.Fatalf("registry: unknown word %s", arg)
		}
	}
	s.reg = testenv.NewRegistry(s.t, o)
	ts.Setenv("REG", s.reg.Host)
	if o.TLS {
		ts.Check(os.WriteFile(ts.MkAbs("registry.pem"), mint.PEM(s.reg.Server.Certificate().Raw), 0o644))
	}
}

func runImage(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: image VAR REPO:TAG")
	}
	ts.Setenv(args[0], on(ts).reg.PushImage(on(ts).t, args[1]))
}

// runAttach attaches evidence as cosign does: bundles as referrers, what was converted from older formats by tag.
func runAttach(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: attach IMAGE NAME")
	}
	s := on(ts)
	o := oci.Options{Settle: time.Millisecond, AllowInsecure: true, Repository: ts.Getenv("ATTACH_REPOSITORY"), TagPrefix: ts.Getenv("ATTACH_PREFIX")}
	if ts.Getenv("ATTACH_AUTH") != "" {
		o.Username, o.Password = "me", "secret"
	}
	client, err := oci.New(o)
	ts.Check(err)
	ctx := context.Background()
	img, err := client.Resolve(ctx, args[0])
	ts.Check(err)
	b := s.made[args[1]]
	if b == nil { // whatever the file holds
		_, err = client.AttachBundle(ctx, img, oci.AttachOptions{Bundle: []byte(ts.ReadFile(args[1])), ContentKind: oci.ContentDSSE, Created: time.Now()})
		ts.Check(err)
		return
	}
	if b.Version == bundle.Cosign || b.Envelope == nil {
		payload, mediaType, annotations, err := b.Layer()
		ts.Check(err)
		suffix := map[bool]string{true: "att", false: "sig"}[b.Envelope != nil]
		_, err = client.AttachLayer(ctx, img, oci.LayerOptions{Suffix: suffix, Payload: payload, MediaType: mediaType, Annotations: annotations})
		ts.Check(err)
		return
	}
	data, err := b.Encode()
	ts.Check(err)
	statement, err := bundle.ParseStatement(b.Envelope.Payload)
	ts.Check(err)
	_, err = client.AttachBundle(ctx, img, oci.AttachOptions{
		Bundle: data, ContentKind: oci.ContentDSSE, PredicateType: statement.PredicateType, Created: time.Now(),
	})
	ts.Check(err)
}

// runFault adds a fault to the registry: method=, path=, not=, status=, code=, body=; without arguments it heals.
func runFault(ts *testscript.TestScript, _ bool, args []string) {
	reg := on(ts).reg
	if len(args) == 0 {
		reg.Heal()
		return
	}
	var f testenv.Fault
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "method":
			f.Method = value
		case "path":
			f.Path = value
		case "not":
			f.Not = value
		case "status":
			n, err := strconv.Atoi(value)
			ts.Check(err)
			f.Status = n
		case "code":
			f.Code = value
		case "body":
			f.Body = value
		case "truncate":
			f.Truncate = true
		case "corrupt":
			f.Corrupt = true
		default:
			ts.Fatalf("fault: unknown word %s", arg)
		}
	}
	reg.Fail(f)
}

// runRequests demands that the registry was asked at most so often since the last call.
func runRequests(ts *testscript.TestScript, _ bool, args []string) {
	reg := on(ts).reg
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := reg.Total(); got > limit {
		ts.Fatalf("%d requests, at most %d wanted:\n%s", got, limit, reg.Log())
	}
	reg.Reset()
}

func runDetached(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	leaf := s.made[args[0]].Material.Certificates[0]
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), s.world.CTLog.Detached(s.t, leaf, mint.Epoch), 0o644))
}

// runStatement writes a signature's statement about an image, with annotations.
func runStatement(ts *testscript.TestScript, _ bool, args []string) {
	_, hex, _ := strings.Cut(args[0], "@sha256:")
	subject := map[string]any{"digest": map[string]string{"sha256": hex}, "annotations": pairs(args[2:])}
	writeJSON(ts, args[1], map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": []any{subject}, "predicateType": world.PredicateType, "predicate": struct{}{},
	})
}

// runSimple writes a simple-signing document about an image, with annotations.
func runSimple(ts *testscript.TestScript, _ bool, args []string) {
	repo, digest, _ := strings.Cut(args[0], "@")
	writeJSON(ts, args[1], map[string]any{"optional": pairs(args[2:]), "critical": map[string]any{
		"identity": map[string]string{"docker-reference": repo}, "image": map[string]string{"docker-manifest-digest": digest},
		"type": bundle.SimpleSigningType,
	}})
}

func pairs(args []string) map[string]string {
	out := map[string]string{}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		out[name] = value
	}
	return out
}

func writeJSON(ts *testscript.TestScript, name string, v any) {
	data, err := json.Marshal(v)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o644))
}

// runMoved copies what lies under one of cosign's older tags of one image to that of another.
func runMoved(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	tag := func(ref string) (repo, tag string) {
		repo, hex, _ := strings.Cut(strings.TrimPrefix(ref, s.reg.Host+"/"), "@sha256:")
		return repo, "sha256-" + hex + "." + args[2]
	}
	repo, name := tag(args[0])
	manifest := s.reg.ReadManifest(repo, name)
	to, name := tag(args[1])
	s.reg.PushManifest(s.t, to, name, "application/vnd.oci.image.manifest.v1+json", manifest)
}

// runBare makes evidence out of other evidence by leaving out its certificate.
func runBare(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	b := *s.made[args[0]]
	b.Material.Certificates, b.Material.NoKey = nil, true
	s.made[args[1]] = &b
}

func runGiven(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[1], strings.TrimSpace(ts.ReadFile(args[0])))
}

func runServe(ts *testscript.TestScript, _ bool, _ []string) {
	server := httptest.NewServer(http.FileServer(http.Dir(ts.Getenv("WORK"))))
	ts.Defer(server.Close)
	ts.Setenv("URL", server.URL)
}

var masks = []struct {
	pattern *regexp.Regexp
	mask    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "REGISTRY"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "HEX"},
	{regexp.MustCompile(`\(\d+ days old\)`), "(N days old)"},
	{regexp.MustCompile(`"ageDays": \d+`), `"ageDays": N`},
	{regexp.MustCompile(`[A-Za-z0-9+/]{80,}={0,2}`), "BASE64"},
}

// runPlain writes the last standard output, or what "stderr" names, with masks over what is different each time.
func runPlain(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: plain stdout|stderr FILE")
	}
	text := []byte(ts.ReadFile(args[0]))
	for _, dir := range []string{"WORK", "VECTORS"} {
		text = bytes.ReplaceAll(text, []byte(ts.Getenv(dir)), []byte(dir))
	}
	for _, m := range masks {
		text = m.pattern.ReplaceAll(text, []byte(m.mask))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o644))
}
