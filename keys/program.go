package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	programPrefix = "sigstore-kms-"

	// maxPlugInOutput bounds a plug-in's answer. The largest, a signature or a public key in base64, is below 4 KB.
	maxPlugInOutput = 1 << 20
	// maxPlugInStderr bounds what a plug-in may print to the user's terminal.
	maxPlugInStderr = 64 << 10
	// plugInTimeout bounds one call, beside the caller's deadline and after the message was read: long enough for a touch
	// on a token.
	plugInTimeout = 2 * time.Minute
	// plugInGrace is how long a killed plug-in's children may keep our pipes open.
	plugInGrace = 2 * time.Second
)

// program is a plug-in program that was found.
type program struct {
	name   string // sigstore-kms-NAME, for messages
	path   string // absolute
	stderr io.Writer
}

// findProgram looks for sigstore-kms-SCHEME in the directories of env and then on PATH. Relative directories are
// skipped: whoever writes to the directory a command happens to run in must not choose the program that holds the keys.
func findProgram(scheme string, env Environment) (program, error) {
	name := programPrefix + scheme
	if env.NoPlugIns {
		return program{}, fmt.Errorf("%s:// keys need the program %s, and programs that may use the network are not started with --offline", scheme, name)
	}
	file := name
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	dirs := env.PlugInDirs
	if env.LookupEnv != nil {
		path, _ := env.LookupEnv("PATH")
		dirs = append(dirs[:len(dirs):len(dirs)], filepath.SplitList(path)...)
	}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, file)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && (info.Mode().Perm()&0o111 != 0 || runtime.GOOS == "windows") {
			return program{name: name, path: path, stderr: env.Stderr}, nil
		}
	}
	return program{}, noPlugIn(scheme)
}

// run starts the program with args, lets it read stdin if that is not nil, and returns its standard output. A non-zero
// exit status is not an error, as the protocol has it, nor is it if the program leaves stdin unread; anything that kept
// the program from running to its end is.
func (p program) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(plugInTimeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()

	stdout := &bounded{limit: maxPlugInOutput, full: func() { cancel(nil) }}
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Stdout = stdout
	if stdin != nil {
		cmd.Stdin = &progress{stdin, timer}
	}
	if p.stderr != nil {
		// At once, since it may ask for something: "touch the token".
		cmd.Stderr = &relay{to: p.stderr, left: maxPlugInStderr}
	}
	cmd.WaitDelay = plugInGrace
	err := cmd.Run()

	if stdout.overflow {
		return nil, fmt.Errorf("%s wrote more than %d bytes, which is more than any answer of the protocol", p.name, maxPlugInOutput)
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s did not answer in time: %w", p.name, context.Cause(ctx))
		}
		return nil, fmt.Errorf("running %s: %v", p.path, err)
	}
	if stdout.buf.Len() == 0 {
		if err != nil {
			return nil, fmt.Errorf("%s wrote no answer (%v)", p.name, err)
		}
		return nil, fmt.Errorf("%s wrote no answer", p.name)
	}
	return stdout.buf.Bytes(), nil
}

// progress begins the program's time anew with every part that it takes: how long it reads is the message's size.
type progress struct {
	io.Reader
	timer *time.Timer
}

func (p *progress) Read(data []byte) (int, error) {
	p.timer.Reset(plugInTimeout)
	return p.Reader.Read(data)
}

// bounded keeps the first limit bytes and drops the rest, calling full once if there is any.
type bounded struct {
	buf      bytes.Buffer
	limit    int
	overflow bool
	full     func()
}

func (b *bounded) Write(data []byte) (int, error) {
	keep := min(len(data), b.limit-b.buf.Len())
	b.buf.Write(data[:keep])
	if keep < len(data) && !b.overflow {
		b.overflow = true
		if b.full != nil {
			b.full()
		}
	}
	return len(data), nil
}

// relay passes on the first bytes that can be printed, and drops the rest.
type relay struct {
	to   io.Writer
	left int
	tail []byte // the beginning of a character
}

func (r *relay) Write(data []byte) (int, error) {
	keep := min(len(data), r.left)
	r.left -= keep
	text := append(r.tail, data[:keep]...)
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= i
			}
			break
		}
	}
	r.tail = bytes.Clone(text[whole:])
	_, _ = io.WriteString(r.to, printable(string(text[:whole]))) // that nobody listens does not stop the program
	return len(data), nil
}

// printable makes a program's text safe to print: no escape sequences, and not endless.
func printable(s string) string {
	if len(s) > maxPlugInStderr {
		s = s[:maxPlugInStderr]
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}
