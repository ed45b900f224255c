package main

import (
	"github.com/bulla-sign/bulla/internal/cli"
)

func bundleCommand() *cli.Command {
	return &cli.Command{
		Use: "bundle", Short: "Make, show and upgrade Sigstore bundles", Group: "Verify",
		Example: `bulla bundle inspect app.sigstore.json
bulla bundle create --artifact app --signature app.sig --key cosign.pub --out app.sigstore.json`,
		Commands: []*cli.Command{bundleCreateCommand(), bundleInspectCommand(), bundleUpgradeCommand()},
	}
}

// writeDocument writes JSON that is not secret to a file, or to standard output if none is named. It is one line; cosign
// ends it on standard output only.
func writeDocument(c *cli.Call, file string, data []byte) error {
	line := append(append([]byte{}, data...), '\n')
	if file != "" {
		return replaceFile(file, line)
	}
	_, err := c.Out.Write(line)
	return err
}
