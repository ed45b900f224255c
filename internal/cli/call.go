package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/network"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/keys"
)

// Call is one run of a command: its arguments and its surroundings. Out is what the command was asked for, Err is for
// everything said along the way.
type Call struct {
	System
	Args    []string
	Name    string // the program as the user calls it: bulla or cosign
	Cosign  bool   // the program stands in cosign's place
	Verbose bool
	// Net is the only way to other machines. Nil is a network without restrictions.
	Net *network.Network
	// JSONLines says that one argument may have several results; see [Call.PrintJSON].
	JSONLines bool

	flags *pflag.FlagSet
	bound []bound
	ctx   context.Context // for questions and input, which must not outlive the command
}

// attend ties standard input to the command's context.
func (c *Call) attend(ctx context.Context) {
	in, isTerminal := c.In, c.IsTerminal
	attended := pipe.Reader(ctx, in)
	c.ctx, c.In = ctx, attended
	c.IsTerminal = func(stream any) bool {
		if stream == any(attended) {
			stream = in
		}
		return isTerminal(stream)
	}
}

func (c *Call) context() context.Context {
	if c.ctx == nil {
		return context.Background()
	}
	return c.ctx
}

// Changed reports whether a flag was given, on the command line or through the environment.
func (c *Call) Changed(flag string) bool { return c.flags.Changed(flag) }

// Typed reports whether a flag was given on the command line. One that comes from the environment was meant for some
// other command perhaps, and must not keep this one from running because it has no use for it.
func (c *Call) Typed(flag string) bool {
	return c.Changed(flag) && !slices.ContainsFunc(c.bound, func(b bound) bool { return b.flag == flag })
}

// Infof says something on standard error.
func (c *Call) Infof(format string, args ...any) { fmt.Fprintf(c.Err, format+"\n", args...) }

// Warnf says on standard error what the user should not miss.
func (c *Call) Warnf(format string, args ...any) {
	label := "warning:"
	if c.Cosign {
		label = "WARNING:"
	}
	fmt.Fprintf(c.Err, c.paint(c.Err, "33", label)+" "+format+"\n", args...)
}

// Debugf says something on standard error if --verbose was given.
func (c *Call) Debugf(format string, args ...any) {
	if c.Verbose {
		c.Infof(format, args...)
	}
}

// PrintJSON writes v to Out as JSON, with < and > as they are: indented, but where there may be several
// results, for several arguments or by JSONLines, each on one line, so that the output is JSON Lines.
func (c *Call) PrintJSON(v any) error {
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	if len(c.Args) <= 1 && !c.JSONLines {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// Coloured reports whether Out is a terminal that shows colours and the user wants them.
func (c *Call) Coloured() bool { return c.coloured(c.Out) }

func (c *Call) coloured(stream any) bool {
	noColour, _ := c.LookupEnv("NO_COLOR")
	kind, _ := c.LookupEnv("TERM")
	return noColour == "" && kind != "dumb" && c.IsTerminal(stream)
}

func (c *Call) paint(stream any, code, s string) string {
	if !c.coloured(stream) {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Progress shows what is going on while it lasts, on a terminal only, and returns a function that wipes it away.
func (c *Call) Progress(format string, args ...any) (done func()) {
	if !c.IsTerminal(c.Err) {
		return func() {}
	}
	fmt.Fprintf(c.Err, format+" ...", args...)
	return func() { fmt.Fprint(c.Err, "\r\x1b[K") }
}

// KeyEnvironment returns what package keys needs of the surroundings: variables, the password prompt, and where plug-in
// programs lie (BULLA_PLUGIN_DIR, beside the program, PATH).
func (c *Call) KeyEnvironment() keys.Environment {
	env := keys.Environment{LookupEnv: c.LookupEnv, Password: c.Password, Stderr: c.Err, NoPlugIns: c.Net.Offline()}
	env.HTTP = &http.Client{Transport: c.Net.Transport()}
	if dir, _ := c.LookupEnv("BULLA_PLUGIN_DIR"); dir != "" {
		env.PlugInDirs = append(env.PlugInDirs, dir)
	}
	if exe, err := c.Executable(); err == nil {
		env.PlugInDirs = append(env.PlugInDirs, filepath.Dir(exe))
	}
	return env
}
