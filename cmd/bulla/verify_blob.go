package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/verify"
)

// blobEvidence are the flags that name the evidence of a blob.
type blobEvidence struct {
	bundle, signature, timestamp string
}

func (e *blobEvidence) register(fs *pflag.FlagSet) {
	cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
		fs.StringVar(&e.bundle, "bundle", "", "`FILE` with the bundle; without it, one beside the artifact is looked for")
		fs.StringVar(&e.signature, "signature", "", "`FILE` with the signature, or the signature itself in base64")
		fs.StringVar(&e.timestamp, "rfc3161-timestamp", "", "`FILE` with a timestamp over the signature")
		cli.Deprecate(fs, "signature", "give a bundle instead (--bundle), which holds it")
		cli.Deprecate(fs, "rfc3161-timestamp", "give a bundle instead (--bundle), which holds it")
	})
}

// files says where the evidence of an artifact is.
func (e *blobEvidence) files(v *verification, artifact string) evidence.Files {
	return evidence.Files{
		Artifact: artifact, Bundle: e.bundle, Signature: e.signature, Timestamp: e.timestamp,
		Certificate: v.Certificate, SCT: v.SCT, Keyless: v.Key == "",
	}
}

// check refuses flags without a value.
func (e *blobEvidence) check(c *cli.Call) error {
	return checkEmpty(c, map[string]string{"bundle": e.bundle, "signature": e.signature, "rfc3161-timestamp": e.timestamp})
}

type verifyBlob struct {
	verification
	blobEvidence
}

func verifyBlobCommand() *cli.Command {
	o := &verifyBlob{}
	return &cli.Command{
		Use: "verify-blob [flags] BLOB", Short: "Verify a file's signature", Group: "Verify", BindEnv: true,
		Long: `Verify that a file was signed by the holder of a key or by somebody with a certified identity.

The artifact is a file, - for standard input, a URL, env://NAME, or a digest such as sha256:HEX. Its signature is in the file that --bundle names. Without --bundle it is looked for beside the artifact, as FILE.sigstore.json, FILE.sigstore, FILE.bundle, or FILE.sig with FILE.pem; the command says which it used.

Every format that cosign ever wrote is read. Certificates and logs are checked with --trusted-root, or what bulla initialize has set up, or the public-good root that ships with the program.`,
		Example: `# signed with a key, not logged
bulla verify-blob --key cosign.pub --log=none --bundle a.txt.sigstore.json a.txt

# signed with an identity
bulla verify-blob --certificate-identity me@example.com \
  --certificate-oidc-issuer https://accounts.google.com a.txt`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.blobEvidence.register(fs)
			o.verification.register(fs)
			o.registerAnyPredicate(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *verifyBlob) run(ctx context.Context, c *cli.Call) error {
	if err := o.blobEvidence.check(c); err != nil {
		return err
	}
	req, err := o.request(ctx, c, verify.Claims{Message: true})
	if err != nil {
		return err
	}
	o.warnInsecure(c, "blob")
	return o.verifyArtifact(ctx, c, req, o.files(&o.verification, c.Args[0]), o.output.String())
}

// warnInsecure repeats what cosign says when the log is waived.
func (v *verification) warnInsecure(c *cli.Call, what string) {
	if v.ignoresLog() && c.Cosign {
		c.Warnf("Skipping tlog verification is an insecure practice that lacks transparency and auditability verification for the %s.", what)
	}
}

// verifyArtifact reads the evidence, hashes the artifact once, and prints the report. Without an artifact nothing is
// compared with one.
func (v *verification) verifyArtifact(ctx context.Context, c *cli.Call, req *verify.Request, files evidence.Files, output string) error {
	r, err := v.judgeArtifact(ctx, c, req, files)
	if err != nil {
		return withoutVerdict(c, err, output, files.Artifact, func(r *verify.Report) error { return c.PrintJSON(r) })
	}
	return finish(c, r, output, false)
}

func (v *verification) judgeArtifact(ctx context.Context, c *cli.Call, req *verify.Request, files evidence.Files) (*verify.Report, error) {
	var artifact *blob.Blob
	var err error
	if files.Artifact != "" {
		if artifact, err = openBlob(ctx, c, files.Artifact); err != nil {
			return nil, err
		}
		req.Artifact = verify.Artifact{Name: artifact.Name, Message: artifact}
	}
	found, err := files.Load(ctx)
	if err != nil {
		return nil, inputError(err)
	}
	if found.Beside {
		c.Infof("using the signature in %s", strings.Join(found.Names, " with the certificate in "))
	}
	req.Candidates = found.Candidates
	if artifact != nil {
		if err := hashOnce(artifact, req); err != nil {
			return nil, inputError(err)
		}
	}
	return v.finder.judge(ctx, req)
}

// hashOnce computes every digest that the verification may ask for in one pass, so that a stream suffices.
func hashOnce(artifact *blob.Blob, req *verify.Request) error {
	var needs []blob.Need
	for _, n := range verify.Needs(req.Candidates, &req.Policy) {
		needs = append(needs, blob.Need{Hash: n.Hash, Prefix: n.Prefix})
	}
	err := artifact.Hash(needs...)
	if errors.Is(err, algorithm.ErrDigestUnavailable) {
		// A bare digest knows no others; which of them were needed the report will say.
		return nil
	}
	return err
}

// finish prints a report and turns it into the command's outcome.
func finish(c *cli.Call, r *verify.Report, output string, image bool) error {
	switch {
	case output == "json":
		if err := c.PrintJSON(r); err != nil {
			return err
		}
	case c.Cosign:
		if r.Verified {
			tellWarnings(c, r)
			c.Infof("Verified OK")
		}
	default:
		if err := report.Text(c.Out, r, report.Style{Colour: c.Coloured(), Full: c.Verbose}); err != nil {
			return err
		}
	}
	return refusal(r, image)
}

// openBlob finds the artifact that a command was given.
func openBlob(ctx context.Context, c *cli.Call, ref string) (*blob.Blob, error) {
	b, err := blob.Open(ctx, ref, blob.Sources{
		Stdin: c.In, LookupEnv: c.LookupEnv,
		// Only the connection is bounded here: a download of any size is bounded by --timeout.
		HTTP: &http.Client{Transport: c.Net.Transport()},
	})
	return b, inputError(err)
}
