// Command bulla-server runs what signing without long-lived keys needs: an identity issuer, a certificate authority, a CT
// log, a transparency log, a timestamp authority and a TUF repository, all in one process or each in its own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/bulla-sign/bulla/internal/cli"
)

func main() { os.Exit(run()) }

func run() int {
	// The first signal asks the command to end in good order; the next one kills it, since the handler is gone by then.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return newApp(cli.OS()).Main(ctx, os.Args)
}

func newApp(sys *cli.System) *cli.App {
	return &cli.App{
		System: sys,
		Name:   "bulla-server",
		Short:  "Run the services of a private Sigstore: issuer, certificate authority, logs, timestamps, trust",
		Groups: []string{"Run", "Keys", "Data", "More"},
		Commands: []*cli.Command{
			initCommand(),
			serveCommand(),
			statusCommand(),
			upCommand(),
			rotateCommand(),
			csrCommand(),
			tufCommand(),
			revokeCommand(),
			hashPasswordCommand(),
			backupCommand(),
			restoreCommand(),
			fsckCommand(),
			versionCommand(),
		},
	}
}
