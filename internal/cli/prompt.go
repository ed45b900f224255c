package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds a line read from standard input as an answer or a password.
const maxLine = 4 << 10

// Confirm asks whether to go on after text said what will happen, and returns nil if so. With yes it does not ask. Where
// nobody can answer because standard input is not a terminal, it fails; in cosign's place the answer is read all the same.
func (c *Call) Confirm(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	if !c.IsTerminal(c.In) && !c.Cosign {
		return Usagef("%s, and there is no terminal to confirm it on", fmt.Sprintf(format, args...)).
			WithHint("--yes confirms it beforehand")
	}
	c.Warnf(format, args...)
	fmt.Fprint(c.Err, "Are you sure you would like to continue? [y/N] ")
	answer, err := abandon(c.context(), func() ([]byte, error) { return readLine(c.In) })
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if !c.IsTerminal(c.In) {
		fmt.Fprintln(c.Err) // a terminal shows the user's own
	}
	switch strings.TrimSpace(string(answer)) {
	case "y", "Y":
		return nil
	case "", "n", "N":
		return errors.New("user declined the prompt")
	}
	return Usagef("invalid input %q (allowed values y, n)", strings.TrimSpace(string(answer)))
}

// Password asks for the password of a private key on the terminal, twice if it is a new one; where there is no terminal,
// it is one line of standard input, without its newline. It is what [keys.Environment] calls when no variable is set.
func (c *Call) Password(ctx context.Context, confirm bool) ([]byte, error) {
	if !c.IsTerminal(c.In) {
		line, err := abandon(ctx, func() ([]byte, error) { return readLine(c.In) })
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil, Usagef("no password: standard input is empty").
				WithHint("set COSIGN_PASSWORD, to nothing if the key has no password")
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading the password: %w", err)
		}
		return line, nil
	}
	first, err := c.secret(ctx, "Enter password for private key: ")
	if err != nil || !confirm {
		return first, err
	}
	again, err := c.secret(ctx, "Enter password for private key again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, Usagef("the two passwords differ")
	}
	return first, nil
}

func (c *Call) secret(ctx context.Context, prompt string) ([]byte, error) {
	fmt.Fprint(c.Err, prompt)
	line, err := c.ReadSecret(ctx)
	fmt.Fprintln(c.Err)
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	return line, nil
}

// readLine reads to the end of the line, byte by byte, so that what follows is left for whoever reads next. The line
// comes without its ending. The error is io.EOF if the input ended first.
func readLine(r io.Reader) ([]byte, error) {
	var line []byte
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		if n == 1 {
			if b[0] == '\n' {
				return bytes.TrimSuffix(line, []byte("\r")), nil
			}
			if line = append(line, b[0]); len(line) > maxLine {
				return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
			}
		}
		if err != nil {
			return line, err
		}
	}
}
