package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fake is a System in memory.
type fake struct {
	out, err bytes.Buffer
	vars     map[string]string
	in       string
	secrets  []string // what is typed where nothing is shown; having any makes everything a terminal
}

func (f *fake) system() *System {
	return &System{
		In: strings.NewReader(f.in), Out: &f.out, Err: &f.err,
		LookupEnv:  func(name string) (string, bool) { v, ok := f.vars[name]; return v, ok },
		Environ:    func() []string { return nil },
		Now:        func() time.Time { return time.Unix(0, 0) },
		Executable: func() (string, error) { return "/opt/bulla/bin/bulla", nil },
		IsTerminal: func(any) bool { return len(f.secrets) > 0 },
		Width:      func() int { return 0 },
		ReadSecret: func(context.Context) ([]byte, error) {
			if len(f.secrets) == 0 {
				return nil, io.EOF
			}
			s := f.secrets[0]
			f.secrets = append(f.secrets[1:], "")
			return []byte(s), nil
		},
	}
}

// app runs one command, called "do", with the given flags and body.
func (f *fake) app(c *Command, args ...string) int {
	if c.Use == "" {
		c.Use = "do"
	}
	a := &App{System: f.system(), Name: "bulla", Short: "Test", Commands: []*Command{c}}
	return a.Main(context.Background(), args)
}

func TestExitStatus(t *testing.T) {
	cause := errors.New("cause")
	for _, tt := range []struct {
		err           error
		bulla, cosign int
	}{
		{nil, 0, 0},
		{cause, 1, 1},
		{Errorf(ExitNoSignatures, "none"), 10, 10},
		{fmt.Errorf("wrapped: %w", Errorf(ExitNoCertificate, "none")), 13, 13},
		{Errorf(ExitUnknown, "none"), 20, 1},
		{Errorf(ExitUnknown, "no answer: %w", context.Canceled), 130, 1},
		{Errorf(ExitInput, "reading: %w", context.Canceled), 130, 1},
		{Usagef("wrong"), 21, 1},
		{Errorf(ExitInput, "%w", &fs.PathError{Op: "open", Path: "x", Err: cause}), 22, 1},
		{&fs.PathError{Op: "open", Path: "x", Err: cause}, 23, 1},
		{context.DeadlineExceeded, 20, 1},
		{context.Canceled, 130, 1},
	} {
		if got := exitCode(tt.err, false); got != tt.bulla {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.bulla)
		}
		if got := exitCode(tt.err, true); got != tt.cosign {
			t.Errorf("%v in cosign's place: %d, want %d", tt.err, got, tt.cosign)
		}
		for name, want := range map[string]int{"bulla": tt.bulla, "/usr/bin/cosign": tt.cosign, "cosign-linux-amd64": tt.cosign, "cosign.exe": tt.cosign} {
			f := &fake{}
			got := f.app(&Command{Run: func(context.Context, *Call) error { return tt.err }}, name, "do")
			if got != want {
				t.Errorf("%s: %v: exit status %d, want %d", name, tt.err, got, want)
			}
			if tt.err == nil {
				continue
			}
			// People read "interrupted", not what Go calls it.
			if text := strings.ReplaceAll(tt.err.Error(), "context canceled", "interrupted"); !strings.Contains(f.err.String(), text) {
				t.Errorf("%s: the error is not on standard error: %q", name, f.err.String())
			}
		}
	}
}

// A wrong number of arguments is a mistake in using the program, whoever counts them.
func TestWrongNumberOfArguments(t *testing.T) {
	for _, args := range [][]string{{"bulla", "do"}, {"bulla", "do", "1", "2"}} {
		f := &fake{}
		code := f.app(&Command{Use: "do ONE", Args: cobra.ExactArgs(1), Run: func(context.Context, *Call) error { return nil }}, args...)
		if code != ExitUsage || !strings.Contains(f.err.String(), "hint: usage: bulla do ONE\n") {
			t.Errorf("%q: status %d, %s", args, code, f.err.String())
		}
	}
}

func TestReport(t *testing.T) {
	err := Usagef("no %w", errors.New("clay")).WithHint("dig %d", 2)
	var out bytes.Buffer
	report(&out, fmt.Errorf("sealing: %w", err), false)
	if want := "error: sealing: no clay\nhint: dig 2\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	report(&out, err, true)
	if want := "Error: no clay\nerror during command execution: no clay\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestCosignArgs(t *testing.T) {
	tests := []struct {
		in, out  string
		warnings int
	}{
		{"sign -y --key k img", "sign -y --key k img", 0},
		{"sign -key k", "sign --key k", 1},
		{"sign -ak=v", "sign --ak=v", 1},
		{"verify --o json", "verify -o json", 1},
		{"-version", "version", 1},
		{"sign-blob - -", "sign-blob - -", 0},
		{"sign-blob -- -odd --o", "sign-blob -- -odd --o", 0},
		{"-key --o", "--key -o", 2},
	}
	for _, tt := range tests {
		warnings := 0
		got := cosignArgs(strings.Fields(tt.in), func(string, ...any) { warnings++ })
		if strings.Join(got, " ") != tt.out || warnings != tt.warnings {
			t.Errorf("%q: got %q, %d warnings", tt.in, got, warnings)
		}
	}
	if !calledCosign("/x/cosign") || !calledCosign("cosign.exe") || calledCosign("bulla") || calledCosign("/cosign/bulla") {
		t.Error("the name the program is called by is not told right")
	}
}

// probe is a command with one flag of each sort; it records whether it ran.
type probe struct {
	ignore, plain bool
	certificate   string
	trusted, key  string
	kind          Choice
	ran           bool
	typed         map[string]bool
}

func (p *probe) command() *Command {
	return &Command{
		BindEnv: true,
		Flags: func(fs *pflag.FlagSet) {
			Topic(fs, "Trust", func(fs *pflag.FlagSet) {
				fs.BoolVar(&p.ignore, "insecure-ignore-tlog", false, "lower")
				LowersSecurity(fs, "insecure-ignore-tlog")
				fs.StringVar(&p.trusted, "trusted-root", "", "whom to trust")
				fs.StringVar(&p.key, "key", "", "whom to trust")
				ChangesTrust(fs, "trusted-root", "key")
			})
			fs.BoolVar(&p.plain, "plain", false, "nothing special")
			fs.StringVar(&p.certificate, "certificate", "", "old")
			Deprecate(fs, "certificate", "use something else")
			ChoiceVar(fs, &p.kind, "kind", "choose", "a", "b")
			Exclusive(fs, "plain", "certificate")
		},
		Run: func(_ context.Context, c *Call) error {
			p.ran, p.typed = true, map[string]bool{}
			for _, name := range []string{"plain", "key", "kind"} {
				if c.Changed(name) {
					p.typed[name] = c.Typed(name)
				}
			}
			return nil
		},
	}
}

// A flag that comes from the environment is given, and was not typed.
func TestTyped(t *testing.T) {
	f, p := &fake{vars: map[string]string{"COSIGN_PLAIN": "true", "COSIGN_KEY": "a.pub"}}, &probe{}
	if code := f.app(p.command(), "bulla", "do", "--key", "b.pub"); code != 0 {
		t.Fatal(f.err.String())
	}
	if want := map[string]bool{"plain": false, "key": true}; !maps.Equal(p.typed, want) {
		t.Errorf("typed %v, want %v", p.typed, want)
	}
	if f.err.String() != "" {
		t.Errorf("said %q of a variable that is not used", f.err.String())
	}
}

func TestEnvironmentBinding(t *testing.T) {
	tests := []struct {
		name   string
		vars   map[string]string
		args   string
		code   int
		says   string // on standard error; "" means nothing at all
		ignore bool
	}{
		{"nothing", nil, "", 0, "", false},
		{"a check turned off is always told", map[string]string{"COSIGN_INSECURE_IGNORE_TLOG": "true"}, "", 0, "--insecure-ignore-tlog comes from the environment variable COSIGN_INSECURE_IGNORE_TLOG, and turns a check off", true},
		{"set to its default it turns nothing off", map[string]string{"COSIGN_INSECURE_IGNORE_TLOG": "false"}, "", 0, "", false},
		{"BULLA wins", map[string]string{"COSIGN_INSECURE_IGNORE_TLOG": "true", "BULLA_INSECURE_IGNORE_TLOG": "false"}, "", 0, "", false},
		{"the command line wins", map[string]string{"COSIGN_INSECURE_IGNORE_TLOG": "true"}, "--insecure-ignore-tlog=false", 0, "", false},
		{"empty is not set", map[string]string{"COSIGN_INSECURE_IGNORE_TLOG": ""}, "", 0, "", false},
		{"what changes the trust is always told", map[string]string{"COSIGN_TRUSTED_ROOT": "r.json", "BULLA_KEY": "k"}, "", 0, "what is trusted comes from the environment: --trusted-root from COSIGN_TRUSTED_ROOT, --key from BULLA_KEY\n", false},
		{"once when verbose", map[string]string{"COSIGN_KEY": "k"}, "--verbose", 0, "warning: what is trusted comes from the environment: --key from COSIGN_KEY\n", false},
		{"an empty trust is not set", map[string]string{"COSIGN_TRUSTED_ROOT": ""}, "", 0, "", false},
		{"others are told when verbose", map[string]string{"COSIGN_PLAIN": "true"}, "--verbose", 0, "--plain comes from the environment variable COSIGN_PLAIN", false},
		{"and not told otherwise", map[string]string{"COSIGN_PLAIN": "true"}, "", 0, "", false},
		{"verbose from the environment", map[string]string{"COSIGN_PLAIN": "true", "COSIGN_VERBOSE": "1"}, "", 0, "COSIGN_PLAIN", false},
		{"a bad value", map[string]string{"COSIGN_KIND": "c"}, "", 21, "COSIGN_KIND does not fit --kind: must be one of a, b", false},
		{"exclusive with what was given", map[string]string{"COSIGN_PLAIN": "true"}, "--certificate x", 21, "--plain and --certificate cannot be given together", false},
		{"and told which was not typed", map[string]string{"COSIGN_PLAIN": "true"}, "--certificate x", 21, "note: --plain comes from the environment variable COSIGN_PLAIN", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, p := &fake{vars: tt.vars}, &probe{}
			code := f.app(p.command(), append([]string{"bulla", "do"}, strings.Fields(tt.args)...)...)
			if code != tt.code || p.ignore != tt.ignore || p.ran != (tt.code == 0) {
				t.Errorf("status %d, ignore %v, ran %v", code, p.ignore, p.ran)
			}
			if got := f.err.String(); !strings.Contains(got, tt.says) || tt.says == "" && got != "" {
				t.Errorf("said %q, want %q", got, tt.says)
			}
		})
	}
}

func TestAliasesAndDeprecation(t *testing.T) {
	f, p := &fake{}, &probe{}
	if code := f.app(p.command(), "bulla", "do", "--cert", "x"); code != 0 || p.certificate != "x" {
		t.Errorf("status %d, certificate %q: %s", code, p.certificate, f.err.String())
	}
	if want := "Flag --certificate has been deprecated, use something else\n"; f.err.String() != want || f.out.Len() > 0 {
		t.Errorf("said %q", f.err.String())
	}
	f, p = &fake{}, &probe{}
	f.app(p.command(), "bulla", "help", "do")
	if help := f.out.String(); strings.Contains(help, "--certificate") || !strings.Contains(help, "Trust:\n  --insecure-ignore-tlog\n") || p.ran {
		t.Errorf("help: %s", help)
	}
}

func TestFlagsAreRegisteredForTheSelectedCommandOnly(t *testing.T) {
	calls := map[string]int{}
	command := func(name string) *Command {
		return &Command{
			Use: name, Flags: func(*pflag.FlagSet) { calls[name]++ }, Run: func(context.Context, *Call) error { return nil },
		}
	}
	f := &fake{}
	a := &App{System: f.system(), Name: "bulla", Commands: []*Command{
		command("one"), command("two"), {Use: "group", Commands: []*Command{command("three")}},
	}}
	if code := a.Main(t.Context(), []string{"bulla", "-t", "5s", "group", "three"}); code != 0 {
		t.Fatal(f.err.String())
	}
	if calls["three"] != 1 || len(calls) != 1 {
		t.Errorf("flags were registered for %v", calls)
	}
	a.Main(t.Context(), []string{"bulla", SpecCommand})
	if calls["one"] != 1 || calls["two"] != 1 || calls["three"] != 2 {
		t.Errorf("documentation registered %v", calls)
	}
}

func TestRequireOne(t *testing.T) {
	run := func(args ...string) (int, string) {
		f := &fake{}
		var s string
		code := f.app(&Command{
			Flags: func(fs *pflag.FlagSet) {
				fs.StringVar(&s, "a", "", "a")
				fs.StringVar(&s, "b", "", "b")
				RequireOne(fs, "a", "b")
			},
			Run: func(context.Context, *Call) error { return nil },
		}, append([]string{"bulla", "do"}, args...)...)
		return code, f.err.String()
	}
	if code, said := run(); code != ExitUsage || !strings.Contains(said, "one of --a and --b is required") {
		t.Errorf("%d, %q", code, said)
	}
	if code, said := run("--b", "x"); code != 0 {
		t.Errorf("%d, %q", code, said)
	}
}

func TestSubcommandsThatDoNotExist(t *testing.T) {
	group := &Command{Use: "group", Commands: []*Command{{Use: "known", Run: func(context.Context, *Call) error { return nil }}}}
	for _, args := range [][]string{{"group", "unknown"}, {"group", "unknown", "--flag"}} {
		f := &fake{}
		if code := f.app(group, append([]string{"bulla"}, args...)...); code != ExitUsage || !strings.Contains(f.err.String(), `unknown command "unknown" for "bulla group"`) {
			t.Errorf("%q: %d, %q", args, code, f.err.String())
		}
	}
	f := &fake{}
	if code := f.app(group, "bulla", "group"); code != 0 || !strings.Contains(f.out.String(), "known") {
		t.Errorf("alone it explains itself: %d, %q", code, f.out.String())
	}
}

func TestTimeout(t *testing.T) {
	wait := func(ctx context.Context, _ *Call) error {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting: %w", ctx.Err())
		case <-time.After(time.Minute):
			return nil
		}
	}
	f := &fake{}
	if code := f.app(&Command{Run: wait}, "bulla", "do", "--timeout", "1ms"); code != ExitUnknown || !strings.Contains(f.err.String(), "hint: --timeout") {
		t.Errorf("%d, %q", code, f.err.String())
	}
	f = &fake{}
	has := func(ctx context.Context, _ *Call) error {
		if _, ok := ctx.Deadline(); ok {
			return errors.New("there is a deadline")
		}
		return nil
	}
	if code := f.app(&Command{Run: has, NoTimeout: true}, "bulla", "do"); code != 0 {
		t.Error(f.err.String())
	}
	if code := f.app(&Command{Run: has}, "bulla", "do", "-t", "0"); code != 0 {
		t.Error(f.err.String())
	}
	f = &fake{}
	if code := f.app(&Command{Run: has}, "bulla", "do", "--timeout", "-1s"); code != ExitUsage || !strings.Contains(f.err.String(), "--timeout -1s is negative") {
		t.Errorf("%d, %q", code, f.err.String())
	}
	f = &fake{vars: map[string]string{"COSIGN_TIMEOUT": "-1s"}}
	if code := f.app(&Command{Run: has, BindEnv: true}, "bulla", "do"); code != ExitUsage || !strings.Contains(f.err.String(), "note: --timeout comes from the environment variable COSIGN_TIMEOUT") {
		t.Errorf("%d, %q", code, f.err.String())
	}
	if code := f.app(&Command{Run: has}, "bulla", "do"); code == 0 {
		t.Error("a command has no deadline")
	}
}

func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		answer   string
		terminal bool
		cosign   bool
		yes      bool
		ok       bool
	}{
		{"y\n", true, false, false, true},
		{"Y\r\n", true, false, false, true},
		{"n\n", true, false, false, false},
		{"\n", true, false, false, false},
		{"yes\n", true, false, false, false},
		{"", true, false, false, false},
		{"", false, false, true, true},
		{"y\n", false, false, false, false},
		{"y\n", false, true, false, true},
		{"", false, true, false, false},
	} {
		f := &fake{in: tt.answer}
		if tt.terminal {
			f.secrets = []string{""}
		}
		c := &Call{System: *f.system(), Cosign: tt.cosign}
		if err := c.Confirm(tt.yes, "it will be gone"); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestPassword(t *testing.T) {
	for _, tt := range []struct {
		in      string
		secrets []string
		confirm bool
		want    string
		err     string
	}{
		{in: "pw\nrest", want: "pw"},
		{in: "pw", want: "pw"},
		{in: " p w \r\n", want: " p w "},
		{in: "\n", want: ""},
		{in: "", err: "standard input is empty"},
		{in: strings.Repeat("x", maxLine+1), err: "longer than"},
		{secrets: []string{"pw"}, want: "pw"},
		{secrets: []string{"pw", "pw"}, confirm: true, want: "pw"},
		{secrets: []string{"pw", "wp"}, confirm: true, err: "differ"},
	} {
		f := &fake{in: tt.in, secrets: tt.secrets}
		c := &Call{System: *f.system()}
		got, err := c.Password(t.Context(), tt.confirm)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: got %q, %v", tt, got, err)
		}
	}
	// A question ends with the command.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stuck, writer := io.Pipe()
	defer writer.Close()
	waiting := &Call{System: *(&fake{}).system(), Cosign: true, ctx: ctx}
	waiting.In = stuck
	if _, err := waiting.Password(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a password asked for after the command was stopped: %v", err)
	}
	if err := waiting.Confirm(false, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("a question asked after the command was stopped: %v", err)
	}
	// What follows the line is left for the next reader.
	f := &fake{in: "pw\nrest"}
	c := &Call{System: *f.system()}
	c.Password(t.Context(), false)
	if rest, _ := io.ReadAll(c.In); string(rest) != "rest" {
		t.Errorf("left %q", rest)
	}
}

func TestColourAndProgress(t *testing.T) {
	for _, tt := range []struct {
		vars     map[string]string
		terminal bool
		colour   bool
	}{
		{nil, true, true},
		{nil, false, false},
		{map[string]string{"NO_COLOR": "1"}, true, false},
		{map[string]string{"NO_COLOR": ""}, true, true},
		{map[string]string{"TERM": "dumb"}, true, false},
	} {
		f := &fake{vars: tt.vars}
		if tt.terminal {
			f.secrets = []string{""}
		}
		c := &Call{System: *f.system()}
		c.Warnf("careful")
		if strings.Contains(f.err.String(), "\x1b") != tt.colour || c.Coloured() != tt.colour {
			t.Errorf("%+v: %q", tt, f.err.String())
		}
		f.err.Reset()
		c.Progress("digging")()
		if (f.err.Len() > 0) != tt.terminal {
			t.Errorf("%+v: progress %q", tt, f.err.String())
		}
	}
}

func TestPrintJSON(t *testing.T) {
	f := &fake{}
	c := &Call{System: *f.system()}
	if err := c.PrintJSON(map[string]string{"a": "<&>"}); err != nil || f.out.String() != "{\n  \"a\": \"<&>\"\n}\n" {
		t.Errorf("%q, %v", f.out.String(), err)
	}
}

func TestKeyEnvironment(t *testing.T) {
	f := &fake{vars: map[string]string{"BULLA_PLUGIN_DIR": "/plugins"}}
	c := &Call{System: *f.system()}
	if got := c.KeyEnvironment().PlugInDirs; !slices.Equal(got, []string{"/plugins", "/opt/bulla/bin"}) {
		t.Errorf("got %q", got)
	}
}

func TestWrap(t *testing.T) {
	var out bytes.Buffer
	wrap(&out, "a bb  ccc averylongword d", 8, "  ")
	if want := "  a bb\n  ccc\n  averylongword\n  d\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
