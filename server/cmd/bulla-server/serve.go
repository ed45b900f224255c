package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/issuer"
)

func serveCommand() *cli.Command {
	d := &deployment{}
	return &cli.Command{
		Use: "serve [flags]", Short: "Run the services that the configuration names", Group: "Run", NoTimeout: true,
		Long: `Run the services that the configuration names, until SIGINT or SIGTERM: requests that are under way are then answered first.

On SIGHUP the state is read again. Rotations need no signal: they tell the running processes themselves.`,
		Example: `bulla-server serve --config /etc/bulla/bulla-server.yaml`,
		Flags:   d.register,
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := d.open(c); err != nil {
				return err
			}
			log := logger(c, d.file.Logging)
			return serve(ctx, instance.Config{
				File: d.file, Dir: d.dir, Ring: d.ring, Log: log, Now: c.Now,
				Ready: func(addresses []net.Addr) { log.InfoContext(ctx, "ready", "addresses", join(addresses)) },
			})
		},
	}
}

// serve runs a process until ctx ends.
func serve(ctx context.Context, cfg instance.Config) error {
	ready := cfg.Ready
	cfg.Ready = func(addresses []net.Addr) {
		settle()
		ready(addresses)
	}
	in, err := instance.New(ctx, cfg)
	if errors.Is(err, keys.ErrWrongPassword) || errors.Is(err, issuer.ErrPublicLogin) {
		return cli.Errorf(cli.ExitInput, "%w", err)
	}
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangup:
				if err := in.Follow(ctx); err != nil {
					cfg.Log.ErrorContext(ctx, "the state cannot be followed", "error", err)
				}
			}
		}
	}()
	return in.Run(ctx)
}

func join(addresses []net.Addr) string {
	var out []string
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// allFlags registers the flags of several parts of a command.
func allFlags(parts ...func(*pflag.FlagSet)) func(*pflag.FlagSet) {
	return func(fs *pflag.FlagSet) {
		for _, p := range parts {
			p(fs)
		}
	}
}

// heapGrowth is the garbage that may gather, in percent of what is in use. A server keeps little (some 10 MB) and makes
// much that is short-lived: with Go's default of 100 a sixth of its processor time under load goes into collecting it. What
// is never filled is never taken from the system: a server that has little to do stays small.
const heapGrowth = 800

// settle prepares a process that has started for a long run: the memory that opening its keys took (64 MiB each) goes back
// to the system, and what it takes from now on is collected in larger portions. GOGC, if set, decides instead. Nobody can ask
// for a profile of what it allocates, which a library that can make one has the runtime prepare.
func settle() {
	runtime.MemProfileRate = 0
	debug.FreeOSMemory()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
