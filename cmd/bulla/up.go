package main

import (
	"context"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

// serverProgram is what up runs. It is a program of its own because most who sign and verify never run services.
const serverProgram = "bulla-server"

// defaultUpPort is only shown: bulla-server up has it, and is told no port that was not given.
const defaultUpPort = 7070

type up struct {
	dir       string
	port      int
	ephemeral bool
	output    cli.Choice
}

func upCommand() *cli.Command {
	o := &up{}
	return &cli.Command{
		Use: "up [flags]", Short: "Run a private Sigstore on this machine, for development and tests", Group: "Services", NoTimeout: true,
		Long: `Run identity issuer, certificate authority, logs, timestamp authority and trust at http://localhost:PORT, for this machine alone, until SIGINT or SIGTERM. When everything answers, two lines say how to point cosign and bulla at it.

The identity issuer believes whoever asks: a token for any e-mail address is one request away.

curl -s --data email=alice@example.com http://localhost:PORT/oidc/dev/token | jq -r .id_token

The state stays in DIR for the next time. With --ephemeral it is a temporary one that is removed at the end.

The program bulla-server does it, which lies beside this one or on PATH; "bulla-server init" begins what others can use too.`,
		Example: `bulla up
bulla up --ephemeral --output json`,
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.dir, "dir", "", "keep the state in `DIR` (bulla/up in the user's data directory if not given)")
			fs.IntVar(&o.port, "port", defaultUpPort, "the `PORT` to answer at; 0 is any free one, which is also what --ephemeral takes")
			fs.BoolVar(&o.ephemeral, "ephemeral", false, "keep nothing")
			cli.Exclusive(fs, "dir", "ephemeral")
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *up) run(ctx context.Context, c *cli.Call) error {
	if c.Changed("output-file") {
		return cli.Usagef("--output-file is for commands that come to an end").WithHint("redirect the standard output")
	}
	if c.Net.Offline() {
		return cli.Usagef("--offline was given, and this command is there to open connections")
	}
	program, err := findServer(c)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The server takes this process's place, so that signals and the exit status are its own.
	err = become(program, append([]string{serverProgram}, o.args(c)...), c.Environ())
	return cli.Errorf(cli.ExitIO, "running %s: %w", program, err)
}

// args repeats what was given, for the other program to judge.
func (o *up) args(c *cli.Call) []string {
	args := []string{"up", "--output", o.output.String()}
	if c.Changed("dir") {
		args = append(args, "--dir", o.dir)
	}
	if c.Changed("port") {
		args = append(args, "--port", strconv.Itoa(o.port))
	}
	if o.ephemeral {
		args = append(args, "--ephemeral")
	}
	if c.Verbose {
		args = append(args, "--verbose")
	}
	return args
}

// findServer returns the path of the server: beside this program, else on PATH.
func findServer(c *cli.Call) (string, error) {
	if self, err := c.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		beside := filepath.Join(filepath.Dir(self), serverProgram)
		if path, err := exec.LookPath(beside); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(serverProgram)
	if err != nil {
		return "", cli.Errorf(cli.ExitIO, "the program %s is needed, and is neither beside this one nor on PATH: %w", serverProgram, fs.ErrNotExist).
			WithHint("it comes with the same release; \"make build\" puts it into bin/")
	}
	return path, nil
}
