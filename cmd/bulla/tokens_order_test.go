package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oidc"
)

// The order in which tokens are looked for is the one that the documents and the help say, and --explain goes by.
func TestDocumentedOrder(t *testing.T) {
	text, err := os.ReadFile("../../docs/tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^   \\| `([a-z-]+)` \\| (?:`([a-z-]+)`)? ?\\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
		if row[2] == "" {
			continue
		}
		if name, err := oidc.Name(row[2]); err != nil || name != row[1] {
			t.Errorf("%s is called %s too: %s, %v", row[1], row[2], name, err)
		}
	}
	if !slices.Equal(documented, oidc.Names()) {
		t.Errorf("docs/tokens.md has %q, and they are asked as %q", documented, oidc.Names())
	}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(flags.OIDC).Register(fs)
	usage := strings.Join(strings.Fields(strings.ReplaceAll(fs.Lookup("oidc-provider").Usage, " or ", ", ")), " ")
	if !strings.Contains(usage, strings.Join(oidc.Names(), ", ")) {
		t.Errorf("--oidc-provider says %q", usage)
	}
	p := newPerson(t)
	said := p.want(0, "", "", "bulla", "login", "--explain")
	at := 0
	for _, name := range slices.Concat([]string{"flag", "session"}, oidc.Names(), []string{"browser", "device", "client-credentials"}) {
		found := regexp.MustCompile(`(?m)^\d+ +` + name + ` `).FindStringIndex(said[at:])
		if found == nil {
			t.Fatalf("%s is not where it belongs:\n%s", name, said)
		}
		at += found[1]
	}
}
