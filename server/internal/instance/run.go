package instance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/server/httpserver"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// drainExtra is what services have to close after the last request: the logs publish what was added.
const drainExtra = 10 * time.Second

// Run answers until ctx ends and the last request with it.
func (in *Instance) Run(ctx context.Context) (err error) {
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainExtra)
		defer cancel()
		err = errors.Join(err, in.close(ending))
	}()
	cfg, err := in.server()
	if err != nil {
		return err
	}
	srv, err := httpserver.New(cfg, &in.router)
	if err != nil {
		return err
	}
	addresses, err := srv.Listen()
	if err != nil {
		return err
	}
	if err := in.listenAdmin(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.admin.server.Load().Close(context.WithoutCancel(ctx))) }()
	for _, w := range in.warnings() {
		in.Log.WarnContext(ctx, w)
	}
	upkeep, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { in.keepUp(upkeep) })
	defer wait.Wait()
	defer stop()
	if in.Ready != nil {
		in.Ready(addresses)
	}
	return srv.Serve(ctx)
}

// server translates the configuration.
func (in *Instance) server() (httpserver.Config, error) {
	f := in.File
	cfg := httpserver.Config{
		Metrics: f.Metrics, Operators: &in.inside, Pprof: f.Pprof, Hosts: f.Hosts, DrainTime: time.Duration(f.Drain),
		Log: in.Log, Registry: in.registry, Expiry: in.expiry, Health: in.health, Now: in.Now,
		Tracing: httpserver.Tracing{Endpoint: f.Traces},
		Limits: httpserver.Limits{
			Connections: f.Limits.Connections, AddressConnections: f.Limits.AddressConnections,
			AddressRate: f.Limits.AddressRate, AddressBurst: f.Limits.AddressBurst,
			InFlight: f.Limits.InFlight, AddressInFlight: f.Limits.AddressInFlight, RequestTime: time.Duration(f.Limits.RequestTime),
		},
	}
	for _, l := range f.Listen {
		cfg.Listeners = append(cfg.Listeners, httpserver.Listener{Address: l.Address, CertFile: l.Certificate, KeyFile: l.Key, H2C: l.H2C})
	}
	for _, p := range f.Proxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return cfg, fmt.Errorf("proxies: %w", err)
		}
		cfg.Proxies = append(cfg.Proxies, prefix)
	}
	return cfg, nil
}

// warnings says what an operator should know about the configuration.
func (in *Instance) warnings() (out []string) {
	if in.Development {
		return nil
	}
	if in.File.Runs(config.ServiceIssuer) && in.File.Issuer.DevelopmentLogin {
		out = append(out, "the development login is on: whoever reaches this server gets a token for any e-mail address")
	}
	if os.Geteuid() == 0 {
		out = append(out, "running as root, which nothing here needs")
	}
	for _, l := range []struct {
		service config.Service
		kind    state.Kind
		lock    string
	}{{config.ServiceLog, state.Log, in.File.Log.Lock}, {config.ServiceCTLog, state.CTLog, in.File.CTLog.Lock}} {
		at := LockDir(l.lock, in.Dir, l.kind, "")
		if within, err := filepath.Rel(in.Dir.Path(), at); in.File.Runs(l.service) && err == nil && filepath.IsLocal(within) {
			out = append(out, fmt.Sprintf("%s.lock is within the state, %s: if the disk is set back as a whole, the log does not notice and signs a second history; put it on another one", l.kind, at))
		}
	}
	return out
}
