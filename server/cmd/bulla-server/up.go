package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// defaultPort is where up answers unless it is told otherwise, so that its address stays the same from day to day.
const defaultPort = 7070

type up struct {
	dir       string
	port      int
	given     bool // the port was
	ephemeral bool
	output    cli.Choice
}

func upCommand() *cli.Command {
	o := &up{}
	return &cli.Command{
		Use: "up [flags]", Short: "Run everything on this machine alone, for development and tests", Group: "Run", NoTimeout: true,
		Long: `Run all services at http://localhost:PORT, for this machine alone, with the development login: whoever asks gets a token for any e-mail address. What is missing is made first. When everything answers, two lines say how to point cosign and bulla at it.

A token, for instance for cosign's --identity-token:

curl -s --data email=alice@example.com http://localhost:PORT/oidc/dev/token | jq -r .id_token

The state stays in DIR for the next time. With --ephemeral it is a temporary one that is removed at the end; private keys are then never written.`,
		Example: `bulla-server up
bulla-server up --ephemeral --output json`,
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.dir, "dir", "", "keep the state in `DIR` (bulla/up in the user's data directory if not given)")
			fs.IntVar(&o.port, "port", defaultPort, "the `PORT` to answer at; 0 is any free one, which is also what --ephemeral takes")
			fs.BoolVar(&o.ephemeral, "ephemeral", false, "keep nothing")
			cli.Exclusive(fs, "dir", "ephemeral")
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

// upResult is what up prints as JSON when everything answers.
type upResult struct {
	URL    string `json:"url"`
	Issuer string `json:"issuer"`
	// Token answers a POST with email=ADDRESS with a JSON object that has id_token.
	Token  string `json:"token"`
	Mirror string `json:"mirror"`
	instance.Anchors
	Config string `json:"config"`
	PID    int    `json:"pid"`
	Cosign string `json:"cosign"`
	Bulla  string `json:"bulla"`
}

func (o *up) run(ctx context.Context, c *cli.Call) (err error) {
	if o.port < 0 || o.port > 65535 {
		return cli.Usagef("--port %d is no port", o.port)
	}
	o.given = c.Changed("port")
	ring := keyring.Memory()
	if o.ephemeral {
		if o.dir, err = os.MkdirTemp("", "bulla-up-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	} else if o.dir == "" {
		if o.dir, err = dataDir(c); err != nil {
			return err
		}
	}
	anchors, err := o.prepare(ctx, c, &ring)
	if err != nil {
		return err
	}
	file, err := config.Load(filepath.Join(o.dir, configName))
	if err != nil {
		return cli.Errorf(cli.ExitInput, "%w", err)
	}
	dir, err := state.Open(file.State)
	if err != nil {
		return err
	}
	h, err := dir.Load()
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: level}))
	err = serve(ctx, instance.Config{
		File: file, Dir: dir, Ring: ring, Log: log, Now: c.Now, Development: true,
		Ready: func([]net.Addr) { o.print(c, h.URL, anchors) },
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return cli.Errorf(cli.ExitIO, "%w", err).WithHint("is another one running? --port takes another port, with a --dir of its own")
	}
	return err
}

// prepare makes what is missing, and the keyring.
func (o *up) prepare(ctx context.Context, c *cli.Call, ring **keyring.Keyring) (instance.Anchors, error) {
	if !o.ephemeral {
		env := fromFile(c.KeyEnvironment(), filepath.Join(o.dir, passwordName))
		*ring = keyring.New(o.dir, env)
		dir, err := state.Open(o.dir)
		if err == nil {
			return o.existing(dir)
		}
		if !errors.Is(err, state.ErrNotInitialised) {
			return instance.Anchors{}, err
		}
	}
	dir, err := state.Prepare(o.dir)
	if err != nil {
		return instance.Anchors{}, err
	}
	if !o.ephemeral {
		if err := generatePassword(dir.Path(passwordName)); err != nil {
			return instance.Anchors{}, err
		}
	}
	if err := o.choosePort(); err != nil {
		return instance.Anchors{}, err
	}
	address := "http://localhost:" + strconv.Itoa(o.port)
	text, err := config.Template(o.values(address))
	if err != nil {
		return instance.Anchors{}, err
	}
	if err := durable.WriteFile(dir.Path(configName), text, configMode); err != nil {
		return instance.Anchors{}, err
	}
	return found(ctx, &founding.Founder{Ring: *ring, Now: c.Now}, dir, "localhost", address)
}

// existing checks that the flags agree with a state that is there.
func (o *up) existing(dir *state.Dir) (instance.Anchors, error) {
	h, err := dir.Load()
	if err != nil {
		return instance.Anchors{}, err
	}
	u, err := url.Parse(h.URL)
	if err != nil || u.Hostname() != "localhost" {
		return instance.Anchors{}, cli.Errorf(cli.ExitUsage, "the state in %s is that of %s", o.dir, h.URL).
			WithHint("up is for this machine alone: \"bulla-server serve --config %s\"", dir.Path(configName))
	}
	if o.given && o.port > 0 && u.Port() != strconv.Itoa(o.port) {
		return instance.Anchors{}, cli.Errorf(cli.ExitUsage, "the state in %s is for port %s: clients that trust it go there", o.dir, u.Port()).
			WithHint("leave --port out, or give another --dir")
	}
	return instance.ReadAnchors(dir)
}

// choosePort finds a free port where that is asked for. Both loopback addresses must have it free.
func (o *up) choosePort() error {
	if o.port > 0 && (o.given || !o.ephemeral) {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	o.port = l.Addr().(*net.TCPAddr).Port
	return l.Close()
}

func (o *up) values(address string) config.Values {
	v := config.Values{
		URL: address, Services: config.Services(), Hosts: []string{"localhost", "127.0.0.1", "::1"},
		Listen: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port))}, DevelopmentLogin: true, Propagation: "10s", NoLimits: true,
	}
	// localhost is the other address too, where the machine has it: some clients try that one first.
	if l, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(o.port))); err == nil {
		_ = l.Close() // it was opened to see that it can be
		v.Listen = append(v.Listen, net.JoinHostPort("::1", strconv.Itoa(o.port)))
	}
	if !o.ephemeral {
		v.PasswordFile = passwordName
	}
	return v
}

func (o *up) print(c *cli.Call, address string, a instance.Anchors) {
	r := upResult{
		URL: address, Issuer: address + "/oidc", Token: address + "/oidc/dev/token", Mirror: address + "/tuf", Anchors: a,
		Config: filepath.Join(o.dir, configName), PID: os.Getpid(), Cosign: initializeLine("cosign", address, a), Bulla: initializeLine("bulla", address, a),
	}
	var err error
	if o.output.String() == "json" {
		err = c.PrintJSON(r)
	} else {
		_, err = fmt.Fprintf(c.Out, "%s\n%s\n", r.Cosign, r.Bulla)
	}
	if err != nil {
		c.Warnf("printing how to reach the services: %v", err)
	}
}

// dataDir is where up keeps its state: the XDG data directory, or where that would be.
func dataDir(c *cli.Call) (string, error) {
	if dir, ok := c.LookupEnv("XDG_DATA_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "bulla", "up"), nil
	}
	home, ok := c.LookupEnv("HOME")
	if !ok || home == "" {
		return "", cli.Errorf(cli.ExitIO, "HOME is not set: %w", fs.ErrNotExist).WithHint("give --dir, or --ephemeral")
	}
	return filepath.Join(home, ".local", "share", "bulla", "up"), nil
}

func replaceQuotes(s string) string { return strings.ReplaceAll(s, "'", `'\''`) }
