// Command bulla signs container images and other artifacts and verifies who signed them. Called by the name cosign it
// stands in cosign's place.
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
	// The first signal asks the command to stop; the next one kills it, since the handler is gone by then.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return newApp(cli.OS()).Main(ctx, os.Args)
}

// absent has cosign's commands that are not here yet, see docs/compat.md.
var absent = map[string]string{
	"piv-tool":    "",
	"pkcs11-tool": "",
}

// newApp returns the program with all of its commands. A command is added by writing its constructor in a file of its
// own and naming it here.
func newApp(sys *cli.System) *cli.App {
	return &cli.App{
		System: sys,
		Name:   "bulla",
		Short:  "Sign container images and other artifacts, and verify who signed them",
		Groups: []string{"Sign", "Verify", "Keys", "Registry", "Trust", "Services", "More"},
		Absent: absent,
		Commands: []*cli.Command{
			signCommand(),
			signBlobCommand(),
			attestCommand(),
			attestBlobCommand(),
			generateCommand(),
			flushCommand(),
			verifyCommand(),
			verifyAttestationCommand(),
			verifyBlobCommand(),
			verifyBlobAttestationCommand(),
			dockerfileCommand(),
			manifestCommand(),
			inspectCommand(),
			bundleCommand(),
			generateKeyPairCommand(),
			importKeyPairCommand(),
			publicKeyCommand(),
			treeCommand(),
			downloadCommand(),
			attachCommand(),
			uploadCommand(),
			repairCommand(),
			cleanCommand(),
			copyCommand(),
			saveCommand(),
			loadCommand(),
			triangulateCommand(),
			doctorCommand(),
			loginCommand(),
			whoamiCommand(),
			logoutCommand(),
			initializeCommand(),
			trustCommand(),
			trustedRootCommand(),
			signingConfigCommand(),
			envCommand(),
			upCommand(),
			versionCommand(),
		},
	}
}
