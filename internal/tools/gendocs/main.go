// Command gendocs writes the manual pages (section 1) and the Markdown reference of bulla's commands.
//
//	go run ./internal/tools/gendocs -out dist
//
// It asks the program itself for its commands, so that cobra's generator is not linked into it. SOURCE_DATE_EPOCH sets
// the date on the pages, so that they can be made again byte by byte.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

func main() {
	out := flag.String("out", "dist", "directory to write man/ and commands/ into")
	program := flag.String("program", "", "program to describe; the one in ./cmd/bulla if empty")
	flag.Parse()
	if err := run(*out, *program); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func run(out, program string) error {
	spec, err := ask(program)
	if err != nil {
		return err
	}
	root := command(spec)
	// The program's own flags are those of every command.
	global := root.Flags()
	root.ResetFlags()
	root.PersistentFlags().AddFlagSet(global)
	header := &doc.GenManHeader{Section: "1", Source: "bulla", Manual: "Bulla Manual"}
	man, pages := filepath.Join(out, "man"), filepath.Join(out, "commands")
	for _, dir := range []string{man, pages} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	return doc.GenMarkdownTree(root, pages)
}

func ask(program string) (*cli.Spec, error) {
	cmd := exec.Command("go", "run", "./cmd/bulla", cli.SpecCommand)
	if program != "" {
		cmd = exec.Command(program, cli.SpecCommand)
	}
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("asking the program for its commands: %w", err)
	}
	spec := &cli.Spec{}
	return spec, json.Unmarshal(data, spec)
}

// command rebuilds a cobra command that has everything but the code.
func command(s *cli.Spec) *cobra.Command {
	cc := &cobra.Command{
		Use: s.Use, Aliases: s.Aliases, Short: s.Short, Long: s.Long, Example: indent(s.Example),
		Deprecated: s.Deprecated, Hidden: s.Hidden, DisableAutoGenTag: true,
		Run: func(*cobra.Command, []string) {},
	}
	if s.BindEnv {
		if cc.Long == "" {
			cc.Long = s.Short + "."
		}
		cc.Long += "\n\nFlags can also be given by environment variables: BULLA_ or COSIGN_ and the flag in capitals, as in COSIGN_OUTPUT_FILE."
	}
	cc.Flags().SortFlags = false
	for _, f := range s.Flags {
		cc.Flags().AddFlag(flagOf(f))
	}
	for i := range s.Commands {
		cc.AddCommand(command(&s.Commands[i]))
	}
	return cc
}

func flagOf(f cli.FlagSpec) *pflag.Flag {
	out := &pflag.Flag{
		Name: f.Name, Shorthand: f.Shorthand, Usage: f.Usage, DefValue: f.Default,
		Value: value{f.Default, f.Type}, Deprecated: f.Deprecated, Hidden: f.Hidden,
	}
	if f.Type == "bool" {
		out.NoOptDefVal = "true"
	}
	return out
}

// value stands in for a flag's value: its type and its default are all that is printed.
type value struct{ def, kind string }

func (v value) String() string   { return v.def }
func (v value) Set(string) error { return nil }
func (v value) Type() string     { return v.kind }

func indent(s string) string {
	if s == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(s, "\n", "\n  ")
}
