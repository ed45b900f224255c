package cli

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// SpecCommand is the name of the hidden command that prints [Spec] as JSON, for the program that writes the manual pages.
// It is a program of its own because cobra's generator would slow this one down.
const SpecCommand = "__spec"

// Spec describes a command, its flags and its subcommands.
type Spec struct {
	Use        string     `json:"use"`
	Aliases    []string   `json:"aliases,omitempty"`
	Short      string     `json:"short"`
	Long       string     `json:"long,omitempty"`
	Example    string     `json:"example,omitempty"`
	Deprecated string     `json:"deprecated,omitempty"`
	Hidden     bool       `json:"hidden,omitempty"`
	BindEnv    bool       `json:"bindEnv,omitempty"` // BULLA_<FLAG> and COSIGN_<FLAG> stand in for flags
	Flags      []FlagSpec `json:"flags,omitempty"`
	Commands   []Spec     `json:"commands,omitempty"`
}

// FlagSpec describes a flag.
type FlagSpec struct {
	Name       string `json:"name"`
	Shorthand  string `json:"shorthand,omitempty"`
	Type       string `json:"type"`
	Default    string `json:"default,omitempty"`
	Usage      string `json:"usage"`
	Topic      string `json:"topic,omitempty"`
	Deprecated string `json:"deprecated,omitempty"`
	Hidden     bool   `json:"hidden,omitempty"`
}

func specCommand(a *App) *Command {
	return &Command{
		Use: SpecCommand, Short: "Print all commands and flags as JSON", Hidden: true,
		Run: func(_ context.Context, c *Call) error {
			a.registerAll()
			return c.PrintJSON(a.spec(a.root))
		},
	}
}

func (a *App) spec(cc *cobra.Command) Spec {
	s := Spec{
		Use: cc.Use, Aliases: cc.Aliases, Short: cc.Short, Long: cc.Long, Example: cc.Example,
		Deprecated: cc.Deprecated, Hidden: cc.Hidden,
	}
	if c := a.commands[cc]; c != nil {
		s.BindEnv = c.BindEnv
	}
	flags := cc.Flags()
	if cc == a.root {
		flags = cc.PersistentFlags()
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if cc != a.root && a.root.PersistentFlags().Lookup(f.Name) != nil {
			return
		}
		fs := FlagSpec{
			Name: f.Name, Shorthand: f.Shorthand, Type: f.Value.Type(), Default: f.DefValue, Usage: f.Usage,
			Deprecated: f.Deprecated, Hidden: f.Hidden,
		}
		if topic := f.Annotations[annotationTopic]; len(topic) > 0 {
			fs.Topic = topic[0]
		}
		s.Flags = append(s.Flags, fs)
	})
	for _, sub := range cc.Commands() {
		s.Commands = append(s.Commands, a.spec(sub))
	}
	return s
}
