package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/predicate"
)

// attesting is what attest and attest-blob have in common: what is stated.
type attesting struct {
	predicate, statement, kind string
	rekorType                  cli.Choice // deprecated
}

func (a *attesting) register(fs *pflag.FlagSet) {
	cli.Topic(fs, "Statement", func(fs *pflag.FlagSet) {
		fs.StringVar(&a.predicate, "predicate", "", "`FILE` with the predicate, - for standard input; JSON goes into the statement byte for byte")
		fs.StringVar(&a.statement, "statement", "", "`FILE` with a whole in-toto statement, which is signed byte for byte")
		fs.StringVar(&a.kind, "type", predicate.Custom, "`TYPE` of the predicate: a short name such as slsaprovenance1, spdxjson or cyclonedx, or a URI")
		cli.ChoiceVar(fs, &a.rekorType, "rekor-entry-type", "kind of log entry", "dsse", "intoto")
		cli.Deprecate(fs, "rekor-entry-type", "logs take one kind only")
		cli.RequireOne(fs, "predicate", "statement")
		cli.Exclusive(fs, "predicate", "statement")
	})
}

// load checks the flags and reads what is to be stated.
func (a *attesting) load(ctx context.Context, c *cli.Call) (*claim, error) {
	t, err := predicate.Lookup(a.kind)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	if err := refuseIgnored(c, ignoredFlag{"rekor-entry-type", "a statement is always logged as its envelope, or its digest", "leave the flag out"}); err != nil {
		return nil, err
	}
	if a.statement != "" {
		return a.loadStatement(ctx, c, t)
	}
	if a.predicate == "" {
		return nil, cli.Usagef("--predicate is empty: give the file that holds the predicate")
	}
	data, err := readInput(ctx, c, a.predicate)
	if err != nil {
		return nil, err
	}
	built, err := predicate.Build(t, data, c.Now())
	if err != nil {
		return nil, cli.Errorf(cli.ExitInput, "%s: %w", a.predicate, err)
	}
	return &claim{kind: t.URI, predicate: built, from: a.predicate}, nil
}

// loadStatement reads a finished statement. That it is about the artifact is checked when it is signed.
func (a *attesting) loadStatement(ctx context.Context, c *cli.Call, t predicate.Type) (*claim, error) {
	data, err := readInput(ctx, c, a.statement)
	if err != nil {
		return nil, err
	}
	st, err := bundle.ParseStatement(data)
	switch {
	case err != nil:
		return nil, cli.Errorf(cli.ExitInput, "%s is not an in-toto statement: %w", a.statement, err)
	case st.PredicateType == "":
		return nil, cli.Errorf(cli.ExitInput, "%s: the statement has no predicateType, and nobody could demand it", a.statement)
	case c.Changed("type") && t.URI != st.PredicateType:
		return nil, cli.Usagef("--type is %s, and the statement in %s has the predicate type %s", t.URI, a.statement, st.PredicateType).
			WithHint("leave --type out; the statement says it")
	}
	return &claim{kind: st.PredicateType, statement: data, from: a.statement}, nil
}

// claim is what is stated about artifacts.
type claim struct {
	kind      string // predicate type
	predicate []byte // JSON
	statement []byte // whole, in place of predicate
	from      string // where it was read
}

// about makes the statement about one artifact, known by a digest in hexadecimal. Its type is in-toto's v0.1, as cosign
// writes it, so that older readers take it.
func (p *claim) about(name, algorithm, digest string) ([]byte, error) {
	if p.statement != nil {
		return p.statement, nil
	}
	st := &bundle.Statement{
		Type: bundle.StatementV01, PredicateType: p.kind, Predicate: p.predicate,
		Subjects: []bundle.Subject{{Name: name, Digests: map[string]string{algorithm: digest}}},
	}
	data, err := st.Encode()
	if err != nil {
		return nil, cli.Errorf(cli.ExitInput, "%s: %w", p.from, err)
	}
	return data, nil
}

// readInput reads a predicate or a statement.
func readInput(ctx context.Context, c *cli.Call, name string) ([]byte, error) {
	if name == "-" {
		data, err := readUpTo(c.In, "standard input", predicate.MaxSize)
		return data, inputError(err)
	}
	return readFileUpTo(ctx, name, predicate.MaxSize)
}

// names refuses a statement that does not name the artifact before the key is asked for anything.
func (p *claim) names(algorithm, digest string) error {
	if p.statement == nil {
		return nil
	}
	st, err := bundle.ParseStatement(p.statement)
	if err != nil {
		return err
	}
	for _, s := range st.Subjects {
		if s.Digests[algorithm] == digest {
			return nil
		}
	}
	return cli.Errorf(cli.ExitInput, "the statement in %s is not about this artifact: none of its %s names %s:%s",
		p.from, plural(len(st.Subjects), "subject"), algorithm, digest)
}

// subject is the artifact that a whole statement names first, where no other word on it was given.
func (p *claim) subject() (*blob.Blob, error) {
	st, err := bundle.ParseStatement(p.statement)
	if err != nil {
		return nil, err
	}
	for _, s := range st.Subjects {
		if sum, err := hex.DecodeString(s.Digests["sha256"]); err == nil && len(sum) == crypto.SHA256.Size() {
			name := s.Name
			if name == "" {
				name = "sha256:" + s.Digests["sha256"]
			}
			return blob.FromDigest(describe.Printable(name), crypto.SHA256, sum), nil
		}
	}
	return nil, cli.Errorf(cli.ExitInput, "the statement in %s names no subject by its SHA-256", p.from)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
