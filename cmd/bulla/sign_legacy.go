package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// rawTexts makes JSON values of annotations.
func rawTexts(annotations map[string]string) (map[string][]byte, error) {
	out := make(map[string][]byte, len(annotations))
	for name, value := range annotations {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(value); err != nil {
			return nil, err
		}
		out[name] = bytes.TrimRight(buf.Bytes(), "\n")
	}
	return out, nil
}

// checkBoth refuses what has no meaning where an image gets a bundle and a simple-signing document.
func (o *signImages) checkBoth(c *cli.Call) error {
	const why, instead = "--format=both stores both in the registry", "sign with --format=legacy to get it"
	if !o.upload {
		return cli.Usagef("--format=both and --upload=false contradict each other: the older format of image signatures has no bundle").
			WithHint("sign with --format=legacy and --output-signature to get files")
	}
	if o.mode.Mode.String() != "" {
		return cli.Usagef("--registry-referrers-mode contradicts --format=both, which writes a referrer and a tag").WithHint(leaveOut)
	}
	return refuseIgnored(c, ignoredFlag{"output-signature", why, instead}, ignoredFlag{"output-payload", why, instead},
		ignoredFlag{"output-certificate", why, instead}, ignoredFlag{"payload", "what is signed in a bundle is made from the image", leaveOut})
}

// checkLegacy refuses what has no meaning for simple-signing documents.
func (o *signImages) checkLegacy(c *cli.Call) error {
	if err := refuseIgnored(c, ignoredFlag{"bundle", "the older format of image signatures has no bundle", "leave --new-bundle-format=false out, or give --output-signature and --output-payload"}); err != nil {
		return err
	}
	if o.mode.Mode.String() == "oci-1-1" {
		return cli.Usagef("--registry-referrers-mode=oci-1-1 was an experiment with the older signatures and is not supported").
			WithHint("leave --new-bundle-format=false out: bundles are attached as referrers")
	}
	if err := o.noCertificate(c); err != nil {
		return err
	}
	if c.Changed("skip-signed") && o.skipSigned && !o.leavesOut() {
		return cli.Usagef("--skip-signed leaves out what is signed already, and other flags ask for a signature of their own").
			WithHint("leave --skip-signed out, or --upload=false, --payload, --sign-container-identity and --output-signature with its like")
	}
	if o.payload != "" {
		const why, instead = "--payload is the whole of what is signed", "leave one of them out"
		if err := refuseIgnored(c, ignoredFlag{"annotations", why, instead}, ignoredFlag{"sign-container-identity", why, instead}); err != nil {
			return err
		}
	}
	if !o.upload && o.outSignature == "" {
		if !c.Cosign {
			return cli.Usagef("the signature would go nowhere: --upload=false needs --output-signature FILE")
		}
		c.Warnf("the signature goes nowhere: neither is it uploaded nor was --output-signature given")
	}
	return nil
}

// runLegacy signs the images that the arguments name in the format that cosign had before bundles.
func (o *signImages) runLegacy(ctx context.Context, c *cli.Call, run imageRun) error {
	return o.forEach(ctx, c, imageList{
		client: run.client, batch: &o.batch, must: o.upload || o.recursive, recursive: o.recursive,
		count: func(n int) error {
			if n > 1 && o.payload != "" {
				return cli.Usagef("--payload is about one image, and %d manifests are to be signed", n)
			}
			if o.recursive { // each file's name gets the digest, as cosign has it
				return nil
			}
			return o.onePerFile(c, n, "output-signature", "output-payload", "output-certificate")
		},
		do: func(ctx context.Context, c *cli.Call, img *oci.Image) error {
			one := run // the jobs go on side by side
			one.img = img
			return o.oneInLayers(ctx, c, one)
		},
	})
}

// oneInLayers signs one image, unless that was done before and is to be left out.
func (o *signImages) oneInLayers(ctx context.Context, c *cli.Call, run imageRun) error {
	if o.skipSigned && o.leavesOut() {
		switch r, err := o.layeredBefore(ctx, c, &run); {
		case err != nil:
			return err
		case r != nil:
			return r.skipped(c, o.output.String())
		}
	}
	if err := o.outputs.ready(o.outSignature, o.outPayload, o.outCertificate); err != nil {
		return err
	}
	payloads, err := o.payloads(ctx, run.img, run.annotations)
	if err != nil {
		return err
	}
	var signatures [][]byte
	for _, payload := range payloads {
		sig, err := o.oneLegacy(ctx, c, &run, payload)
		if err != nil {
			return err
		}
		signatures = append(signatures, sig)
	}
	suffix := ""
	if o.recursive {
		suffix = "-" + strings.Replace(run.img.Digest, ":", "-", 1)
	}
	return o.writeParts(c, &run.opts, parts{suffix, signatures, payloads})
}

// leavesOut says whether an earlier signature makes a new one unnecessary: not where files are asked for that it does not fill,
// or words that it need not have.
func (o *signImages) leavesOut() bool {
	return o.upload && o.outSignature == "" && o.outPayload == "" && o.outCertificate == "" && o.payload == "" && len(o.identities) == 0
}

// layeredBefore looks for an earlier signature under cosign's older tag.
func (o *signImages) layeredBefore(ctx context.Context, c *cli.Call, run *imageRun) (*signed, error) {
	older := run.storage
	older.older = true
	r, err := o.signedBefore(ctx, c, &older, &run.opts)
	if r != nil && err == nil {
		r.Reference, err = run.client.Triangulate(ctx, run.img, "signature")
	}
	return r, err
}

// payloads makes the documents to sign: one for each name that the image is to have.
func (o *signImages) payloads(ctx context.Context, img *oci.Image, annotations map[string][]byte) ([][]byte, error) {
	if o.payload != "" {
		data, err := readFileUpTo(ctx, o.payload, maxSigningConfig)
		return [][]byte{data}, err
	}
	names := o.identities
	if len(names) == 0 {
		names = []string{img.Repository.Name()}
	}
	var out [][]byte
	for _, name := range names {
		data, err := simpleSigning(name, img, annotations)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// oneLegacy signs one document and stores it, unless an equal one by the same key is there already. It returns the
// signature.
func (o *signImages) oneLegacy(ctx context.Context, c *cli.Call, run *imageRun, payload []byte) ([]byte, error) {
	artifact, err := imageArtifact(run.img)
	if err != nil {
		return nil, err
	}
	if err := o.ready(ctx, c, &run.opts); err != nil {
		return nil, stop(err)
	}
	announce(c)
	b, err := sign.SimpleSigning(ctx, payload, artifact.Message, run.opts)
	if err != nil {
		return nil, o.failed(ctx, c, err, artifact.Name)
	}
	r, err := newSigned(&run.opts, b, run.img.Ref, run.img.Digest)
	if err != nil {
		return nil, err
	}
	if o.upload {
		there, err := alreadySigned(ctx, run, b)
		if err != nil {
			return nil, signingRegistryError(c, err)
		}
		if there && !c.Cosign {
			c.Infof("an equal signature by this key is there already: nothing was added")
			r.Reference, err = run.client.Triangulate(ctx, run.img, "signature")
		} else if !there {
			r.Reference, err = o.storeSimple(ctx, c, storage{client: run.client, img: run.img, bundle: b}, &run.opts)
		}
		if err != nil {
			return nil, err
		}
	}
	return b.Message.Signature, r.print(c, o.output.String())
}

// storeSimple adds a simple-signing document to cosign's older tag, and returns its name.
func (o *signImages) storeSimple(ctx context.Context, c *cli.Call, to storage, opts *sign.Options) (string, error) {
	artifact, err := imageArtifact(to.img)
	if err != nil {
		return "", err
	}
	l, err := olderLayer(to.bundle, artifact.Message, opts)
	if err != nil {
		return "", err
	}
	return o.storeLayer(ctx, c, l, to, false)
}

// alreadySigned looks for a signature over the same document by the same key, with the same certificates.
func alreadySigned(ctx context.Context, run *imageRun, b *bundle.Bundle) (bool, error) {
	found, err := run.client.Find(ctx, run.img, oci.FindOptions{Signatures: true, Every: true})
	if err != nil {
		return false, registryError(err)
	}
	artifact, err := imageArtifact(run.img)
	if err != nil {
		return false, err
	}
	key, err := trust.NewKey("the signing key", run.opts.Signer.Public(), algorithm.Unspecified, trust.Window{})
	if err != nil {
		return false, err
	}
	req := &verify.Request{Artifact: artifact, Now: run.opts.Now, Policy: verify.Policy{
		Keys: []trust.Key{key}, IgnoreLog: true, Claims: verify.Claims{SimpleSigning: true},
	}}
	for _, item := range found.Items {
		if old := item.Bundle; old != nil && old.Message != nil && bytes.Equal(old.Message.Payload, b.Message.Payload) &&
			slices.EqualFunc(old.Material.Certificates, b.Material.Certificates, bytes.Equal) {
			req.Candidates = append(req.Candidates, verify.Candidate{Name: item.Digest, Bundle: old})
		}
	}
	return len(req.Candidates) > 0 && verify.Verify(req).Verified, nil
}

// parts are what was signed about one image, and what goes behind the names of its files.
type parts struct {
	suffix               string
	signatures, payloads [][]byte
}

// writeParts writes the files of --output-signature, --output-payload and --output-certificate, one line for each
// document.
func (o *signImages) writeParts(c *cli.Call, opts *sign.Options, p parts) error {
	var signatures [][]byte
	for _, sig := range p.signatures {
		signatures = append(signatures, []byte(base64.StdEncoding.EncodeToString(sig)))
	}
	lines := []byte("\n")
	for _, f := range []struct {
		path, message string
		data          func() []byte
	}{
		{o.outSignature, "Signature wrote in the file %s", func() []byte { return bytes.Join(signatures, lines) }},
		{o.outPayload, "Payload wrote in the file %s", func() []byte { return bytes.Join(p.payloads, lines) }},
		{o.outCertificate, "Certificate wrote in the file %s", func() []byte { return certificatePEM(opts.Certificates[0]) }},
	} {
		if f.path == "" || (f.path == o.outCertificate && len(opts.Certificates) == 0) {
			continue
		}
		if err := writeFile(c, f.path+p.suffix, f.data(), f.message); err != nil {
			return err
		}
	}
	return nil
}
