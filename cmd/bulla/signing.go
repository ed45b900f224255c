package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

// signing is what the commands that sign have in common: with what, and by which services.
type signing struct {
	flags.Sign
	trusting     trustFlags
	log          cli.Choice
	rekorVersion cli.Choice
	format       cli.Choice
	patience     time.Duration
	session      *sign.Session // nil with a key alone
	bearer       *bearer       // of the session
	inVain       bool          // the provider was asked for a token last, and did not answer
	loggingIn    sign.Signer   // the key of a session that is being made, by "login"
	deferrable   bool          // whether the command has --log=defer
	spool        spoolDir
	chosen       []trust.Service // the logs
	outputs      outputs
}

func (s *signing) register(fs *pflag.FlagSet) {
	s.Sign.Register(fs)
	s.trusting.register(fs, "Services and trust")
	cli.Topic(fs, "Services and trust", func(fs *pflag.FlagSet) {
		if s.deferrable {
			cli.ChoiceVar(fs, &s.log, "log", "whether the signature is entered into a transparency log; none says that it is not, on purpose; defer keeps it for \"flush\", which does it later", "require", "none", "defer")
			s.spool.register(fs)
		} else {
			cli.ChoiceVar(fs, &s.log, "log", "whether the signature is entered into a transparency log; none says that it is not, on purpose", "require", "none")
		}
		cli.ChoiceVar(fs, &s.rekorVersion, "rekor-api-version", "major version of the API that the log at --rekor-url speaks", "1", "2")
		fs.DurationVar(&s.patience, "patience", defaultPatience, "how long to go on asking a service that does not answer, within --timeout; once that was in vain, once for each signature; 0 asks once")
		cli.Own(fs, "rekor-api-version", "patience")
	})
	cli.ChoiceVar(fs, &s.format, "format", "what is written: a Sigstore bundle, cosign's older format, or both with one certificate", "", formatBundle, formatLegacy, formatBoth)
	cli.Own(fs, "format")
	cli.LowersSecurity(fs, "log", "tlog-upload")
}

// defaultPatience is that of package client: it outlasts a service that restarts.
const defaultPatience = 90 * time.Second

// check refuses what cannot be done, or makes no sense, before anything is read.
func (s *signing) check(c *cli.Call) error {
	if err := s.checkFormat(c); err != nil {
		return err
	}
	switch {
	case s.patience < 0:
		return cli.Usagef("--patience %s is negative", s.patience).WithHint("0 asks each service once")
	case s.SecurityKey.Use:
		return cli.Usagef("keys on PIV tokens (--sk) are not supported").
			WithHint("give a key file, or a key store's reference, with --key")
	case s.Key == "" && s.Certificate != "":
		return cli.Usagef("--certificate needs --key, the key that it is for; without a key there is a certificate for each signing")
	case s.IssueCertificate && s.Key != "" && s.Certificate != "":
		return cli.Usagef("--certificate and --issue-certificate contradict each other: the certificate is either given or issued")
	case s.CertificateChain != "" && s.Certificate == "":
		return cli.Usagef("--certificate-chain needs --certificate, the certificate at its lower end")
	case s.legacy() && c.Cosign && (s.UseSigningConfig || s.SigningConfig != ""):
		return cli.Usagef("must provide --new-bundle-format or --bundle where applicable with --signing-config or --use-signing-config")
	}
	if err := s.checkServices(c); err != nil {
		return err
	}
	return s.checkLog(c)
}

// options opens the key, if there is one, and whatever goes with it, and chooses the services. stdin says that standard
// input is the artifact, so that no password can be read from there.
//
// With an identity the options have a key and no certificate yet: that makes the identity public, and is got by [ready]
// when nothing else is left to go wrong.
func (s *signing) options(ctx context.Context, c *cli.Call, stdin bool) (sign.Options, error) {
	o := sign.Options{Now: c.Now(), Clock: c.Now}
	if s.Key != "" {
		if err := s.openKey(ctx, c, stdin, &o); err != nil {
			return o, err
		}
	}
	source, err := s.trusting.source(ctx, c)
	if err != nil {
		return o, err
	}
	p, err := s.plan(ctx, c, source)
	if err != nil {
		return o, err
	}
	if err := s.checkOlder(p); err != nil {
		return o, err
	}
	if err := s.checkDefer(c, p); err != nil {
		return o, err
	}
	if err := s.connect(ctx, c, source, p, &o); err != nil {
		return o, signingError(err, "")
	}
	if err := s.consentToLog(c, p); err != nil {
		return o, err
	}
	s.chosen, o.Defer = p.logs, s.deferred()
	if len(o.Certificates) > 0 && o.Root != nil && len(o.Root.CAs) == 0 {
		c.Warnf("the certificate was not checked: the trusted root %s names no certificate authority", o.Root.Source.Name)
	}
	return o, nil
}

// ready gets a certificate that lives long enough for one more signature, where one is needed.
func (s *signing) ready(ctx context.Context, c *cli.Call, o *sign.Options) error {
	if s.session == nil {
		return nil
	}
	if cert, _ := s.session.Certificate(); cert == nil && c.Cosign && s.Key == "" {
		c.Infof("Generating ephemeral keys...")
	}
	return signingError(s.session.Use(ctx, o), "")
}

func (s *signing) openKey(ctx context.Context, c *cli.Call, stdin bool, o *sign.Options) error {
	env := c.KeyEnvironment()
	if stdin && !c.IsTerminal(c.In) {
		env.Password = func(context.Context, bool) ([]byte, error) {
			return nil, cli.Usagef("standard input is what is signed, so the key's password cannot be read from it").
				WithHint("set COSIGN_PASSWORD, to nothing if the key has no password")
		}
	}
	signer, err := keys.Open(ctx, s.Key, env)
	if err != nil {
		return inputError(fmt.Errorf("loading the key: %w", err))
	}
	o.Signer = signer
	o.Certificates, err = s.certificates(ctx)
	return err
}

// maxCertificates bounds the files of --certificate and --certificate-chain: a chain has a few KiB.
const maxCertificates = 1 << 20

// certificates reads the leaf and what is above it, as DER. Each must have issued the one before it.
func (s *signing) certificates(ctx context.Context) ([][]byte, error) {
	var all [][]byte
	var below *x509.Certificate
	for _, name := range []string{s.Certificate, s.CertificateChain} {
		if name == "" {
			continue
		}
		found, err := readCertificates(ctx, name)
		if err != nil {
			return nil, err
		}
		if name == s.Certificate && len(found) > 1 {
			return nil, cli.Errorf(cli.ExitInput, "%s holds %d certificates, and --certificate takes the signer's own", name, len(found)).
				WithHint("give those above it with --certificate-chain")
		}
		for _, cert := range found {
			if below != nil {
				if err := below.CheckSignatureFrom(cert); err != nil {
					return nil, cli.Errorf(cli.ExitInput, "%s: %q did not issue %q: %v", name, cert.Subject, below.Subject, err).
						WithHint("--certificate-chain goes from the issuer of --certificate up to the root")
				}
			}
			below = cert
			all = append(all, cert.Raw)
		}
	}
	return all, nil
}

func readCertificates(ctx context.Context, name string) ([]*x509.Certificate, error) {
	data, err := readFileUpTo(ctx, name, maxCertificates)
	if err != nil {
		return nil, err
	}
	if cert, err := x509.ParseCertificate(data); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, cli.Errorf(cli.ExitInput, "%s: a PEM block is %q, not a certificate", name, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, cli.Errorf(cli.ExitInput, "%s: certificate %d: %w", name, len(out)+1, err)
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, cli.Errorf(cli.ExitInput, "%s holds no certificate, neither in PEM nor in DER", name)
	}
	return out, nil
}

// readFileUpTo reads a file of at most limit bytes; a pipe, until ctx ends.
func readFileUpTo(ctx context.Context, name string, limit int64) ([]byte, error) {
	f, err := pipe.Open(ctx, name)
	if err != nil {
		return nil, inputError(err)
	}
	defer f.Close()
	data, err := readUpTo(f, name, limit)
	return data, inputError(err)
}

func readUpTo(r io.Reader, name string, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case n > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return buf.Bytes(), nil
}

// oneStdin lets one input at most be standard input.
func oneStdin(inputs ...string) (bool, error) {
	n := 0
	for _, in := range inputs {
		if in == "-" {
			n++
		}
	}
	if n > 1 {
		return true, cli.Usagef("standard input (-) was given %d times, and can be read once", n)
	}
	return n == 1, nil
}

// refuseOverwriting makes sure that no output is one of the inputs, which would be lost.
func refuseOverwriting(inputs, outputs []string) error {
	outputs = slices.DeleteFunc(slices.Clone(outputs), func(s string) bool { return s == "" })
	for i, out := range outputs {
		if slices.Contains(outputs[:i], out) {
			return cli.Usagef("two outputs go to the same file %s", out)
		}
		at, err := os.Stat(out)
		if err != nil || !at.Mode().IsRegular() {
			continue
		}
		for _, in := range inputs {
			if there, err := os.Stat(in); err == nil && os.SameFile(at, there) {
				return cli.Usagef("the output file %s is also an input and would be overwritten", out)
			}
		}
	}
	return nil
}

// signingError gives an error of package sign its exit status. What the signer, a plug-in perhaps, could not do has no
// number of its own.
func signingError(err error, what string) error {
	var coded *cli.Error
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, sign.ErrOtherKey):
		return cli.Errorf(cli.ExitInput, "--certificate: %w", err)
	case errors.Is(err, sign.ErrUntimed):
		return cli.Usagef("%w", err).WithHint("use a signing config that names a timestamp authority, or give --timestamp-server-url with --use-signing-config=false")
	case errors.Is(err, algorithm.ErrDigestUnavailable):
		return cli.Errorf(cli.ExitInput, "signing with this key: %w", err).
			WithHint("give the artifact itself: this algorithm needs another digest than the one given")
	}
	if what = strings.TrimSpace(what); what != "" {
		err = fmt.Errorf("signing %s: %w", what, err)
	}
	if errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrAnswer) {
		coded = cli.Errorf(cli.ExitUnknown, "%w", err)
		err = coded
	}
	if errors.Is(err, client.ErrDown) {
		return stop(coded)
	}
	return err
}

// mayWait says whether --log=defer could have been said.
func (s *signing) mayWait(c *cli.Call) bool {
	return !c.Cosign && s.deferrable && !s.deferred() && !s.older() && s.dated(s.chosen) == nil
}

// failed is [signingError] for a signature that is made now: one that only lacks the log need not wait for it.
func (s *signing) failed(ctx context.Context, c *cli.Call, err error, what string) error {
	err = signingError(err, what)
	var coded *cli.Error
	var told *client.Error
	if ctx.Err() == nil && errors.As(err, &coded) && coded.Hint == "" && errors.Is(err, client.ErrUnavailable) && errors.As(err, &told) &&
		told.Service == client.TransparencyLog && s.mayWait(c) {
		_ = coded.WithHint("--log=defer signs without waiting for the log, and \"flush\" enters it later")
	}
	return err
}
