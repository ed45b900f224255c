package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
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
