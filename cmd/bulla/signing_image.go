package main

import (
	"context"
	"errors"
	"slices"
	"strings"

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
}

// tagWarning is cosign's: a tag may move between looking and signing.
const tagWarning = `Image reference %s uses a tag, not a digest, to identify the image to sign.
    This can lead you to sign a different image than the intended one. Please use a
    digest (example.com/ubuntu@sha256:abc123...) rather than tag
    (example.com/ubuntu:latest) for the input to cosign. The ability to refer to
    images by tag will be removed in a future release.
`

// maxTargets bounds how many manifests one reference leads to with --recursive: an index of indexes for every platform
// that there is has a few hundred.
const maxTargets = 4096

// targets finds all that is to be signed, by digest, before anything is. Without an upload, a reference that names a
// digest needs no registry.
func (s *imageSigning) targets(ctx context.Context, c *cli.Call, client *oci.Client, upload, recursive bool) ([]*oci.Image, error) {
	var all []*oci.Image
	for _, ref := range c.Args {
		img, err := client.Parse(ref)
		if err != nil {
			return nil, cli.Usagef("%w", err)
		}
		if img.Digest == "" {
			c.Warnf(tagWarning, ref)
		}
		if img.Digest == "" || upload || recursive {
			if img, err = client.Resolve(ctx, ref); err != nil {
				return nil, signingRegistryError(c, err)
			}
		}
		all = append(all, img)
	}
	if recursive {
		for i := 0; i < len(all); i++ {
			if i >= maxTargets {
				return nil, cli.Errorf(cli.ExitInput, "--recursive leads to more than %d manifests", maxTargets)
			}
			if !all[i].IsIndex() {
				continue
			}
			children, err := client.Children(ctx, all[i])
			if err != nil {
				return nil, signingRegistryError(c, err)
			}
			all = append(all, children...)
		}
	}
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(img *oci.Image) bool {
		again := seen[img.Name()]
		seen[img.Name()] = true
		return again
	})
	return all, s.onePerFile(c, len(all), "bundle")
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
		Bundle: data, ContentKind: oci.ContentDSSE, PredicateType: to.predicateType, Created: c.Now(),
	})
	done()
	if err != nil {
		return signingRegistryError(c, err)
	}
	r.Reference = evidenceRepository(c, to.img) + "@" + digest
	return nil
}

// storeLayer adds a signature or an attestation to cosign's older tag.
func (s *imageSigning) storeLayer(ctx context.Context, c *cli.Call, r *signed, to storage, replace bool) error {
	payload, mediaType, annotations, err := to.bundle.Layer()
	if err != nil {
		return err
	}
	suffix, kind := "sig", "signature"
	if to.predicateType != "" {
		suffix, kind = "att", "attestation"
	}
	s.pushing(c, to)
	done := c.Progress("storing")
	_, err = to.client.AttachLayer(ctx, to.img, oci.LayerOptions{
		Suffix: suffix, Payload: payload, MediaType: mediaType, Annotations: annotations, ReplacePredicate: replace,
	})
	done()
	if err != nil {
		return signingRegistryError(c, err)
	}
	r.Reference, err = to.client.Triangulate(ctx, to.img, kind)
	return err
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
	c.Infof("Pushing %s to: %s", what, evidenceRepository(c, to.img))
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
