package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Exit statuses. 10 to 13 are cosign's; in its place (called by the name cosign) every other failure is 1.
const (
	ExitFailure       = 1  // it did not work, for a reason that has no number of its own: a signature that does not verify
	ExitNoSignatures  = 10 // the image has no signatures
	ExitImageNotFound = 11
	ExitNoMatching    = 12 // there are signatures, and none matches
	ExitNoCertificate = 13 // a signature has no certificate although one was asked for
	ExitUnknown       = 20 // could not find out: a registry or a service did not answer, or not by its specification
	ExitUsage         = 21 // flags or arguments that make no sense
	ExitInput         = 22 // a file or message is malformed
	ExitIO            = 23 // reading or writing a file failed
	exitInterrupted   = 130
)

// Error is an error with the exit status it leads to and, where there is one, a hint at what to do about it.
type Error struct {
	Code int
	Err  error
	Hint string // one sentence or command, lower case, no full stop; may be empty
}

// Error returns the text of Err, without the hint.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error with an exit status; %w works as in [fmt.Errorf].
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Usagef returns an error about flags or arguments.
func Usagef(format string, args ...any) *Error { return Errorf(ExitUsage, format, args...) }

// WithHint adds a hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// exitCode returns the status for err: its own, or what its kind says.
func exitCode(err error, cosign bool) int {
	code := ExitFailure
	var coded *Error
	var path *fs.PathError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		code = coded.Code
		if code >= ExitUnknown && errors.Is(err, context.Canceled) {
			code = exitInterrupted // it failed because it was told to stop
		}
	case errors.Is(err, context.DeadlineExceeded):
		code = ExitUnknown
	case errors.Is(err, context.Canceled):
		code = exitInterrupted
	case errors.As(err, &path):
		code = ExitIO
	}
	if cosign && (code < ExitNoSignatures || code > ExitNoCertificate) {
		code = ExitFailure
	}
	return code
}

// report prints err once; in cosign's place, in the two lines that it prints.
func report(w io.Writer, err error, cosign bool) {
	text := strings.TrimRight(err.Error(), "\n")
	if errors.Is(err, context.Canceled) {
		text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
	}
	if cosign {
		fmt.Fprintf(w, "Error: %s\nerror during command execution: %s\n", text, text)
		return
	}
	fmt.Fprintf(w, "error: %s\n", text)
	var coded *Error
	switch {
	case errors.As(err, &coded) && coded.Hint != "":
		fmt.Fprintf(w, "hint: %s\n", coded.Hint)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(w, "hint: --timeout sets how long a command may take (3m unless given)")
	}
}
