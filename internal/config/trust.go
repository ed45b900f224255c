// Package config turns what a user configured, in flags, files and variables, into what the library takes: a trusted root
// and a policy. It is where cosign's many older flags become data, so that nothing past it knows of them.
package config

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

// maxFile bounds every file of trust material: the largest known trusted root has some 60 KiB.
const maxFile = 4 << 20

// Trust names the files that say whom the user trusts. Empty fields were not given.
type Trust struct {
	// TrustedRoot replaces the default root. The fields below replace parts of it, as they do of that one.
	TrustedRoot string
	// CARoots and CAIntermediates, or CertificateChain (parent to root), replace the root's certificate authorities.
	CARoots, CAIntermediates, CertificateChain string
	// TimestampChain replaces its timestamp authorities: leaf or intermediate first, root last.
	TimestampChain string
	// Default returns the root where none is named; nil: the embedded public-good root.
	Default func() (*trust.Root, error)
	// LookupEnv finds SIGSTORE_ROOT_FILE, SIGSTORE_REKOR_PUBLIC_KEY, SIGSTORE_CT_LOG_PUBLIC_KEY_FILE and
	// SIGSTORE_TSA_CERTIFICATE_FILE, which replace the same parts where no flag does.
	LookupEnv func(string) (string, bool)
}

// Load returns the trusted root that the user configured: a file, or else the default one, with the parts
// replaced that older flags and variables name. A pipe is waited for until ctx ends. A trusted root file is looked at as it is: no variable replaces its parts.
func (t Trust) Load(ctx context.Context) (*trust.Root, error) {
	parts, err := t.parts(ctx)
	if err != nil {
		return nil, err
	}
	root, err := t.base(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := p.replace(root); err != nil {
			return nil, fmt.Errorf("%s: %w", p.from, err)
		}
		root.Source.Name += ", with " + p.from
	}
	return root, nil
}

// base returns the root of which parts are replaced.
func (t Trust) base(ctx context.Context) (*trust.Root, error) {
	if t.TrustedRoot != "" {
		return ReadRoot(ctx, t.TrustedRoot)
	}
	if t.Default != nil {
		return t.Default()
	}
	return publicgood.Root()
}

// ReadRoot reads a trusted root from a file, or from a pipe until ctx ends.
func ReadRoot(ctx context.Context, name string) (*trust.Root, error) {
	data, err := readFile(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	root, err := trust.DecodeRoot(data)
	if err != nil {
		return nil, fmt.Errorf("trusted root %s: %w", name, err)
	}
	root.Source.Name = name
	return root, nil
}

// part replaces one part of a root by what a flag or variable names.
type part struct {
	from    string
	replace func(*trust.Root) error
}

// variable is a part that an environment variable may replace where no flag does.
type variable struct {
	name    string
	given   bool // a flag already replaces the part
	replace func(*trust.Root, []byte) error
}

func (t Trust) parts(ctx context.Context) ([]part, error) {
	var out []part
	if t.CertificateChain != "" && (t.CARoots != "" || t.CAIntermediates != "") {
		return nil, errors.New("--certificate-chain cannot be given together with --ca-roots or --ca-intermediates")
	}
	if t.CAIntermediates != "" && t.CARoots == "" {
		return nil, errors.New("--ca-intermediates needs --ca-roots: intermediates alone lead nowhere")
	}
	add := func(from, file string, replace func(*trust.Root, []byte) error) {
		out = append(out, part{from + " " + file, func(r *trust.Root) error {
			data, err := readFile(ctx, file)
			if err != nil {
				return err
			}
			return replace(r, data)
		}})
	}
	switch {
	case t.CertificateChain != "":
		add("--certificate-chain", t.CertificateChain, replaceCAs)
	case t.CARoots != "":
		add("--ca-roots", t.CARoots, func(r *trust.Root, roots []byte) error { return t.replaceRoots(ctx, r, roots) })
	}
	if t.TimestampChain != "" {
		add("--timestamp-certificate-chain", t.TimestampChain, replaceTSA)
	}
	for _, v := range t.variables() {
		file, _ := t.LookupEnv(v.name)
		add(v.name, file, v.replace)
	}
	return out, nil
}

// variables are those that replace a part.
func (t Trust) variables() []variable {
	var out []variable
	for _, v := range []variable{
		{"SIGSTORE_ROOT_FILE", t.CertificateChain != "" || t.CARoots != "", replaceCAs},
		{"SIGSTORE_TSA_CERTIFICATE_FILE", t.TimestampChain != "", replaceTSA},
		{"SIGSTORE_REKOR_PUBLIC_KEY", false, replaceLog},
		{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", false, replaceCTLog},
	} {
		if v.given || t.LookupEnv == nil || t.TrustedRoot != "" {
			continue
		}
		if file, ok := t.LookupEnv(v.name); ok && file != "" {
			out = append(out, v)
		}
	}
	return out
}

// Variables returns the names of the environment variables that replace a part of the root.
func (t Trust) Variables() []string {
	var names []string
	for _, v := range t.variables() {
		names = append(names, v.name)
	}
	return names
}

func (t Trust) replaceRoots(ctx context.Context, r *trust.Root, roots []byte) error {
	if t.CAIntermediates == "" {
		return replaceCAs(r, roots)
	}
	intermediates, err := readFile(ctx, t.CAIntermediates)
	if err != nil {
		return err
	}
	return replaceCAs(r, append(append(bytes.Clone(roots), '\n'), intermediates...))
}

// replaceCAs takes certificates in any order: self-issued ones are roots, the others intermediates.
func replaceCAs(r *trust.Root, data []byte) error {
	chains, err := chainsOf(data)
	if err != nil {
		return err
	}
	r.CAs = nil
	for _, chain := range chains {
		ca, err := trust.NewCA(trust.AuthoritySpec{ChainPEM: chain})
		if err != nil {
			return err
		}
		r.CAs = append(r.CAs, ca)
	}
	return nil
}

func replaceTSA(r *trust.Root, data []byte) error {
	tsa, err := trust.NewTSA(trust.AuthoritySpec{ChainPEM: data})
	if err != nil {
		return err
	}
	r.TSAs = []trust.Authority{tsa}
	return nil
}

func replaceLog(r *trust.Root, data []byte) error {
	log, err := logOf(data, trust.NewLog)
	if err == nil {
		r.Logs = []trust.Log{log}
	}
	return err
}

func replaceCTLog(r *trust.Root, data []byte) error {
	log, err := logOf(data, trust.NewCTLog)
	if err == nil {
		r.CTLogs = []trust.Log{log}
	}
	return err
}

// logOf makes a log of a bare public key, which says neither where the log is nor since when it signs.
func logOf(data []byte, build func(trust.LogSpec) (trust.Log, error)) (trust.Log, error) {
	pub, err := algorithm.ParsePublicKeyPEM(data)
	if err != nil {
		return trust.Log{}, err
	}
	return build(trust.LogSpec{URL: "https://log.invalid", Key: pub, Window: trust.Window{Start: time.Unix(0, 0).UTC()}})
}

// maxCertificates bounds the certificates of one file: cross-signed corporate hierarchies have a dozen.
const maxCertificates = 64

// chainsOf builds, for each root and each intermediate, the PEM chain from it up to a root.
func chainsOf(data []byte) ([][]byte, error) {
	certs, err := certificates(data)
	if err != nil {
		return nil, err
	}
	var chains [][]byte
	for _, c := range certs {
		chain := []*x509.Certificate{c}
		for top := c; !bytes.Equal(top.RawIssuer, top.RawSubject); {
			issuer := issuerOf(top, certs)
			if issuer == nil {
				return nil, fmt.Errorf("the certificate %q leads to no root: its issuer %q is missing", c.Subject, top.Issuer)
			}
			if len(chain) == maxCertificates {
				return nil, fmt.Errorf("the certificate %q leads in a circle", c.Subject)
			}
			chain = append(chain, issuer)
			top = issuer
		}
		var out bytes.Buffer
		for _, link := range chain {
			if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: link.Raw}); err != nil {
				return nil, err
			}
		}
		chains = append(chains, out.Bytes())
	}
	return chains, nil
}

func issuerOf(c *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	for _, candidate := range among {
		if bytes.Equal(c.RawIssuer, candidate.RawSubject) && c.CheckSignatureFrom(candidate) == nil {
			return candidate
		}
	}
	return nil
}

func certificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block is %q, not a certificate", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(out)+1, err)
		}
		if out = append(out, c); len(out) > maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return out, nil
}

// readFile reads a file of trust material, up to its limit.
func readFile(ctx context.Context, name string) ([]byte, error) {
	f, err := pipe.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return data, err
}
