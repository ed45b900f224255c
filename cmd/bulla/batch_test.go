package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
)

func TestParseListLimits(t *testing.T) {
	for name, text := range map[string]string{
		"line %d has more": strings.Repeat("a", maxListLine+1), "a zero byte": "a\x00b", "standard input": "a\n - ",
		"it lists more": strings.Repeat("a\n", maxListed+1),
	} {
		name, _, _ = strings.Cut(name, "%d")
		if _, err := parseList([]byte(text)); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := parseList([]byte("\ufeff# of an editor\r\na\r\n\ufeffb")); err != nil || strings.Join(got, "|") != "a|\ufeffb" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := parseList([]byte("a b\r\n\n#c\n\t d")); err != nil || strings.Join(got, "|") != "a b|d" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte("a\n# b\n\nregistry.example/app@sha256:00\r\n"))
	f.Add([]byte(" \ufeff \ufeffa\n\ufeffb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseList(data)
		if err != nil {
			return
		}
		again, err := parseList([]byte(strings.Join(list, "\n")))
		if err != nil || strings.Join(again, "\n") != strings.Join(list, "\n") {
			t.Errorf("%q became %q: %v", list, again, err)
		}
	})
}

func batchCall(stderr *bytes.Buffer, terminal bool) *cli.Call {
	return &cli.Call{System: cli.System{
		Out: io.Discard, Err: stderr, IsTerminal: func(s any) bool { return terminal && s == any(stderr) },
		LookupEnv: func(string) (string, bool) { return "", false },
	}}
}

// On a terminal the last line says how far it is, and nothing of it stays; elsewhere there is no such line.
func TestBatchProgress(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var stderr bytes.Buffer
		b := &batch{jobs: 2}
		var most, now atomic.Int32
		err := b.each(t.Context(), batchCall(&stderr, terminal), batchRun{names: make([]string, 20), do: func(_ context.Context, c *cli.Call, i int) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			c.Infof("did %d", i)
			return nil
		}})
		if err != nil || most.Load() > 2 {
			t.Errorf("%v; %d at once", err, most.Load())
		}
		text := stderr.String()
		if strings.Contains(text, "20 of 20") != terminal || strings.Contains(text, "\x1b") != terminal || strings.Count(text, "did ") != 20 {
			t.Errorf("terminal %v: %q", terminal, text)
		}
		if terminal && !strings.HasSuffix(text, "\r\x1b[K") {
			t.Errorf("a line stays: %q", text)
		}
	}
}

// The status is the one that all failures share; what would fail for all ends the run; so does the end of time.
func TestBatchFailures(t *testing.T) {
	io1, usage := cli.Errorf(cli.ExitIO, "no disk"), cli.Usagef("no sense")
	for name, tt := range map[string]struct {
		errs []error
		code int
		did  int32
		text string
	}{
		"one of three":   {[]error{nil, io1, nil}, cli.ExitIO, 3, "1 of 3 were not signed: b"},
		"two of a kind":  {[]error{io1, io1, nil}, cli.ExitIO, 3, "2 of 3 were not signed: a, b"},
		"two kinds":      {[]error{io1, usage, nil}, cli.ExitFailure, 3, "2 of 3 were not signed: a, b"},
		"one for all":    {[]error{nil, stop(usage), nil}, cli.ExitUsage, 2, "no sense; 2 of 3 were not signed: b, c"},
		"nothing at all": {[]error{nil, nil, nil}, 0, 3, ""},
	} {
		var stderr bytes.Buffer
		var did atomic.Int32
		err := (&batch{jobs: 1}).each(t.Context(), batchCall(&stderr, false), batchRun{names: []string{"a", "b", "c"}, do: func(_ context.Context, _ *cli.Call, i int) error {
			did.Add(1)
			return tt.errs[i]
		}})
		if tt.code == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var coded *cli.Error
		if !errors.As(err, &coded) || coded.Code != tt.code || err.Error() != tt.text || did.Load() != tt.did {
			t.Errorf("%s: %v after %d", name, err, did.Load())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := (&batch{jobs: 1}).each(ctx, batchCall(new(bytes.Buffer), false), batchRun{names: []string{"a", "b"}, do: func(context.Context, *cli.Call, int) error {
		cancel()
		return nil
	}})
	// Package cli makes its status for interruptions of errors with a status from ExitUnknown on.
	if !errors.Is(err, context.Canceled) || err.Error() != "interrupted; 1 of 2 were not signed: b" || exitCode(err) < cli.ExitUnknown {
		t.Errorf("cancelled: %v, status %d", err, exitCode(err))
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	err = (&batch{jobs: 1}).each(late, batchCall(new(bytes.Buffer), false), batchRun{names: []string{"a", "b"}})
	var coded *cli.Error
	if !errors.As(err, &coded) || coded.Code != cli.ExitUnknown || err.Error() != "time is up; 2 of 2 were not signed: a, b" || !strings.Contains(coded.Hint, "--timeout") {
		t.Errorf("no time: %v", err)
	}
}
