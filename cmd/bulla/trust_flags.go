package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/portable"
)

// oldTrust is the age at which trust that nobody confirmed since is warned of: by then a key may have been replaced, and
// what was revoked is not known.
const oldTrust = 30 * 24 * time.Hour

// trustFlags say where trust comes from, unless --trusted-root does.
type trustFlags struct {
	instance, file string
	maxAge         time.Duration
	expiry         expiryFlag
}

// expiryFlag says how long ahead the expiry of trust is warned of.
type expiryFlag struct{ ahead time.Duration }

func (e *expiryFlag) register(fs *pflag.FlagSet) {
	fs.DurationVar(&e.ahead, "trust-expiry-warning", expiryAhead, "warn when what is trusted expires within this; 0 never does")
	cli.Own(fs, "trust-expiry-warning")
}

func (e *expiryFlag) check() error {
	if e.ahead < 0 {
		return cli.Usagef("--trust-expiry-warning %s is negative", e.ahead)
	}
	return nil
}

func (t *trustFlags) register(fs *pflag.FlagSet, topic string) {
	cli.Topic(fs, topic, func(fs *pflag.FlagSet) {
		fs.StringVar(&t.instance, "instance", "", "trust what the instance `NAME` publishes (see \"trust list\"), default or built-in")
		fs.StringVar(&t.file, "trust", "", "trust what `FILE` holds, which \"trust export\" wrote")
		fs.DurationVar(&t.maxAge, "trust-max-age", 0, "refuse trust that was confirmed longer ago than this; 0 warns after 30 days")
		t.expiry.register(fs)
	})
	cli.ChangesTrust(fs, "instance", "trust")
	cli.Own(fs, "instance", "trust", "trust-max-age")
	cli.Exclusive(fs, "trusted-root", "trust")
	cli.Exclusive(fs, "trusted-root", "instance")
	cli.Exclusive(fs, "instance", "trust")
}

// named says whether the flags say anything about where trust comes from.
func (t *trustFlags) named() bool { return t.instance != "" || t.file != "" }

// lookupEnv finds the variables that replace parts of the trust: none where the flags name it, as with --trusted-root.
func (t *trustFlags) lookupEnv(c *cli.Call) func(string) (string, bool) {
	if t.named() {
		return nil
	}
	return c.LookupEnv
}

// source makes the source that the flags name.
func (t *trustFlags) source(ctx context.Context, c *cli.Call) (*trustsource.Source, error) {
	if err := checkEmpty(c, map[string]string{"instance": t.instance, "trust": t.file}); err != nil {
		return nil, err
	}
	if t.maxAge < 0 {
		return nil, cli.Usagef("--trust-max-age %s is negative", t.maxAge)
	}
	if err := t.expiry.check(); err != nil {
		return nil, err
	}
	s := trustSource(c)
	s.Instance, s.Ahead = t.instance, t.expiry.ahead
	if t.file == "" {
		return s, nil
	}
	data, err := readFileUpTo(ctx, t.file, portable.MaxSize)
	if err != nil {
		return nil, err
	}
	if s.File, err = portable.Decode(data); err != nil {
		return nil, inputError(err)
	}
	s.File.Root.Source.Name = t.file + " (" + s.File.From + ")"
	return s, nil
}

// root is the trusted root of a source, if it is young enough.
func (t *trustFlags) root(ctx context.Context, c *cli.Call, s *trustsource.Source) (*trust.Root, error) {
	root, err := rootFrom(ctx, c, s)
	if err != nil {
		return nil, err
	}
	date := root.Source.Date
	age := c.Now().Sub(date)
	switch {
	case t.maxAge > 0 && date.IsZero():
		return nil, cli.Errorf(cli.ExitInput, "nobody knows how old the trust of %s is, and --trust-max-age is %s", root.Source.Name, t.maxAge)
	case t.maxAge > 0 && age > t.maxAge:
		return nil, cli.Errorf(cli.ExitInput, "the trust of %s was confirmed %s, and --trust-max-age is %s", root.Source.Name, ago(c.Now(), date), t.maxAge).
			WithHint("refresh it where there is a network, or export it anew (trust export)")
	case s.File != nil && -age > maxAhead:
		return nil, cli.Errorf(cli.ExitInput, "the trust of %s was issued at %s, which is in the future", root.Source.Name, date.UTC().Format(time.RFC3339))
	case s.File != nil && t.maxAge == 0 && age > oldTrust:
		c.Warnf("the trust of %s was confirmed %s", root.Source.Name, ago(c.Now(), date))
	}
	return root, nil
}

// maxAhead is how far the date of a trust file may lie ahead of this computer's clock.
const maxAhead = time.Hour
