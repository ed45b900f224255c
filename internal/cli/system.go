package cli

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/bulla-sign/bulla/internal/network"
)

// System is the process's surroundings, as far as a command may touch them. Tests make their own.
type System struct {
	In        io.Reader
	Out, Err  io.Writer
	LookupEnv func(name string) (string, bool)
	Environ   func() []string // NAME=value, as os.Environ
	Now       func() time.Time
	// Dial opens connections to other machines; nil: as the transports that commands use do by themselves.
	Dial network.Dial
	// Executable returns the path of the running program; plug-in programs are looked for beside it.
	Executable func() (string, error)
	// IsTerminal reports whether In, Out or Err, whichever it is given, is a terminal.
	IsTerminal func(stream any) bool
	// Width returns the terminal's width in columns, or 0 if there is none.
	Width func() int
	// ReadSecret reads a line from the terminal without showing it, and without its newline. When ctx ends it returns, and
	// the terminal shows what is typed again.
	ReadSecret func(ctx context.Context) ([]byte, error)
}

// OS returns the real thing.
func OS() *System {
	return &System{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		LookupEnv:  os.LookupEnv,
		Environ:    os.Environ,
		Now:        time.Now,
		Executable: os.Executable,
		IsTerminal: isTerminal,
		Width:      width,
		ReadSecret: readSecret,
	}
}

func readSecret(ctx context.Context) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	line, err := abandon(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		term.Restore(fd, before)
	}
	return line, err
}

// abandon calls read and returns what it does, or ctx's error if that ends first. Reading from a terminal cannot be
// interrupted, so read may then go on until the process ends; the caller must not read again.
func abandon(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func width() int {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}
