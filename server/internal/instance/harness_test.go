package instance_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	ports "github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/testclient"
	"github.com/bulla-sign/bulla/trust"
)

// deployment is a founded state, and the processes that run on it.
type deployment struct {
	t    *testing.T
	dir  *state.Dir
	ring *keyring.Keyring
	port int
	url  string
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, ring: keyring.Memory(), port: freePort(t)}
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
	free, err := ports.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return free[0]
}

// file is a configuration for some services at a port.
func (d *deployment) file(port int, services ...config.Service) *config.File {
	f := config.Default()
	f.Services, f.State = services, d.dir.Path()
	f.Listen = []config.Listener{{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}}
	f.Issuer.DevelopmentLogin = true
	f.Limits = config.Limits{AddressRate: -1, AddressConnections: -1, IdentityRate: -1}
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
	return testclient.Trusted(d.t, a.TrustedRoot, a.SigningConfig)
}

func (d *deployment) mustSign(artifact string) *testclient.Signed {
	d.t.Helper()
	root, services := d.trusted()
	s, err := testclient.Sign(d.t.Context(), root, services, artifact)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}
