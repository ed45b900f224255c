package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/repair"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

type flush struct {
	signing
	batch
	registry flags.Registry
	output   cli.Choice
	list     bool
}

func flushCommand() *cli.Command {
	o := &flush{}
	return &cli.Command{
		Use: "flush [flags]", Short: "Log the signatures that were made with --log=defer", Group: "Sign", BindEnv: true,
		Long: `Enter the signatures that wait in the spool into the transparency logs that they were made for, and put what comes of it in their place.

Each is verified before and after, under the trusted root that verifiers will use. Then the bundle with the log's entry is attached to the image, or replaces the file, and the one without it is removed. What cannot be logged now stays in the spool. --output json prints one line for each signature, and so none where nothing waits.

It may be interrupted anywhere and run again: a log is asked for the entry that it has already, and nothing is attached twice.`,
		Example: `# what was made while the log was away
bulla sign --log=defer registry.example.com/app@sha256:...
bulla flush

# what waits
bulla flush --list`,
		Lasting: func(*cli.Call) bool { return true },
		Flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&o.list, "list", false, "show what waits, and do nothing")
			fs.IntVar(&o.jobs, "jobs", defaultJobs, "how many are logged at the same time, `N`")
			o.spool.register(fs)
			fs.DurationVar(&o.patience, "patience", defaultPatience, "how long to go on asking a log that does not answer; once that was in vain, once for each signature; 0 asks once")
			fs.StringVar(&o.TrustedRoot, "trusted-root", "", "check with the trusted root in `FILE`, which verifiers will use, instead of the one that \"initialize\" set up")
			o.trusting.register(fs, "Services and trust")
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *flush) run(ctx context.Context, c *cli.Call) error {
	if o.patience < 0 {
		return cli.Usagef("--patience %s is negative", o.patience).WithHint("0 asks each log once")
	}
	if err := o.checkJobs(); err != nil {
		return err
	}
	c.JSONLines = true
	dir, err := o.spool.path(c)
	if err != nil {
		return err
	}
	files, err := readSpool(dir)
	if err != nil || len(files) == 0 {
		if err == nil {
			c.Infof("nothing waits in %s", dir)
		}
		return err
	}
	if !o.list {
		unlock, err := lockSpool(ctx, c, dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if c.Net.Offline() && !o.list {
		return cli.Usagef("--offline was given, and the logs are elsewhere").WithHint("--list shows what waits")
	}
	var with client.Options
	source, err := o.trusting.source(ctx, c)
	if err != nil {
		return err
	}
	registry, err := registryClient(c, &o.registry)
	if err == nil && !o.list {
		with, err = o.clientOptions(ctx, c, source)
	}
	if err != nil {
		return err
	}
	if o.list {
		o.jobs = 1 // in their order
	}
	f := &flushing{registry: registry, with: with, logs: map[spooledLog]sign.Logger{}}
	errs, halted := o.all(ctx, c, batchRun{names: files, do: func(ctx context.Context, c *cli.Call, i int) error {
		return o.one(ctx, c, f, files[i])
	}})
	return left(errs, halted, dir)
}

// lockPatience is how long another run may hold the spool before that is told.
const lockPatience = time.Second

// lockSpool makes this run the only one that flushes the spool.
func lockSpool(ctx context.Context, c *cli.Call, dir string) (unlock func(), err error) {
	lock := func(ctx context.Context) (func(), error) {
		return durable.Lock(ctx, filepath.Join(dir, ".lock"), durable.Exclusive)
	}
	soon, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	if unlock, err = lock(soon); err == nil || soon.Err() == nil || ctx.Err() != nil {
		return unlock, err
	}
	c.Infof("another flush is at work in %s: waiting for its end", dir)
	return lock(ctx)
}

// notPlacedError says that a signature was logged, and what comes of it is not yet where it belongs.
type notPlacedError struct{ err error }

func (e *notPlacedError) Error() string {
	return "it is logged, and not yet in its place: " + e.err.Error()
}

func (e *notPlacedError) Unwrap() error { return e.err }

// left is the error of the whole: how much stays.
func left(errs []error, halted error, dir string) error {
	waiting, logged := 0, 0
	for _, err := range errs {
		switch {
		case errors.As(err, new(*notPlacedError)):
			logged++
		case err != nil:
			waiting++
		}
	}
	stay := fmt.Sprintf("%d of %d are still not logged, and stay in %s", waiting, len(errs), dir)
	switch {
	case logged > 0 && waiting > 0:
		stay = fmt.Sprintf("%d of %d are still not logged, %d are logged and not yet in their place; they stay in %s", waiting, len(errs), logged, dir)
	case logged > 0:
		stay = fmt.Sprintf("%d of %d are logged and not yet in their place; they stay in %s", logged, len(errs), dir)
	}
	switch {
	case waiting+logged == 0:
		return nil
	case halted != nil:
		return cli.Errorf(exitCode(halted), "%w; %s", halted, stay)
	}
	err := cli.Errorf(sharedCode(errs), "%s", stay)
	if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, sign.ErrNotVerified) }) {
		_ = err.WithHint("what is trusted here must be what verifiers trust: --trusted-root or --instance, as it was when signing")
	}
	return err
}

// flushing is what the files of the spool have in common: the registries and the logs.
type flushing struct {
	registry *oci.Client
	with     client.Options

	mu     sync.Mutex
	logs   map[spooledLog]sign.Logger
	images sync.Map // by the place of the evidence and the image's digest: *sync.Mutex
}

// log returns the client of a log: one for all, so that one that is away is waited for once.
func (f *flushing) log(at spooledLog) (sign.Logger, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.logs[at]; l != nil {
		return l, nil
	}
	l, err := openLog(trust.Service{URL: at.URL, MajorAPIVersion: at.Version}, f.with)
	if err != nil {
		return nil, cli.Errorf(cli.ExitInput, "%w", err)
	}
	f.logs[at] = l
	return l, nil
}

// alone waits until nothing else changes what is attached to the image of e, of which several signatures may wait, and the list
// of which may lie under one tag. The function that is returned lets the next one in.
func (f *flushing) alone(e *spooled) func() {
	v, _ := f.images.LoadOrStore(e.Evidence+"@"+e.Digest, new(sync.Mutex))
	mu := v.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}

func (o *flush) one(ctx context.Context, c *cli.Call, f *flushing, path string) error {
	data, err := readFileUpTo(ctx, path, maxSpooled)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another run was first
	}
	if err != nil {
		return err
	}
	e, err := parseSpooled(data)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "%w", err)
	}
	e.path = path
	if err := o.enter(ctx, c, f, e); err != nil {
		return fmt.Errorf("%s: %w", artifactName(e.Artifact), err)
	}
	return nil
}

// enter logs a signature and puts what comes of it in its place.
func (o *flush) enter(ctx context.Context, c *cli.Call, f *flushing, e *spooled) error {
	opts, err := e.options(f)
	if err != nil {
		return err
	}
	r, err := newSigned(&opts, e.made, e.Artifact, e.Digest)
	if err != nil {
		return err
	}
	if o.list {
		r.Deferred = e.path
		return r.print(c, o.output.String())
	}
	var img *oci.Image
	if e.Attached { // before it becomes public for an image that is gone
		if img, err = o.image(ctx, c, f, e); err != nil {
			return err
		}
	}
	made, err := e.log(ctx, &opts)
	if err != nil {
		return signingError(err, "")
	}
	if r, err = newSigned(&opts, made, e.Artifact, e.Digest); err != nil {
		return err
	}
	if err := o.place(ctx, c, flushed{f, e, img, r}); err != nil {
		return &notPlacedError{err}
	}
	return r.print(c, o.output.String())
}

// image finds the image that a signature is about, and makes sure that its evidence is kept where it was.
func (o *flush) image(ctx context.Context, c *cli.Call, f *flushing, e *spooled) (*oci.Image, error) {
	img, err := f.registry.Resolve(ctx, e.Repository+"@"+e.Digest)
	if err != nil {
		err = signingRegistryError(c, err)
		if exitCode(err) == cli.ExitImageNotFound {
			err = fmt.Errorf("%w; to give the signature up, remove its file", err)
		}
		return nil, err
	}
	if at := evidenceRepository(c, img); at != e.Evidence {
		return nil, cli.Usagef("the signature was attached in %s, and would be in %s now", e.Evidence, at).WithHint("set COSIGN_REPOSITORY as it was")
	}
	return img, nil
}

// flushed is a signature that is logged: where it belongs, and what is told of it.
type flushed struct {
	*flushing
	*spooled
	img    *oci.Image // nil for one that was not attached
	result *signed
}

// place puts the finished bundle where the unlogged one is, and removes that from the spool.
func (o *flush) place(ctx context.Context, c *cli.Call, d flushed) error {
	if err := d.replaceFile(ctx, c, d.result); err != nil {
		return err
	}
	if d.img != nil {
		defer d.alone(d.spooled)()
		if err := o.replaceReferrer(ctx, c, d); err != nil {
			return err
		}
	}
	return os.Remove(d.path)
}

// options are those that the signature was made with, but for the private key.
func (e *spooled) options(f *flushing) (sign.Options, error) {
	o := sign.Options{ShortLived: e.ShortLived, Root: f.with.Root, Clock: f.with.Now, Certificates: e.made.Material.Certificates}
	o.Timestampers = make([]sign.Timestamper, e.Timestamps) // only counted
	pub, err := algorithm.ParsePublicKey(e.PublicKey)
	if err != nil {
		return o, cli.Errorf(cli.ExitInput, "%w", err)
	}
	o.Signer = publicOnly{pub}
	if o.Algorithm, err = algorithm.ForName(e.Algorithm); err != nil {
		return o, cli.Errorf(cli.ExitInput, "%w", err)
	}
	for _, l := range e.Logs {
		logger, err := f.log(l)
		if err != nil {
			return o, err
		}
		o.Loggers = append(o.Loggers, logger)
	}
	return o, nil
}

// publicOnly stands for a signer whose private key is gone, or elsewhere.
type publicOnly struct{ pub crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.pub }

func (publicOnly) Sign(context.Context, algorithm.Algorithm, algorithm.Message) ([]byte, error) {
	return nil, errors.New("there is no private key to sign with")
}

// log returns the finished bundle: the one that an earlier run kept, or one that is made and kept now.
func (e *spooled) log(ctx context.Context, opts *sign.Options) (*bundle.Bundle, error) {
	if len(e.Logged) > 0 {
		return bundle.Decode(e.Logged)
	}
	var artifact algorithm.Message
	if m := e.made.Message; m != nil {
		artifact = algorithm.Precomputed(m.Hash, m.Digest)
	}
	made, err := sign.Log(ctx, e.made, artifact, *opts)
	if err != nil {
		return nil, err
	}
	if e.Logged, err = made.Encode(); err != nil {
		return nil, err
	}
	return made, e.write()
}

// replaceFile writes the bundle where the unlogged one is, or is not yet. Something else that lies there stays.
func (e *spooled) replaceFile(ctx context.Context, c *cli.Call, r *signed) error {
	if e.File == "" {
		return nil
	}
	old, err := readFileUpTo(ctx, e.File, maxSpooled)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case bytes.Equal(old, e.Logged):
		r.Bundle = e.File
		return nil
	case !bytes.Equal(old, e.Unlogged):
		return cli.Errorf(cli.ExitIO, "file %s has changed since it was signed, and is not replaced", e.File).
			WithHint("move it away")
	}
	return r.writeBundle(c, e.File, e.Logged)
}

// replaceReferrer attaches the bundle to the image, and then removes the unlogged one.
func (o *flush) replaceReferrer(ctx context.Context, c *cli.Call, d flushed) error {
	digest, err := d.registry.AttachBundle(ctx, d.img, oci.AttachOptions{
		Bundle: d.Logged, ContentKind: oci.ContentDSSE, PredicateType: d.PredicateType, Created: c.Now(),
	})
	if err != nil {
		return signingRegistryError(c, err)
	}
	d.result.Reference = d.Evidence + "@" + digest
	return o.removeUnlogged(ctx, c, d.spooled, d.registry, d.img)
}

// removeUnlogged removes the bundle without an entry, and the list's word of it where the list lies under a tag. Where the
// removal fails the signature is logged all the same, and what stays says nothing wrong.
func (o *flush) removeUnlogged(ctx context.Context, c *cli.Call, e *spooled, registry *oci.Client, img *oci.Image) error {
	found, err := registry.Find(ctx, img, oci.FindOptions{Bundles: true, PredicateType: e.PredicateType})
	if err != nil {
		return signingRegistryError(c, err)
	}
	prune, seen := false, false
	var unread error
	for _, item := range found.Items {
		listed := item.Place == oci.PlaceFallback
		if item.Err != nil { // of an earlier run, perhaps, that was ended between the two
			prune, unread = prune || listed, item.Err
			continue
		}
		if !bytes.Equal(item.Raw, e.Unlogged) {
			continue
		}
		seen = true
		if err := o.remove(ctx, registry, img, e.Evidence, item.Digest); err != nil {
			c.Warnf("the bundle without a log entry, %s, stays: %v", item.Digest, err)
			continue
		}
		prune = prune || listed
	}
	if unread != nil && !seen && !prune {
		c.Warnf("the bundle without a log entry may still be there: %v", unread)
	}
	if !prune {
		return nil
	}
	if _, err := registry.RepairReferrers(ctx, img, repair.Options{Prune: true}); err != nil {
		return cli.Errorf(cli.ExitUnknown, "the list under the referrers tag still names the bundle without a log entry: %w", err)
	}
	return nil
}

func (o *flush) remove(ctx context.Context, registry *oci.Client, img *oci.Image, repository, digest string) error {
	where, err := registry.Parse(repository + "@" + digest)
	if err != nil {
		return fmt.Errorf("%s: %w", img.Name(), err)
	}
	_, err = registry.Delete(ctx, where.Repository, digest)
	return err
}
