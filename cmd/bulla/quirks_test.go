package main

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// quirk is one way in which registries differ, and with which status commands end because of it. Where nothing is said they
// do what they are for.
type quirk struct {
	name   string
	quirks testenv.Quirks
	api    bool
	etag   bool
	found  int  // of verifying what is there; 0: it verifies
	every  int  // of listing everything that is there
	absent int  // of looking where nothing is; 0: that is said
	write  int  // of attaching a bundle where nothing is; 0: it is attached
	more   int  // of attaching one to what is there
	older  int  // of writing one of the older tags
	carry  int  // of carrying an image with everything to such a registry
	busy   int  // of all that makes a request
	never  bool // what a repair mends does not stay mended
	loose  bool // it strikes now and then: whoever was not struck does what it is for
	blind  bool // what is there cannot be seen, and the registry says so in the words of the specification
}

// troubles says whether a quirk keeps anybody from what he is about.
func (q *quirk) troubles() bool {
	return q.blind || q.never || q.found|q.every|q.absent|q.write|q.more|q.older|q.carry|q.busy != 0
}

// quirkTable has every switch of the quirk server, see TestQuirksAreAllThere.
func quirkTable() []quirk {
	const out = cli.ExitUnknown
	always := func(q quirk) quirk {
		q.found, q.every, q.absent, q.write, q.more, q.older, q.carry, q.busy = out, out, out, out, out, out, out, out
		return q
	}
	return []quirk{
		{name: "API", api: true},
		{name: "tag"},
		{name: "conditions honoured", etag: true},
		{name: "GitLab", quirks: testenv.Quirks{TagIsSubject: true}},
		{name: "the tag stays the subject", quirks: testenv.Quirks{TagIsSubject: true, TagStaysSubject: true}, blind: true, write: out, more: out, carry: out},
		{name: "GHCR", api: true, quirks: testenv.Quirks{ListThrottled: true}, found: out, every: out, absent: out, write: out, more: out, carry: out},
		{name: "no artifact type", api: true, quirks: testenv.Quirks{NoArtifactType: true}},
		{name: "no artifact type under the tag", never: true, quirks: testenv.Quirks{NoArtifactType: true}},
		{name: "the config's type", api: true, quirks: testenv.Quirks{ConfigAsType: true}},
		{name: "weak ETag", etag: true, quirks: testenv.Quirks{WeakETag: true}},
		{name: "eventually consistent", quirks: testenv.Quirks{StaleFor: 30 * time.Millisecond}},
		{name: "immutable as ECR", quirks: testenv.Quirks{Immutable: "ecr"}},
		{name: "immutable as Harbor", quirks: testenv.Quirks{Immutable: "harbor"}},
		{name: "immutable with conflict", etag: true, quirks: testenv.Quirks{Immutable: "conflict"}},
		{name: "HTML 404", quirks: testenv.Quirks{HTMLNotFound: true}, every: out, absent: out, write: out, older: out, carry: out},
		{name: "endless pages", api: true, quirks: testenv.Quirks{EndlessPages: true}, every: out, absent: out, carry: out},
		{name: "lying sizes", api: true, quirks: testenv.Quirks{LyingSizes: true}, found: out, every: out},
		always(quirk{name: "two-faced", api: true, quirks: testenv.Quirks{TwoFaced: true}, loose: true}),
		always(quirk{name: "throttled", api: true, quirks: testenv.Quirks{Throttle: 10}}),
		always(quirk{name: "throttled now and then", quirks: testenv.Quirks{Throttle: 3}, loose: true}),
		always(quirk{name: "failing", quirks: testenv.Quirks{Unavailable: 10}}),
		always(quirk{name: "failing now and then", quirks: testenv.Quirks{Unavailable: 3}, loose: true}),
		{name: "uploads in two steps", api: true, quirks: testenv.Quirks{TwoStepUploads: true}},
		{name: "blobs elsewhere", api: true, quirks: testenv.Quirks{RedirectBlobs: true}},
	}
}

// TestQuirks runs every command that speaks to a registry against registries that behave as registries do. Whatever a
// command says is true, or it says that it could not find out: an image that is signed is never called unsigned, one that is
// not is never verified, and what is reported as stored, removed or carried is there, gone or whole.
func TestQuirks(t *testing.T) {
	template := newQuirkTemplate(t)
	table := quirkTable()
	if raceDetector {
		// What the detector is after is in the client, which package oci's own test of the quirks shows it whole.
		table = slices.DeleteFunc(table, func(q quirk) bool {
			return !slices.Contains([]string{"API", "immutable as ECR", "failing now and then"}, q.name)
		})
	}
	// Nearly all of the time is waiting, for registries and for other writers.
	var group sync.WaitGroup
	for _, q := range table {
		w := template.registry(t, q)
		for _, row := range quirkCommands() {
			group.Go(func() { w.run(t, row) })
		}
	}
	group.Wait()
}

// run runs one command under the quirk, and looks at what it did without.
func (w *quirkWorld) run(t *testing.T, row quirkCommand) {
	want := row.want(w)
	args := append(strings.Fields(row.command), row.args(w, row.repo)...)
	if slices.Contains(want, cli.ExitUnknown) {
		args = append(args, "--timeout=10s") // to go on until it is certain may take minutes, which say nothing more
	}
	code, out, said := quietly(args...)
	if !slices.Contains(want, code) {
		t.Errorf("%s: bulla %s: status %d, want one of %v\n%s%s", w.quirk.name, strings.Join(args, " "), code, want, out, said)
		return
	}
	if code == row.fine && row.says != nil && !w.quirk.blind {
		if what := row.says(out); what != "" {
			t.Errorf("%s: bulla %s: %s\n%s%s", w.quirk.name, strings.Join(args, " "), what, out, said)
		}
	}
	if row.after == nil {
		return
	}
	if what := row.after(w, code == 0); what != "" {
		t.Errorf("%s: bulla %s: status %d, and %s\n%s%s\n%s", w.quirk.name, strings.Join(args, " "), code, what, out, said, w.reg.Log())
	}
}

// TestQuirksAreAllThere: every switch of the quirk server and every command with flags for a registry is in the table.
func TestQuirksAreAllThere(t *testing.T) {
	used := map[string]bool{}
	for _, q := range quirkTable() {
		v := reflect.ValueOf(q.quirks)
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				used[v.Type().Field(i).Name] = true
			}
		}
	}
	kind := reflect.TypeFor[testenv.Quirks]()
	for i := range kind.NumField() {
		if name := kind.Field(i).Name; !used[name] {
			t.Errorf("no case of the table switches %s on", name)
		}
	}
	tried := map[string]bool{
		"flush": true, // TestFlushUnderQuirks in test/crash, since it needs a log
	}
	for _, row := range quirkCommands() {
		tried[row.command] = true
	}
	for _, name := range registryCommands(newApp(cli.OS()).Commands, "") {
		if !tried[name] {
			t.Errorf("bulla %s speaks to registries, and is not run against their quirks", name)
		}
	}
}

// registryCommands lists the commands with flags for a registry.
func registryCommands(commands []*cli.Command, above string) (out []string) {
	for _, c := range commands {
		name, _, _ := strings.Cut(c.Use, " ")
		if c.Run != nil && c.Flags != nil {
			fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
			c.Flags(fs)
			if fs.Lookup("allow-http-registry") != nil {
				out = append(out, above+name)
			}
		}
		out = append(out, registryCommands(c.Commands, above+name+" ")...)
	}
	return out
}

// expect runs the program, which must end with one of the statuses, and returns it.
func expect(t *testing.T, want []int, args ...string) int {
	t.Helper()
	code, out, said := quietly(args...)
	if !slices.Contains(want, code) {
		t.Errorf("%v: status %d, want one of %v\n%s%s", args, code, want, out, said)
	}
	return code
}

// quietly runs the program and returns its status, what it printed and what it said beside that.
func quietly(args ...string) (code int, out, said string) {
	sys := cli.OS()
	var printed, noise bytes.Buffer
	sys.Out, sys.Err, sys.In, sys.Dial = &printed, &noise, strings.NewReader(""), withinThisMachine
	code = newApp(sys).Main(context.Background(), append([]string{"bulla"}, args...))
	return code, printed.String(), noise.String()
}
