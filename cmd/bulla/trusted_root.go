package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

func trustedRootCommand() *cli.Command {
	return &cli.Command{
		Use: "trusted-root", Short: "Make trusted roots: the keys and certificates that verification rests on", Group: "Trust",
		Example:  `bulla trusted-root create --with-default-services --out trusted-root.json`,
		Commands: []*cli.Command{trustedRootCreateCommand()},
	}
}

type trustedRootCreate struct {
	fulcio, rekor, ctfe, tsa         []string
	defaults                         bool
	noFulcio, noRekor, noCTFE, noTSA bool
	out                              string
	old                              oldTrustedRootFlags
}

func trustedRootCreateCommand() *cli.Command {
	o := &trustedRootCreate{}
	return &cli.Command{
		Use: "create [flags]", Short: "Make a trusted root",
		Long: `Make a trusted root of certificates and public keys: the certificate authorities, transparency logs, certificate transparency logs and timestamp authorities that signatures are verified with.

An authority is url=URL,certificate-chain=FILE, a log url=URL,public-key=FILE,start-time=TIME and, for a log with tiles (Rekor v2), origin=NAME. All may have start-time and end-time, written as 2026-01-02T15:04:05Z. A chain goes from the issuer, or the timestamp authority's own certificate, to the root.

--with-default-services starts from the public-good root that ships with the program.`,
		Example: `bulla trusted-root create --out trusted-root.json \
  --fulcio url=https://ca.example.com,certificate-chain=ca.pem \
  --rekor url=https://log.example.com,public-key=log.pub,start-time=2026-01-01T00:00:00Z,origin=log.example.com \
  --ctfe url=https://ct.example.com,public-key=ct.pub,start-time=2026-01-01T00:00:00Z \
  --tsa url=https://tsa.example.com,certificate-chain=tsa.pem`,
		Flags: o.register, Run: o.run,
	}
}

func (o *trustedRootCreate) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.fulcio, "fulcio", nil, "certificate authority, as a `SPEC`; repeatable")
	fs.StringArrayVar(&o.rekor, "rekor", nil, "transparency log, as a `SPEC`; repeatable")
	fs.StringArrayVar(&o.ctfe, "ctfe", nil, "certificate transparency log, as a `SPEC`; repeatable")
	fs.StringArrayVar(&o.tsa, "tsa", nil, "timestamp authority, as a `SPEC`; repeatable")
	fs.BoolVar(&o.defaults, "with-default-services", false, "start from the built-in root of Sigstore's public-good instance")
	fs.BoolVar(&o.noFulcio, "no-default-fulcio", false, "leave out its certificate authorities")
	fs.BoolVar(&o.noRekor, "no-default-rekor", false, "leave out its transparency logs")
	fs.BoolVar(&o.noCTFE, "no-default-ctfe", false, "leave out its certificate transparency logs")
	fs.BoolVar(&o.noTSA, "no-default-tsa", false, "leave out its timestamp authorities")
	fs.StringVar(&o.out, "out", "", "write to `FILE` instead of standard output")
	o.old.register(fs)
}

func (o *trustedRootCreate) run(ctx context.Context, c *cli.Call) error {
	if err := o.old.check(c); err != nil {
		return err
	}
	if !o.defaults {
		if err := ignoredFlags(c, "with-default-services", "no-default-fulcio", "no-default-rekor", "no-default-ctfe", "no-default-tsa"); err != nil {
			return err
		}
	}
	var parts trust.Root
	if err := o.collect(ctx, &parts); err != nil {
		return specError(err)
	}
	if o.defaults {
		if err := o.addDefaults(c, &parts); err != nil {
			return err
		}
	}
	root, err := trust.NewRoot(parts)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "creating trusted root: %w", err)
	}
	data, err := root.Encode()
	if err != nil {
		return err
	}
	return writeDocument(c, o.out, data)
}

// specError tells mistakes in a flag from files that cannot be read.
func specError(err error) error {
	if coded := inputError(err); !isIO(coded) {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return inputError(err)
}

func isIO(err error) bool {
	var coded *cli.Error
	return errors.As(err, &coded) && coded.Code == cli.ExitIO
}

// collect makes the parts that the flags describe.
func (o *trustedRootCreate) collect(ctx context.Context, parts *trust.Root) error {
	for _, kind := range []struct {
		name  string
		specs []string
		add   func(string) error
	}{
		{"fulcio", o.fulcio, func(s string) error { return addAuthority(ctx, &parts.CAs, s, "fulcio") }},
		{"ctfe", o.ctfe, func(s string) error { return addLog(ctx, &parts.CTLogs, s, trust.NewCTLog) }},
		{"rekor", o.rekor, func(s string) error { return addLog(ctx, &parts.Logs, s, trust.NewLog) }},
		{"tsa", o.tsa, func(s string) error { return addAuthority(ctx, &parts.TSAs, s, "tsa") }},
	} {
		for _, spec := range kind.specs {
			if err := kind.add(spec); err != nil {
				return fmt.Errorf("parsing %s spec: %w", kind.name, err)
			}
		}
	}
	return o.old.collect(ctx, parts)
}

// addDefaults puts the built-in root's parts before the given ones. A given log replaces the default one of the same ID.
func (o *trustedRootCreate) addDefaults(c *cli.Call, parts *trust.Root) error {
	root, err := publicgood.Root()
	if err != nil {
		return err
	}
	if !o.noFulcio {
		parts.CAs = append(root.CAs, parts.CAs...)
	}
	if !o.noTSA {
		parts.TSAs = append(root.TSAs, parts.TSAs...)
	}
	if !o.noRekor {
		parts.Logs = append(without(root.Logs, parts.Logs), parts.Logs...)
	}
	if !o.noCTFE {
		parts.CTLogs = append(without(root.CTLogs, parts.CTLogs), parts.CTLogs...)
	}
	c.Infof("the default services are those of the public-good root that ships with this program, as of %s", publicgood.Date)
	return nil
}

func without(logs, given []trust.Log) []trust.Log {
	return slices.DeleteFunc(logs, func(l trust.Log) bool {
		return slices.ContainsFunc(given, func(g trust.Log) bool { return slices.Equal(l.ID, g.ID) })
	})
}

// addAuthority adds a certificate authority ("fulcio") or timestamp authority ("tsa").
func addAuthority(ctx context.Context, into *[]trust.Authority, text, noun string) error {
	syntax := specSyntax{noun: noun, required: []string{"url", "certificate-chain"}, optional: []string{"start-time", "end-time"}}
	spec, err := syntax.parse(text)
	if err != nil {
		return err
	}
	chain, err := evidence.Read(ctx, spec["certificate-chain"])
	if err != nil {
		return fmt.Errorf("parsing certificate-chain: %w", err)
	}
	w, err := spec.window()
	if err != nil {
		return err
	}
	if w.Start.IsZero() {
		w.Start = notBefore(chain, noun == "tsa")
	}
	a, err := newAuthority(trust.AuthoritySpec{URI: spec["url"], ChainPEM: chain, Window: w}, noun == "tsa")
	if err != nil {
		return fmt.Errorf("certificate-chain %s: %w", spec["certificate-chain"], err)
	}
	*into = append(*into, a)
	return nil
}

// newAuthority makes an authority. A timestamp authority's chain must begin with the certificate that stamps: other
// clients cannot use the root otherwise.
func newAuthority(spec trust.AuthoritySpec, tsa bool) (trust.Authority, error) {
	if !tsa {
		return trust.NewCA(spec)
	}
	a, err := trust.NewTSA(spec)
	if err == nil && a.Chain[0].IsCA {
		err = errors.New("first certificate in chain must be a leaf certificate")
	}
	return a, err
}

// notBefore is the time from which an authority is trusted unless it is stated, as cosign has it: that of the first
// certificate of a chain, or of the last. A chain that cannot be read is refused elsewhere.
func notBefore(chain []byte, first bool) time.Time {
	var found time.Time
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			break
		}
		if found = cert.NotBefore; first {
			break
		}
	}
	return found
}

func addLog(ctx context.Context, into *[]trust.Log, text string, build func(trust.LogSpec) (trust.Log, error)) error {
	syntax := specSyntax{noun: "tlog", required: []string{"url", "public-key", "start-time"}, optional: []string{"end-time", "origin"}}
	spec, err := syntax.parse(text)
	if err != nil {
		return err
	}
	w, err := spec.window()
	if err != nil {
		return err
	}
	log, err := logOfKey(ctx, spec["public-key"], trust.LogSpec{URL: spec["url"], Window: w, Origin: spec["origin"]}, build)
	if err == nil {
		*into = append(*into, log)
	}
	return err
}

// logOfKey makes a log with the public key in a file.
func logOfKey(ctx context.Context, file string, spec trust.LogSpec, build func(trust.LogSpec) (trust.Log, error)) (trust.Log, error) {
	data, err := evidence.Read(ctx, file)
	if err != nil {
		return trust.Log{}, fmt.Errorf("parsing public-key: %w", err)
	}
	if spec.Key, err = algorithm.ParsePublicKeyPEM(data); err != nil {
		return trust.Log{}, fmt.Errorf("parsing public-key: %s: %w", file, err)
	}
	// Some name a log by its host alone.
	bare := spec.URL
	if !strings.Contains(bare, "://") {
		spec.URL = "https://" + bare
	}
	log, err := build(spec)
	log.BaseURL = bare
	return log, err
}
