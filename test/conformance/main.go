// Command conformance is a test client that speaks the CLI protocol of the Sigstore conformance suite on top of the
// library. It is no part of what is shipped: the shipped program has its own commands, and no second way to verify.
//
//	conformance verify-bundle --bundle FILE [--key FILE | --certificate-identity ID --certificate-oidc-issuer URL]
//	            [--trusted-root FILE] FILE|sha256:HEX
//
// It exits 0 when the bundle verifies, 1 when it is refused or unreadable, and 2 when it was called wrongly.
package main

import (
	"crypto"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/verify"
)

// call is one command line.
type call struct {
	bundle, key, identity, issuer, root, artifact string
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "usage:", err)
		return 2
	}
	report, err := c.verify(time.Now())
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "error:", err)
		return 1
	case !report.Verified:
		fmt.Fprintf(stderr, "refused: %s: %s\n", report.Code, report.Reason)
		return 1
	}
	fmt.Fprintln(stdout, "verified")
	return 0
}

func parse(args []string, stderr io.Writer) (*call, error) {
	if len(args) == 0 || args[0] != "verify-bundle" {
		return nil, errors.New("the one command is verify-bundle")
	}
	var c call
	flags := flag.NewFlagSet("verify-bundle", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.bundle, "bundle", "", "bundle to verify")
	flags.StringVar(&c.key, "key", "", "public key in PEM")
	flags.StringVar(&c.identity, "certificate-identity", "", "whom the certificate must name")
	flags.StringVar(&c.issuer, "certificate-oidc-issuer", "", "who must have vouched for that identity")
	flags.StringVar(&c.root, "trusted-root", "", "trusted root; the embedded public-good one by default")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if flags.NArg() != 1 || c.bundle == "" {
		return nil, errors.New("a bundle and one artifact are needed")
	}
	if (c.key == "") == (c.identity == "" || c.issuer == "") {
		return nil, errors.New("either a key, or an identity and an issuer are needed")
	}
	c.artifact = flags.Arg(0)
	return &c, nil
}

func (c *call) verify(now time.Time) (*verify.Report, error) {
	root, err := c.readRoot()
	if err != nil {
		return nil, err
	}
	policy, err := c.policy()
	if err != nil {
		return nil, err
	}
	message, err := c.message()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(c.bundle)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Decode(data)
	return verify.Verify(&verify.Request{
		Candidates: []verify.Candidate{{Name: c.bundle, Bundle: b, Err: err}},
		Artifact:   verify.Artifact{Name: c.artifact, Message: message},
		Root:       root,
		Policy:     policy,
		Now:        now,
	}), nil
}

func (c *call) readRoot() (*trust.Root, error) {
	if c.root == "" {
		return publicgood.Root()
	}
	data, err := os.ReadFile(c.root)
	if err != nil {
		return nil, err
	}
	root, err := trust.DecodeRoot(data)
	if err != nil {
		return nil, fmt.Errorf("trusted root %s: %w", c.root, err)
	}
	return root, nil
}

// policy waives nothing: one log, one SCT for a certificate, as the suite's own clients demand.
func (c *call) policy() (verify.Policy, error) {
	p := verify.Policy{Claims: verify.Claims{Message: true, AnyPredicate: true}}
	if c.key != "" {
		data, err := os.ReadFile(c.key)
		if err != nil {
			return p, err
		}
		pub, err := algorithm.ParsePublicKeyPEM(data)
		if err != nil {
			return p, fmt.Errorf("key %s: %w", c.key, err)
		}
		p.Keys = []trust.Key{{Name: c.key, Public: pub}}
		return p, nil
	}
	san, err := identity.Exact(c.identity)
	if err != nil {
		return p, err
	}
	issuer, err := identity.Exact(c.issuer)
	if err != nil {
		return p, err
	}
	m, err := identity.NewMatcher(identity.MatcherOptions{SAN: san, Issuer: issuer})
	p.Identities = []identity.Matcher{m}
	return p, err
}

func (c *call) message() (algorithm.Message, error) {
	if digest, ok := strings.CutPrefix(c.artifact, "sha256:"); ok {
		sum, err := hex.DecodeString(digest)
		if err != nil || len(sum) != crypto.SHA256.Size() {
			return nil, fmt.Errorf("%q is not a sha256 digest", c.artifact)
		}
		return algorithm.Precomputed(crypto.SHA256, sum), nil
	}
	data, err := os.ReadFile(c.artifact)
	if err != nil {
		return nil, err
	}
	return algorithm.Bytes(data), nil
}
