package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/internal/network"
	"github.com/bulla-sign/bulla/internal/pipe"
)

// App is a program: its surroundings and its commands.
type App struct {
	System   *System
	Name     string // the program's own name, whatever file it is started from
	Short    string // one line
	Long     string
	Commands []*Command
	Groups   []string // titles of command groups, in the order of the help text
	// Absent has the commands that people will look for in vain, such as "download sbom", and what to do instead; that may
	// be empty.
	Absent map[string]string

	cosign     bool // called by the name cosign
	root       *cobra.Command
	commands   map[*cobra.Command]*Command
	registered map[*cobra.Command]bool
	global     struct {
		outputFile string
		timeout    time.Duration
		verbose    bool
		offline    bool
	}
}

// Main runs the program with args, of which the first is the name it was called by, and returns its exit status.
func (a *App) Main(ctx context.Context, args []string) int {
	var rest []string
	name := a.Name
	if len(args) > 0 {
		rest = slices.Clone(args[1:])
		a.cosign = calledCosign(args[0])
	}
	if a.cosign {
		name = "cosign"
		rest = cosignArgs(rest, func(format string, args ...any) {
			fmt.Fprintf(a.System.Err, "WARNING: "+format+"\n", args...)
		})
	}
	if len(rest) == 1 && rest[0] == "--version" {
		rest[0] = "version"
	}
	a.init(name)
	err := a.execute(ctx, rest)
	if err != nil {
		report(a.System.Err, err, a.cosign)
	}
	return exitCode(err, a.cosign)
}

func (a *App) init(name string) {
	a.commands = make(map[*cobra.Command]*Command)
	a.registered = make(map[*cobra.Command]bool)
	a.root = a.build(&Command{Use: name, Short: a.Short, Long: a.Long, Commands: a.Commands})
	a.root.AddCommand(a.build(completionCommand(a)))
	a.root.AddCommand(a.build(specCommand(a)))
	a.root.SetHelpCommand(a.build(helpCommand(a)))
	a.root.CompletionOptions.DisableDefaultCmd = true
	a.root.SilenceErrors, a.root.SilenceUsage = true, true
	a.root.SetIn(a.System.In)
	// Whatever cobra itself prints, notes about deprecated flags and commands, is not a command's output.
	a.root.SetOut(a.System.Err)
	a.root.SetErr(a.System.Err)
	a.root.SetHelpFunc(a.help)
	a.root.SetUsageFunc(func(*cobra.Command) error { return nil })
	a.root.SetFlagErrorFunc(a.flagError)

	fs := a.root.PersistentFlags()
	fs.SortFlags = false
	fs.StringVar(&a.global.outputFile, "output-file", "", "write what would go to standard output to `FILE`")
	fs.DurationVarP(&a.global.timeout, "timeout", "t", 3*time.Minute, "how long the command may take; 0 means for ever")
	fs.BoolVarP(&a.global.verbose, "verbose", "d", false, "say on standard error what is being done")
	fs.BoolVar(&a.global.offline, "offline", false, "open no connection but to the registry that the command names")
	fs.BoolP("help", "h", false, "explain the command")
	a.root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(alias(name))
	})
}

func (a *App) execute(ctx context.Context, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
		a.registerAll()
		a.plainUsages()
		a.root.SetOut(a.System.Out) // the shell reads the candidates there
	} else if cc, _, err := a.root.Find(args); err == nil {
		a.register(cc)
	}
	if args == nil {
		args = []string{} // cobra would take os.Args
	}
	a.root.SetArgs(args)
	return a.root.ExecuteContext(ctx)
}

// registerAll gives every command its flags, for help, completion and documentation.
func (a *App) registerAll() {
	for cc := range a.commands {
		a.register(cc)
		cc.Flags().VisitAll(func(f *pflag.Flag) {
			if choice, ok := f.Value.(*Choice); ok {
				// It can only fail for a flag that is not there or has one already.
				_ = cc.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(choice.allowed, cobra.ShellCompDirectiveNoFileComp))
			}
		})
	}
}

// plainUsages takes the marks off the names of values in the flags' descriptions: a shell would show them.
func (a *App) plainUsages() {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	a.root.PersistentFlags().VisitAll(plain)
	for cc := range a.commands {
		cc.Flags().VisitAll(plain)
	}
}

// flagError turns cobra's complaint about flags into ours. Flags of a command that does not exist are not the problem;
// the command is.
func (a *App) flagError(cc *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if cc.HasSubCommands() && cc.Flags().NArg() > 0 {
		return a.unknownCommand(cc, cc.Flags().Arg(0))
	}
	out := &Error{Code: ExitUsage, Err: err}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if near := nearestFlag(cc.Flags(), unknown.GetSpecifiedName()); near != "" {
			return out.WithHint("did you mean --%s? \"%s --help\" lists the flags", near, cc.CommandPath())
		}
	}
	return out.WithHint("\"%s --help\" lists the flags", cc.CommandPath())
}

// run is what happens around every command.
func (a *App) run(cc *cobra.Command, c *Command, args []string) (err error) {
	call := &Call{System: *a.System, Args: args, Cosign: a.cosign, Name: a.root.Name(), flags: cc.Flags()}
	if c.BindEnv {
		if call.bound, err = bindEnv(cc.Flags(), a.System.LookupEnv, c.Unbound); err != nil {
			return err
		}
		call.Verbose = a.global.verbose
		tellBound(call)
		defer func() { explainBound(call, err) }()
	}
	call.Verbose = a.global.verbose
	offline, err := a.isOffline(cc)
	if err != nil {
		return err
	}
	call.Net = network.New(offline, a.System.Dial)
	if a.global.timeout < 0 {
		return Usagef("--timeout %s is negative", a.global.timeout).WithHint("0 means for ever")
	}
	if err := checkGroups(cc.Flags()); err != nil {
		return err
	}
	ctx := cc.Context()
	lasting := c.Lasting != nil && !call.Changed("timeout") && c.Lasting(call)
	if a.global.timeout > 0 && !c.NoTimeout && !lasting {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.global.timeout)
		defer cancel()
	}
	if !call.Changed("timeout") {
		// How long an artifact takes to read is its size.
		ctx = pipe.WithPatience(ctx, cc.Context())
	}
	call.attend(ctx)
	if a.global.outputFile == "" {
		return c.Run(ctx, call)
	}
	return runInto(a.global.outputFile, func(out io.Writer) error {
		call.Out = out
		return c.Run(ctx, call)
	})
}

// runInto lets a command write to a file. What a failing one printed (a report of what did not verify) is wanted as much;
// one that failed before it printed anything leaves the file as it was.
func runInto(name string, run func(io.Writer) error) error {
	if err := CheckOutput(name, nil); err != nil {
		return err
	}
	out, err := durable.New(name, durable.Options{Mode: 0o666, Replace: true})
	if err != nil {
		return err
	}
	defer out.Discard()
	counted := &counter{w: out}
	err = run(counted)
	if err != nil && counted.n == 0 {
		return err
	}
	return errors.Join(err, out.Commit())
}

// counter counts what is written to w.
type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

// isOffline reads --offline, for which a variable stands in with every command: whoever sets it wants no exceptions.
func (a *App) isOffline(cc *cobra.Command) (bool, error) {
	value, _ := a.System.LookupEnv("BULLA_OFFLINE")
	if cc.Flags().Changed("offline") || value == "" {
		return a.global.offline, nil
	}
	offline, err := strconv.ParseBool(value)
	if err != nil {
		return false, Usagef("BULLA_OFFLINE is %q; it may be true or false", value)
	}
	return offline, nil
}

// explainBound says after a complaint about flags which of them nobody typed.
func explainBound(c *Call, err error) {
	var coded *Error
	if c.Verbose || !errors.As(err, &coded) || coded.Code != ExitUsage {
		return
	}
	for _, b := range c.bound {
		if !b.lowers && !b.trusts {
			c.Infof("note: --%s comes from the environment variable %s", b.flag, b.variable)
		}
	}
}

// tellBound says which flags came from the environment: all of them when verbose; always those that turn a check off, and
// those that change what is trusted.
func tellBound(c *Call) {
	var trusts []string
	for _, b := range c.bound {
		switch {
		case b.lowers:
			c.Warnf("--%s comes from the environment variable %s, and turns a check off", b.flag, b.variable)
		case b.trusts:
			trusts = append(trusts, fmt.Sprintf("--%s from %s", b.flag, b.variable))
		default:
			c.Debugf("--%s comes from the environment variable %s", b.flag, b.variable)
		}
	}
	if len(trusts) > 0 {
		c.Warnf("what is trusted comes from the environment: %s", strings.Join(trusts, ", "))
	}
}
