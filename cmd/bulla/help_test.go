package main

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/cli"
)

// Every command shows how it is called, those that are there for others too.
func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(all []*cli.Command, above string)
	walk = func(all []*cli.Command, above string) {
		for _, c := range all {
			name, _, _ := strings.Cut(c.Use, " ")
			if name = above + name; !strings.Contains(c.Example, name) {
				t.Errorf("%s: the example is %q", name, c.Example)
			}
			walk(c.Commands, name+" ")
		}
	}
	walk(newApp(&cli.System{}).Commands, "bulla ")
}
