package cli

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// System is the process's surroundings, as far as a command may touch them. Tests make their own.
type System struct {
	In        io.Reader
	Out, Err  io.Writer
	LookupEnv func(name string) (string, bool)
	Environ   func() []string // NAME=value, as os.Environ
	Now       func() time.Time
	// Executable returns the path of the running program; plug-in programs are looked for beside it.
	Executable func() (string, error)
	// IsTerminal reports whether In, Out or Err, whichever it is given, is a terminal.
	IsTerminal func(stream any) bool
	// Width returns the terminal's width in columns, or 0 if there is none.
	Width func() int
	// ReadSecret reads a line from the terminal without showing it, and without its newline.
	ReadSecret func() ([]byte, error)
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
		ReadSecret: func() ([]byte, error) { return term.ReadPassword(int(os.Stdin.Fd())) },
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
