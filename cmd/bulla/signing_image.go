package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oci"
)

// imageSigning is what the commands have in common that sign something about images.
type imageSigning struct {
	signing
	registry flags.Registry
	output   cli.Choice
	// recordTime is --record-creation-timestamp, of the older format: deprecated.
	recordTime bool
	// kept is where evidence is kept, for people, when that is no registry.
	kept string
	// ahead is what was looked up while the key was opened, by the reference.
	ahead map[string]*early
}

// tagWarning says why a tag is not a name to sign: it may move between building and signing.
const tagWarning = `%s is a tag, and tags move. What gets signed is what the tag points to at this moment, which
    need not be what you built. To be sure, name the image by its digest (REPOSITORY@sha256:...).
`

// maxTargets bounds how many manifests one reference leads to with --recursive: an index of indexes for every platform
// that there is has a few hundred.
const maxTargets = 4096

// resolve finds the digest of one reference. With must the registry is asked for one that names its digest, too.
func (s *imageSigning) resolve(ctx context.Context, c *cli.Call, client *oci.Client, ref string, must bool) (*oci.Image, error) {
	img, err := client.Parse(ref)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	if img.Digest == "" {
		c.Warnf(tagWarning, ref)
	}
	if img.Digest == "" || must {
		e := s.ahead[ref]
		if e == nil {
			e = new(early)
		}
		if e.lookUp(ctx, client, ref); e.err != nil {
			return nil, perhapsFile(c, ref, signingRegistryError(c, e.err))
		}
		img = e.img
	}
	return img, nil
}

// perhapsFile adds to the error about a reference that a file has that name.
func perhapsFile(c *cli.Call, ref string, err error) error {
	var coded *cli.Error
	info, missing := os.Stat(ref)
	if c.Cosign || missing != nil || !info.Mode().IsRegular() || !errors.As(err, &coded) || coded.Hint != "" {
		return err
	}
	return coded.WithHint("%s is also a file here: sign-blob and attest-blob sign files, and sign takes %s%s", ref, blobPrefix, ref)
}

// expand adds the manifests of an index where that is asked for.
func (s *imageSigning) expand(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, recursive bool) ([]*oci.Image, error) {
	all := []*oci.Image{img}
	if !recursive {
		return all, nil
	}
	all, err := descend(ctx, client, all)
	if err != nil {
		return nil, signingRegistryError(c, err)
	}
	return all, nil
}

// descend adds the manifests that indexes list, and those that indexes among them list.
func descend(ctx context.Context, client *oci.Client, all []*oci.Image) ([]*oci.Image, error) {
	for i := 0; i < len(all); i++ {
		if i >= maxTargets {
			return nil, cli.Errorf(cli.ExitInput, "--recursive leads to more than %d manifests", maxTargets)
		}
		if !all[i].IsIndex() {
			continue
		}
		children, err := client.Children(ctx, all[i])
		if err != nil {
			return nil, err
		}
		all = append(all, children...)
	}
	return all, nil
}

// once leaves each manifest in once.
func once(all []*oci.Image) []*oci.Image {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(img *oci.Image) bool {
		again := seen[img.Name()]
		seen[img.Name()] = true
		return again
	})
}

// imageList is work that is done for each of the images that the arguments name.
type imageList struct {
	client    *oci.Client
	batch     *batch
	must      bool // the registry is asked for images that are named by their digest, too
	recursive bool
	count     func(n int) error          // of all that is to be signed, before anything is; nil: none
	check     func(img *oci.Image) error // likewise, of each
	do        func(ctx context.Context, c *cli.Call, img *oci.Image) error
	blobs     batchRun // what else is signed in the same run
}

// forEach finds the images and does the work. One that was listed and is not there is among those that failed.
func (s *imageSigning) forEach(ctx context.Context, c *cli.Call, l imageList) error {
	images, missing, err := s.find(ctx, c, l)
	if err != nil {
		return err
	}
	r := batchRun{json: s.output.String() == "json", do: func(ctx context.Context, c *cli.Call, i int) error {
		switch {
		case i < len(images):
			return l.do(ctx, c, images[i])
		case i < len(images)+len(missing):
			return missing[i-len(images)].err
		}
		return l.blobs.do(ctx, c, i-len(images)-len(missing))
	}}
	for _, img := range images {
		if l.check != nil {
			if err := l.check(img); err != nil {
				return err
			}
		}
		r.names = append(r.names, img.Ref)
	}
	for _, m := range missing {
		r.names = append(r.names, m.ref)
	}
	r.names = append(r.names, l.blobs.names...)
	return s.waiting(l.batch.each(ctx, c, r))
}

// missingImage is a reference that led to no image, and why.
type missingImage struct {
	ref string
	err error
}

// find looks up the images, each manifest once. Where a file lists them what is not found is an outcome like others; of
// arguments it is an error, before anything is done.
func (s *imageSigning) find(ctx context.Context, c *cli.Call, l imageList) (images []*oci.Image, missing []missingImage, err error) {
	found, errs := make([][]*oci.Image, len(c.Args)), make([]error, len(c.Args))
	parallel(len(c.Args), l.batch.jobs, func(i int) {
		img, err := s.resolve(ctx, c, l.client, c.Args[i], l.must)
		if err == nil {
			found[i], err = s.expand(ctx, c, l.client, img, l.recursive)
		}
		errs[i] = err
	})
	for i, err := range errs {
		switch {
		case err == nil:
		case l.batch.from == "" || exitCode(err) == cli.ExitUsage:
			return nil, nil, err
		default:
			missing = append(missing, missingImage{c.Args[i], err})
		}
	}
	images = once(slices.Concat(found...))
	n := len(images) + len(l.blobs.names)
	if err = s.onePerFile(c, n, "bundle"); err == nil && l.count != nil {
		err = l.count(n)
	}
	return images, missing, err
}

// onePerFile refuses flags that name one file where there are several signatures to write.
func (s *imageSigning) onePerFile(c *cli.Call, n int, names ...string) error {
	for _, name := range names {
		if n > 1 && c.Changed(name) {
			return cli.Usagef("--%s names one file, and %d manifests are to be signed: each would overwrite the one before", name, n).
				WithHint("sign them one by one, or leave --%s out", name)
		}
	}
	return nil
}

// signingRegistryError is [registryError], but that cosign has a status of its own for missing images only where it verifies.
func signingRegistryError(c *cli.Call, err error) error {
	err = registryError(err)
	var coded *cli.Error
	if c.Cosign && errors.As(err, &coded) {
		coded.Code = cli.ExitFailure
	}
	return err
}

// storage is one bundle to be stored, and where.
type storage struct {
	client        *oci.Client
	img           *oci.Image
	bundle        *bundle.Bundle
	predicateType string
	upload        bool
	older         bool // the format from before bundles
	bare          bool // nothing of its kind was attached a moment ago
	fresh         bool // the bundle cannot be attached already
}

// store writes the bundle to the file that --bundle names, and attaches it to the image.
func (s *imageSigning) store(ctx context.Context, c *cli.Call, r *signed, to storage) error {
	data, err := to.bundle.Encode()
	if err != nil {
		return err
	}
	if s.Bundle != "" {
		if err := r.writeBundle(c, s.Bundle, data); err != nil {
			return err
		}
	}
	if !to.upload {
		return nil
	}
	s.pushing(c, to)
	done := c.Progress("storing")
	digest, err := to.client.AttachBundle(ctx, to.img, oci.AttachOptions{
		Bundle: data, ContentKind: oci.ContentDSSE, PredicateType: to.predicateType, Created: c.Now(), Fresh: to.fresh,
	})
	done()
	if err != nil {
		return signingRegistryError(c, err)
	}
	r.Reference = s.keptIn(c, to.img) + "@" + digest
	return nil
}

// storeLayer adds a signature or an attestation to cosign's older tag, and returns its name.
func (s *imageSigning) storeLayer(ctx context.Context, c *cli.Call, l *layer, to storage, replace bool) (string, error) {
	created, err := s.created(c)
	if err != nil {
		return "", err
	}
	suffix, kind := "sig", "signature"
	if to.predicateType != "" {
		suffix, kind = "att", "attestation"
	}
	s.pushing(c, to)
	done := c.Progress("storing")
	_, err = to.client.AttachLayer(ctx, to.img, oci.LayerOptions{
		Suffix: suffix, Payload: l.payload, MediaType: l.mediaType, Annotations: l.annotations, ReplacePredicate: replace,
		Created: created,
	})
	done()
	if err != nil {
		return "", signingRegistryError(c, err)
	}
	return to.client.Triangulate(ctx, to.img, kind)
}

// checkTime refuses --record-creation-timestamp where it has no effect.
func (s *imageSigning) checkTime(c *cli.Call) error {
	if s.older() {
		return nil
	}
	return refuseIgnored(c, ignoredFlag{"record-creation-timestamp", "a bundle's manifest always records when it was attached", "leave the flag out"})
}

// created is the time that --record-creation-timestamp writes: SOURCE_DATE_EPOCH, or the present. It is zero without.
func (s *imageSigning) created(c *cli.Call) (time.Time, error) {
	if !s.recordTime {
		return time.Time{}, nil
	}
	epoch, ok := c.LookupEnv("SOURCE_DATE_EPOCH")
	if !ok {
		return c.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, cli.Usagef("SOURCE_DATE_EPOCH %q is not a number of seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0), nil
}

// pushing says where a signature goes. cosign says so of signatures only.
func (s *imageSigning) pushing(c *cli.Call, to storage) {
	what := "signature"
	if to.predicateType != "" && to.predicateType != signPredicate {
		if c.Cosign {
			return
		}
		what = "attestation"
	}
	c.Infof("Pushing %s to: %s", what, s.keptIn(c, to.img))
}

// evidenceRepository is where what belongs to an image is kept.
func evidenceRepository(c *cli.Call, img *oci.Image) string {
	if other, _ := c.LookupEnv("COSIGN_REPOSITORY"); other != "" {
		return other
	}
	return img.Repository.Name()
}

// refuseTagPrefix refuses the prefix of tags where none is written.
func (s *imageSigning) refuseTagPrefix(c *cli.Call) error {
	return refuseIgnored(c, ignoredFlag{"attachment-tag-prefix", "a bundle is attached as a referrer, which needs no tag", "leave the flag out"})
}

// splitDigest takes "sha256:HEX" apart.
func splitDigest(digest string) (algorithm, value string) {
	algorithm, value, _ = strings.Cut(digest, ":")
	return algorithm, value
}
