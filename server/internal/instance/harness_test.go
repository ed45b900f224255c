package instance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

const email = "alice@example.com"

// deployment is a founded state, and the processes that run on it.
type deployment struct {
	t    *testing.T
	dir  *state.Dir
	ring *keyring.Keyring
	port int
	url  string
	log  *bytes.Buffer
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, ring: keyring.Memory(), port: freePort(t), log: new(bytes.Buffer)}
	d.url = "http://localhost:" + strconv.Itoa(d.port)
	h, err := (&founding.Founder{Ring: d.ring, Now: time.Now}).Found(t.Context(), "example", d.url)
	if err != nil {
		t.Fatal(err)
	}
	if d.dir, err = state.Prepare(filepath.Join(t.TempDir(), "state")); err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Found(t.Context(), d.dir, d.ring, h, time.Now); err != nil {
		t.Fatal(err)
	}
	return d
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// file is a configuration for some services at a port.
func (d *deployment) file(port int, services ...config.Service) *config.File {
	f := config.Default()
	f.Services, f.State = services, d.dir.Path()
	f.Listen = []config.Listener{{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}}
	f.Issuer.DevelopmentLogin = true
	f.Limits = config.Limits{AddressRate: -1, IdentityRate: -1}
	f.Rotation = config.Rotation{Propagation: config.Duration(time.Hour), Close: config.Duration(time.Hour)}
	return f
}

// process is a running instance.
type process struct {
	*instance.Instance
	stop func() error
}

// start runs a process until the test ends or stop is called.
func (d *deployment) start(f *config.File) *process {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	in, err := instance.New(ctx, instance.Config{
		File: f, Dir: d.dir, Ring: d.ring, Now: time.Now,
		Log:   slog.New(slog.NewTextHandler(d.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Ready: func([]net.Addr) { close(ready) },
	})
	if err != nil {
		cancel()
		d.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		d.t.Fatal("it ended: ", err)
	}
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	d.t.Cleanup(func() {
		if err := stop(); err != nil {
			d.t.Error(err)
		}
	})
	return &process{in, stop}
}

// trusted is what clients without TUF are given now.
func (d *deployment) trusted() (*trust.Root, *trust.SigningConfig) {
	d.t.Helper()
	a, err := instance.ReadAnchors(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		return data
	}
	root, err := trust.DecodeRoot(read(a.TrustedRoot))
	if err != nil {
		d.t.Fatal(err)
	}
	services, err := trust.DecodeSigningConfig(read(a.SigningConfig))
	if err != nil {
		d.t.Fatal(err)
	}
	return root, services
}

func token(ctx context.Context, issuer string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/dev/token", bytes.NewBufferString(url.Values{"email": {email}}.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		IDToken string `json:"id_token"`
	}
	return answer.IDToken, json.Unmarshal(data, &answer)
}

// signed is a keyless signature, and what it is over.
type signed struct {
	artifact []byte
	bundle   *bundle.Bundle
}

// sign signs as any client does: token, certificate, timestamp, log, and verifies under root before it is content.
func (d *deployment) sign(ctx context.Context, root *trust.Root, services *trust.SigningConfig, artifact string) (*signed, error) {
	o := client.Options{Root: root, Patience: -1}
	ca, err := client.NewCA(services.CAs[0].URL, o)
	if err != nil {
		return nil, err
	}
	log, err := client.NewLogV2(services.Logs[0].URL, o)
	if err != nil {
		return nil, err
	}
	tsa, err := client.NewTSA(services.TSAs[0].URL, o)
	if err != nil {
		return nil, err
	}
	session := &sign.Session{Authority: ca, Identity: func(ctx context.Context) (sign.Identity, error) {
		token, err := token(ctx, services.OIDC[0].URL)
		return sign.Identity{Token: token, Challenge: email}, err
	}}
	opts := sign.Options{Timestampers: []sign.Timestamper{tsa}, Loggers: []sign.Logger{log}, Root: root, Clock: time.Now}
	if err := session.Use(ctx, &opts); err != nil {
		return nil, err
	}
	s := &signed{artifact: []byte(artifact)}
	s.bundle, err = sign.Blob(ctx, algorithm.Bytes(s.artifact), opts)
	return s, err
}

func (d *deployment) mustSign(artifact string) *signed {
	d.t.Helper()
	root, services := d.trusted()
	s, err := d.sign(d.t.Context(), root, services, artifact)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// verify verifies under a root, offline.
func (s *signed) verify(t *testing.T, root *trust.Root, issuer string) {
	t.Helper()
	who, err := identity.Exact(email)
	if err != nil {
		t.Fatal(err)
	}
	by, err := identity.Exact(issuer)
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := identity.NewMatcher(identity.MatcherOptions{SAN: who, Issuer: by})
	if err != nil {
		t.Fatal(err)
	}
	report := verify.Verify(&verify.Request{
		Artifact:   verify.Artifact{Name: "artifact", Message: algorithm.Bytes(s.artifact)},
		Candidates: []verify.Candidate{{Name: "bundle", Bundle: s.bundle}},
		Root:       root, Now: time.Now(),
		Policy: verify.Policy{Identities: []identity.Matcher{matcher}, Timestamps: 1, Claims: verify.Claims{Message: true}},
	})
	if err := report.Err(); err != nil {
		t.Errorf("%q does not verify: %v", s.artifact, err)
	}
}
