package main

import (
	"context"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/sign"
)

// imageRun is what one image is signed with.
type imageRun struct {
	storage
	annotations map[string][]byte
	opts        sign.Options
}

// one signs one manifest, in a bundle or in both formats. What is there already is left out, if that is asked for; what is
// missing is stored when all of it is made and verified.
func (o *signImages) one(ctx context.Context, c *cli.Call, run imageRun) error {
	statement, err := run.statement()
	if err != nil {
		return err
	}
	r, old, err := o.before(ctx, c, &run)
	if err != nil {
		return err
	}
	if r != nil && (!o.both() || old != "") {
		r.Legacy = old
		return r.skipped(c, o.output.String())
	}
	if err := o.outputs.ready(o.Bundle); err != nil {
		return err
	}
	if err := o.ready(ctx, c, &run.opts); err != nil {
		return stop(err)
	}
	stored := r != nil
	if !stored {
		if r, err = o.state(ctx, c, &run, statement); err != nil {
			return err
		}
	}
	var layers []*layer
	if o.both() && old == "" {
		if layers, err = o.simple(ctx, c, &run); err != nil {
			return err
		}
	}
	if !stored {
		if err := o.defers(c, r, &run); err != nil {
			return err
		}
		if err := r.keptAnyway(o.store(ctx, c, r, run.storage)); err != nil {
			return err
		}
	}
	for _, l := range layers {
		if r.Legacy, err = o.storeLayer(ctx, c, l, storage{client: run.client, img: run.img}, false); err != nil {
			return err
		}
	}
	r.Skipped = false
	return r.print(c, o.output.String())
}

// before looks for earlier signatures where they make new ones unnecessary: the one in a bundle, and the tag of the one in
// the older format.
func (o *signImages) before(ctx context.Context, c *cli.Call, run *imageRun) (r *signed, tag string, err error) {
	if !o.again(run.storage) {
		return nil, "", nil
	}
	if r, err = o.signedBefore(ctx, c, &run.storage, &run.opts); err != nil || !o.both() {
		return r, "", err
	}
	older := run.storage
	older.older = true
	found, err := o.signedBefore(ctx, c, &older, &run.opts)
	if err != nil || found == nil {
		return r, "", err
	}
	tag, err = run.client.Triangulate(ctx, run.img, "signature")
	return r, tag, err
}

// statement says nothing but that the image is ours: its subject has no name, as in cosign's.
func (run *imageRun) statement() ([]byte, error) {
	algorithm, digest := splitDigest(run.img.Digest)
	st := &bundle.Statement{
		Type: bundle.StatementV1, PredicateType: run.predicateType, Predicate: []byte("{}"),
		Subjects: []bundle.Subject{{Digests: map[string]string{algorithm: digest}, Annotations: run.annotations}},
	}
	payload, err := st.Encode()
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	return payload, nil
}

// state signs the statement.
func (o *signImages) state(ctx context.Context, c *cli.Call, run *imageRun, payload []byte) (*signed, error) {
	artifact, err := imageArtifact(run.img)
	if err != nil {
		return nil, err
	}
	m, err := o.stated.get(c, o.sameStatement(c, run.img), func() (fresh, error) {
		used := run.opts
		announce(c)
		done := c.Progress("signing %s", artifact.Name)
		b, err := sign.Statement(ctx, payload, artifact.Message, used)
		done()
		return fresh{b, &used}, o.failed(ctx, c, err, artifact.Name)
	})
	if err != nil {
		return nil, err
	}
	run.bundle, run.fresh = m.b, run.bare || o.unique(m.b, m.opts)
	return newSigned(m.opts, run.bundle, run.img.Ref, run.img.Digest)
}

// sameStatement is what images have in common that one signature serves: their digest, since the statement names nothing else.
// Where evidence of several repositories is kept in one place, each has its own, as it would have in runs of its own.
func (o *signImages) sameStatement(c *cli.Call, img *oci.Image) string {
	if o.keptIn(c, img) != img.Repository.Name() {
		return img.Name()
	}
	return img.Digest
}

// simple signs the image in the older format, which says the same in other words and so is another signature.
func (o *signImages) simple(ctx context.Context, c *cli.Call, run *imageRun) ([]*layer, error) {
	artifact, err := imageArtifact(run.img)
	if err != nil {
		return nil, err
	}
	payloads, err := o.payloads(ctx, run.img, run.annotations)
	if err != nil {
		return nil, err
	}
	var out []*layer
	for _, payload := range payloads {
		done := c.Progress("signing %s", artifact.Name)
		b, err := sign.SimpleSigning(ctx, payload, artifact.Message, run.opts)
		done()
		if err != nil {
			return nil, o.failed(ctx, c, err, artifact.Name)
		}
		l, err := olderLayer(b, artifact.Message, &run.opts)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// defers puts the signature into the spool with --log=defer.
func (o *signImages) defers(c *cli.Call, r *signed, run *imageRun) error {
	if !run.opts.Defer {
		return nil
	}
	return o.keep(c, &run.opts, r, spooled{
		Repository: run.img.Repository.Name(), Evidence: evidenceRepository(c, run.img), Attached: run.upload, File: o.Bundle,
		PredicateType: run.predicateType, made: run.bundle,
	})
}
