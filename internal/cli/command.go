package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Command is one command of a program.
type Command struct {
	Use     string   // name and arguments: "verify [flags] IMAGE..."
	Aliases []string // other names
	Short   string   // one line, no full stop
	Long    string   // paragraphs separated by blank lines, each wrapped anew; Short stands in if it is empty
	Example string   // lines as they are printed
	Group   string   // title under which the program's help lists it
	Hidden  bool     // not listed in help
	// Deprecated makes the command say this when it runs, and hides it.
	Deprecated string
	// BindEnv lets BULLA_<FLAG> and COSIGN_<FLAG> stand in for flags that are not given. cosign does so for the commands
	// that sign, verify and move things, not for those that make or show configuration.
	BindEnv bool
	// Unbound are flags that no variable stands in for all the same: COSIGN_PASSWORD, say, is the password of a key.
	Unbound []string
	// NoTimeout keeps --timeout from ending the command: for what runs until it is told to stop.
	NoTimeout bool
	// Lasting says of a run that it takes as long as there is to do: the default of --timeout does not end it, one that is
	// given does. nil: no run does.
	Lasting func(c *Call) bool

	// Args checks the number of arguments; nil means that none are taken.
	Args cobra.PositionalArgs
	// Flags registers the command's flags. It is called at most once, and only if the command was selected.
	Flags func(fs *pflag.FlagSet)
	// Run does the work. A command without Run is there for its subcommands.
	Run      func(ctx context.Context, c *Call) error
	Commands []*Command
}

// build makes the cobra command, without its flags, and its subcommands.
func (a *App) build(c *Command) *cobra.Command {
	cc := &cobra.Command{
		Use: c.Use, Aliases: c.Aliases, Short: c.Short, Long: c.Long, Example: c.Example,
		Hidden: c.Hidden, Deprecated: c.Deprecated, Args: c.Args, DisableFlagsInUseLine: true,
		SuggestionsMinimumDistance: 2, // as cobra has it, where it makes the suggestions itself
	}
	if c.Args == nil {
		cc.Args = noArgs
	} else {
		cc.Args = usageArgs(c.Args)
	}
	if c.Run != nil {
		cc.RunE = func(cc *cobra.Command, args []string) error { return a.run(cc, c, args) }
	} else {
		cc.Args = cobra.ArbitraryArgs
		cc.RunE = a.parent
	}
	for _, sub := range c.Commands {
		cc.AddCommand(a.build(sub))
	}
	a.commands[cc] = c
	return cc
}

// register gives a command its flags, once.
func (a *App) register(cc *cobra.Command) {
	c := a.commands[cc]
	if c == nil || a.registered[cc] {
		return
	}
	a.registered[cc] = true
	if c.Flags != nil {
		cc.Flags().SortFlags = false
		c.Flags(cc.Flags())
	}
}

// parent runs for a command that only has subcommands: with no argument it explains itself, with one it does not know
// the subcommand.
func (a *App) parent(cc *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cc.Help()
	}
	return a.unknownCommand(cc, args[0])
}

func (a *App) unknownCommand(cc *cobra.Command, name string) error {
	err := Usagef("unknown command %q for %q", name, cc.CommandPath())
	if instead, ok := a.Absent[strings.TrimPrefix(cc.CommandPath()+" "+name, a.root.Name()+" ")]; ok {
		err.Err = fmt.Errorf("%w: it is one of cosign's that bulla does not have yet", err.Err)
		if instead != "" {
			return err.WithHint("%s", instead)
		}
	}
	if near := cc.SuggestionsFor(name); len(near) > 0 {
		return err.WithHint("did you mean %q? \"%s --help\" lists the commands", near[0], cc.CommandPath())
	}
	return err.WithHint("\"%s --help\" lists the commands", cc.CommandPath())
}

// usageArgs gives the complaints of cobra's own checks the exit status that they should have, and a hint.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cc *cobra.Command, args []string) error {
		err := check(cc, args)
		var coded *Error
		if err == nil || errors.As(err, &coded) {
			return err
		}
		return Usagef("%q %w", cc.CommandPath(), err).WithHint("usage: %s %s", cc.Parent().CommandPath(), cc.Use)
	}
}

func noArgs(cc *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("%q takes no arguments, and was given %q", cc.CommandPath(), args[0])
	}
	return nil
}
