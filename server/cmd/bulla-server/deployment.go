package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

const configName = "bulla-server.yaml"

// deployment is what most commands begin with: the configuration, the state and its keys.
type deployment struct {
	path string // of the configuration file
	file *config.File
	dir  *state.Dir
	ring *keyring.Keyring
}

func (d *deployment) register(fs *pflag.FlagSet) {
	fs.StringVarP(&d.path, "config", "c", configName, "the configuration `FILE`, which init made")
}

// open reads the configuration and finds the state.
func (d *deployment) open(c *cli.Call) (err error) {
	if d.file, err = config.Load(d.path); errors.Is(err, fs.ErrNotExist) {
		return cli.Errorf(cli.ExitIO, "there is no configuration file %s", d.path).
			WithHint("\"%s init --dir DIR\" makes one; --config names it", c.Name)
	} else if err != nil {
		return cli.Errorf(cli.ExitInput, "%w", err)
	}
	if d.dir, err = state.Open(d.file.State); errors.Is(err, state.ErrNotInitialised) {
		return cli.Errorf(cli.ExitInput, "%w", err).WithHint("\"%s init\" makes one; state in %s says where it is", c.Name, d.path)
	} else if err != nil {
		return err
	}
	env := c.KeyEnvironment()
	if d.file.PasswordFile != "" {
		env = fromFile(env, d.file.PasswordFile)
	}
	if d.file.PlugInDir != "" {
		env.PlugInDirs = append([]string{d.file.PlugInDir}, env.PlugInDirs...)
	}
	d.ring = keyring.New(d.file.State, env)
	return nil
}

// logger returns the program's log, as the configuration wants it.
func logger(c *cli.Call, l config.Logging) *slog.Logger {
	opts := &slog.HandlerOptions{}
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err == nil { // the configuration was checked
		opts.Level = level
	}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(c.Err, opts))
	}
	return slog.New(slog.NewTextHandler(c.Err, opts))
}

// exists says whether there is anything at path.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
