package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
)

// batch is how the commands sign that take many artifacts at once.
type batch struct {
	from       string
	jobs       int
	skipSigned bool
	lookFirst  bool // of images: what is easily found is left out, see [imageSigning.foundBefore]
}

// Limits of a batch.
const (
	// defaultJobs keeps a log and a registry busy without being a burden to either.
	defaultJobs = 4
	// maxJobs bounds connections and open files: services limit how many one client may have.
	maxJobs = 64
	// maxList bounds the file of --from, in bytes, and maxListed its entries: a registry with a hundred thousand images is
	// among the largest.
	maxList   = 16 << 20
	maxListed = 100_000
	// maxListLine bounds one entry in bytes: paths end at 4 KiB, references before.
	maxListLine = 4 << 10
	// maxNamed bounds how many artifacts the error at the end of a batch names; all were named when they failed.
	maxNamed = 20
)

func (b *batch) register(fs *pflag.FlagSet, what string) {
	cli.Topic(fs, "Many at once", func(fs *pflag.FlagSet) {
		fs.StringVar(&b.from, "from", "", "`FILE` that lists more "+what+", one a line, - for standard input; empty lines and those that begin with # are skipped")
		fs.IntVar(&b.jobs, "jobs", defaultJobs, "how many are signed at the same time, `N`")
		fs.BoolVar(&b.skipSigned, "skip-signed", false, "leave out what this signer has signed before, if it verifies; "+skipDefault[what])
		cli.Own(fs, "from", "jobs", "skip-signed")
	})
}

// skipDefault says what is done without --skip-signed, by what is signed.
var skipDefault = map[string]string{
	"files":  "with --from that is the default",
	"images": "with --from that is the default; without either, only the first pieces of evidence are looked at for one that says the same; --skip-signed=false signs in any case",
}

// again says whether an earlier signature is looked for.
func (b *batch) again(to storage) bool { return (b.skipSigned || b.lookFirst) && to.upload }

// args wants at least one artifact, or a list of them.
func (b *batch) args(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("from") {
		return nil
	}
	return cobra.MinimumNArgs(1)(cmd, args)
}

// load checks the flags and adds what is listed to the arguments.
func (b *batch) load(ctx context.Context, c *cli.Call) error {
	if err := b.checkJobs(); err != nil {
		return err
	}
	if c.Cosign {
		b.jobs = 1 // in order, and no further than the first that fails
	}
	b.lookFirst = !c.Cosign && !c.Changed("skip-signed")
	if !c.Changed("from") {
		return nil
	}
	c.JSONLines = true
	b.skipSigned = b.skipSigned || !c.Changed("skip-signed")
	var data []byte
	var err error
	if b.from == "-" {
		if _, err = oneStdin(append([]string{"-"}, c.Args...)...); err != nil {
			return err
		}
		data, err = readUpTo(c.In, "standard input", maxList)
		err = inputError(err)
	} else {
		data, err = readFileUpTo(ctx, b.from, maxList)
	}
	if err != nil {
		return err
	}
	listed, err := parseList(data)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "--from %s: %w", b.from, err)
	}
	if c.Args = append(c.Args, listed...); len(c.Args) == 0 {
		return cli.Errorf(cli.ExitInput, "--from %s lists nothing to sign", b.from)
	}
	return nil
}

func (b *batch) checkJobs() error {
	if b.jobs < 1 || b.jobs > maxJobs {
		return cli.Usagef("--jobs %d: it is a number from 1 to %d", b.jobs, maxJobs)
	}
	return nil
}

// parseList reads the lines of a list. Spaces around an entry do not count, nor does the mark that some editors put before all.
func parseList(data []byte) ([]string, error) {
	var out []string
	mark := []byte("\xef\xbb\xbf")
	for n := 1; len(data) > 0; n++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		line = bytes.TrimSpace(line)
		for len(out) == 0 && bytes.HasPrefix(line, mark) {
			line = bytes.TrimSpace(line[len(mark):])
		}
		switch {
		case len(line) == 0 || line[0] == '#':
			continue
		case len(line) > maxListLine:
			return nil, fmt.Errorf("line %d has more than %d bytes", n, maxListLine)
		case bytes.IndexByte(line, 0) >= 0:
			return nil, fmt.Errorf("line %d holds a zero byte: it is not a list", n)
		case string(line) == "-":
			return nil, fmt.Errorf("line %d is -, and standard input can be named on the command line only", n)
		case len(out) == maxListed:
			return nil, fmt.Errorf("it lists more than %d", maxListed)
		}
		out = append(out, string(line))
	}
	return out, nil
}

// stopError is one that would come back for everything that is left, such as a token that was refused.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// stop ends a batch with the error.
func stop(err error) error {
	if err == nil {
		return nil
	}
	return &stopError{err}
}

// notSigned is the outcome for an artifact of a batch that failed, as -o json prints it.
type notSigned struct {
	Artifact string `json:"artifact"`
	Error    string `json:"error"`
}

// each does the work for every name, so many at the same time as --jobs says, and goes on where one fails: that is told at
// once, and all that failed are named at the end. With one name its error is the answer.
func (b *batch) each(ctx context.Context, c *cli.Call, r batchRun) error {
	if len(r.names) == 1 {
		return r.do(ctx, c, 0)
	}
	errs, halted := b.all(ctx, c, r)
	if c.Cosign {
		return halted
	}
	return r.sum(errs, halted)
}

// all is [batch.each] without the error at the end: it returns that of each name, and what ended the batch early.
func (b *batch) all(ctx context.Context, c *cli.Call, r batchRun) (errs []error, halted error) {
	var output sync.Mutex
	line := &statusLine{mu: &output, w: c.Err, shown: c.IsTerminal(c.Err)}
	own, terminal := *c, c.IsTerminal
	own.Err, own.Out = line, &statusLine{mu: &output, w: c.Out}
	own.IsTerminal = func(stream any) bool {
		if l, ok := stream.(*statusLine); ok {
			stream = l.w
		}
		return terminal(stream)
	}
	c = &own
	errs = make([]error, len(r.names))
	var mu sync.Mutex // guards what follows
	next, done := 0, 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if halted == nil && ctx.Err() != nil {
			halted = &endedError{ctx.Err()}
		}
		if halted != nil || next == len(r.names) {
			return -1
		}
		next++
		return next - 1
	}
	parallel(min(b.jobs, len(r.names)), b.jobs, func(int) {
		for i := take(); i >= 0; i = take() {
			err := r.do(ctx, c, i)
			mu.Lock()
			errs[i] = err
			var fatal *stopError
			if errors.As(err, &fatal) || err != nil && c.Cosign {
				halted = err
			}
			done++
			line.show(fmt.Sprintf("%d of %d", done, len(r.names)))
			mu.Unlock()
			if err != nil && !c.Cosign {
				r.failed(c, i, err)
			}
		}
	})
	line.show("")
	for i := next; i < len(errs); i++ {
		errs[i] = halted
	}
	return errs, halted
}

// parallel does the work for every number below n, so many at the same time.
func parallel(n, jobs int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, jobs) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// batchRun is what to do with which names.
type batchRun struct {
	names []string
	json  bool
	do    func(ctx context.Context, c *cli.Call, i int) error
}

// failed tells of one that was not signed.
func (r *batchRun) failed(c *cli.Call, i int, err error) {
	if r.json {
		_ = c.PrintJSON(notSigned{r.names[i], err.Error()}) // that the output is gone shows when a result is printed
	}
	name := describe.Printable(r.names[i])
	if strings.Contains(err.Error(), name) {
		c.Warnf("%v", err)
		return
	}
	c.Warnf("%s: %v", name, err)
}

// sum makes the error of the whole: it has the status that all failures share, and names what is missing.
func (r *batchRun) sum(errs []error, halted error) error {
	var names []string
	for i, err := range errs {
		if err != nil {
			names = append(names, describe.Printable(r.names[i]))
		}
	}
	if len(names) == 0 {
		return nil
	}
	code := sharedCode(errs)
	missing, more := len(names), ""
	if missing > maxNamed {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", missing-maxNamed)
	}
	text := fmt.Sprintf("%d of %d were not signed: %s%s", missing, len(errs), strings.Join(names, ", "), more)
	if halted != nil {
		code = exitCode(halted)
		hint := again
		var coded *cli.Error
		if errors.As(halted, &coded) && coded.Hint != "" {
			hint += "; " + coded.Hint
		}
		if errors.Is(halted, context.DeadlineExceeded) {
			hint += "; --timeout sets how long a command may take"
		}
		return cli.Errorf(code, "%w; %s", halted, text).WithHint("%s", hint)
	}
	return cli.Errorf(code, "%s", text).WithHint("%s", again)
}

const again = "run the command again with --skip-signed: what is signed already is left out"

// sharedCode is the status that all failures share, or else that of failures without a number of their own.
func sharedCode(errs []error) int {
	code := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		if own := exitCode(err); code == 0 || code == own {
			code = own
		} else {
			code = cli.ExitFailure
		}
	}
	return code
}

// exitCode is the status that an error leads to.
func exitCode(err error) int {
	var coded *cli.Error
	switch {
	case errors.As(err, &coded):
		return coded.Code
	case errors.As(err, new(*fs.PathError)):
		return cli.ExitIO
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled): // of which package cli makes its own
		return cli.ExitUnknown
	}
	return cli.ExitFailure
}

// endedError says that a batch was told to stop, or had no more time.
type endedError struct{ err error }

func (e *endedError) Error() string {
	if errors.Is(e.err, context.DeadlineExceeded) {
		return "time is up"
	}
	return "interrupted"
}

func (e *endedError) Unwrap() error { return e.err }

// statusLine is a stream that the jobs of a batch share. On a terminal its last line says how far the batch is; what is
// written goes above it.
type statusLine struct {
	mu    *sync.Mutex
	w     io.Writer
	shown bool // whether w is a terminal
	text  string
}

func (s *statusLine) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" {
		return s.w.Write(p)
	}
	if _, err := fmt.Fprintf(s.w, "\r\x1b[K%s%s", p, s.text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// show replaces the line, where there is a terminal for it.
func (s *statusLine) show(text string) {
	if !s.shown {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
	fmt.Fprintf(s.w, "\r\x1b[K%s", text)
}
