package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/trust"
)

// serviceSpec is a service as flags describe it: KEY=VALUE,KEY=VALUE.
type serviceSpec map[string]string

// specSyntax says what a kind of service may and must say. Noun names it in errors, as cosign does.
type specSyntax struct {
	noun               string
	required, optional []string
}

// parse reads a specification. A key that is not known, given twice or without a value is an error: it would change
// what is trusted without anybody noticing.
func (s specSyntax) parse(text string) (serviceSpec, error) {
	out := serviceSpec{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok:
			return nil, fmt.Errorf("invalid key-value pair: %s", pair)
		case !slices.Contains(s.required, key) && !slices.Contains(s.optional, key):
			return nil, fmt.Errorf("unknown key '%s' in %s spec; it may have %s", key, s.noun, strings.Join(slices.Concat(s.required, s.optional), ", "))
		case out[key] != "":
			return nil, fmt.Errorf("key '%s' is given twice in %s spec", key, s.noun)
		case value == "" && !slices.Contains(s.required, key):
			return nil, fmt.Errorf("key '%s' has no value in %s spec", key, s.noun)
		}
		out[key] = value
	}
	for _, key := range s.required {
		if out[key] == "" {
			return nil, fmt.Errorf("missing or empty required key '%s' in %s spec", key, s.noun)
		}
	}
	return out, nil
}

// window reads start-time and end-time; what is not given stays open.
func (s serviceSpec) window() (trust.Window, error) {
	var w trust.Window
	var err error
	if w.Start, err = parseTime("start-time", s["start-time"]); err != nil {
		return w, err
	}
	w.End, err = parseTime("end-time", s["end-time"])
	return w, err
}

func parseTime(what, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("parsing %s: %q is not a time such as 2026-01-02T15:04:05Z", what, text)
	}
	return t.UTC(), nil
}

// ignoredFlags refuses flags that have no effect because another one is missing. In cosign's place they are ignored with
// a warning.
func ignoredFlags(c *cli.Call, without string, names ...string) error {
	for _, name := range names {
		switch {
		case !c.Typed(name):
		case c.Cosign:
			c.Warnf("--%s is not used without --%s", name, without)
		default:
			return cli.Usagef("--%s is not used without --%s", name, without)
		}
	}
	return nil
}
