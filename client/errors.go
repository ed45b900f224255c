package client

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Why a call failed; one of ErrUnavailable, ErrRefused and ErrAnswer is wrapped by every [Error].
var (
	// ErrUnavailable: no answer came, or one that says "not now". Later it may work.
	ErrUnavailable = errors.New("it did not answer")
	// ErrDown is wrapped beside ErrUnavailable where so many calls in a row got no answer that the next will get none either.
	ErrDown = errors.New("it has not answered for some time")
	// ErrRefused: the service understood and said no.
	ErrRefused = errors.New("it refused")
	// ErrAnswer: the answer is not one to what was asked, or does not hold what it claims.
	ErrAnswer = errors.New("its answer is wrong")
)

// TransparencyLog is the Service of an [Error] about a log.
const TransparencyLog = "transparency log"

// Error says which service did not do what, and what came back.
type Error struct {
	Service  string // "certificate authority", "transparency log", "timestamp authority"
	URL      string // its address, without user, query and fragment
	Asked    string // "a certificate", "a log entry", "a timestamp"
	Status   int    // HTTP status of the last answer; 0 when none came
	Attempts int
	Took     time.Duration
	Err      error
}

// Error names the service, what it was asked for and what came back.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, asked for %s: ", e.Service, e.URL, e.Asked)
	if e.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d: ", e.Status)
	}
	b.WriteString(e.Err.Error())
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (tried %d times in %s)", e.Attempts, e.Took.Round(time.Second/10))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// cause is an error with one of the three kinds, whose text is not repeated.
type cause struct {
	kind, err error
}

func (c *cause) Error() string   { return c.err.Error() }
func (c *cause) Unwrap() []error { return []error{c.kind, c.err} }

// wrong is an [ErrAnswer].
func wrong(format string, args ...any) error {
	return &cause{ErrAnswer, fmt.Errorf(format, args...)}
}

// maxText bounds what is repeated of a service's own words. Theirs say in a sentence what was wrong.
const maxText = 300

// printable makes the words of a service fit for a message: one line, no control characters, not too long.
func printable(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), unicode.IsSpace), " ")
	out := make([]rune, 0, maxText)
	for _, r := range text {
		if len(out) == maxText {
			out = append(out, []rune("...")...)
			break
		}
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	return string(out)
}
