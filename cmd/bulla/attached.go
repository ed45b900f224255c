package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
)

// resolveImage finds the image that a reference names. Where only its digest counts and the reference names one, the
// registry is not asked: evidence may be there although the image is not.
func resolveImage(ctx context.Context, c *cli.Call, client *oci.Client, ref string) (*oci.Image, error) {
	img, err := client.Parse(ref)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	if img.Digest == "" {
		img, err = client.Resolve(ctx, ref)
	}
	return img, imageError(c, err)
}

// imageError gives an error about finding an image its exit status. cosign has one for a missing image only where it
// verifies.
func imageError(c *cli.Call, err error) error {
	if errors.Is(err, oci.ErrImageNotFound) {
		code := cli.ExitImageNotFound
		if c.Cosign {
			code = cli.ExitFailure
		}
		return &cli.Error{Code: code, Err: err}
	}
	return registryError(err)
}

// platformImage finds the manifest for a platform, os/architecture with or without /variant, in the index that a
// reference names. Without a platform it is the image itself.
func platformImage(ctx context.Context, c *cli.Call, client *oci.Client, ref, platform string) (*oci.Image, error) {
	if err := checkPlatform(platform); err != nil {
		return nil, err
	}
	img, err := resolveImage(ctx, c, client, ref)
	if err != nil || platform == "" {
		return img, err
	}
	if img, err = client.Resolve(ctx, ref); err != nil {
		return nil, imageError(c, err)
	}
	return platformIn(ctx, c, client, img, platform)
}

// checkPlatform refuses what cannot be a platform; none may be.
func checkPlatform(platform string) error {
	if parts := strings.Split(platform, "/"); platform != "" && (len(parts) > 3 || slices.Contains(parts, "")) {
		return badPlatform(platform)
	}
	return nil
}

// platformIn finds the manifest for a platform in an index.
func platformIn(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, platform string) (*oci.Image, error) {
	ref := img.Ref
	children, err := client.Children(ctx, img)
	if err != nil {
		return nil, registryError(err)
	}
	if len(children) == 0 {
		return nil, cli.Usagef("--platform %s: %s is no index of images for several platforms", platform, ref)
	}
	var found []*oci.Image
	var have []string
	for _, child := range children {
		if child.Platform == platform || strings.HasPrefix(child.Platform, platform+"/") {
			found = append(found, child)
		}
		if child.Platform != "" {
			have = append(have, child.Platform)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && !strings.Contains(platform, "/"):
		return nil, badPlatform(platform)
	case len(found) == 0:
		return nil, imageError(c, fmt.Errorf("%w: %s has none for the platform %s; it has %s", oci.ErrImageNotFound, ref, platform, strings.Join(have, ", ")))
	}
	return nil, cli.Usagef("--platform %s fits several images of %s: %s", platform, ref, strings.Join(have, ", ")).
		WithHint("name the variant, too, or the image by its digest")
}

func badPlatform(platform string) error {
	return cli.Usagef("--platform %q: want OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/amd64", platform)
}

// unansweredPlace returns the error of the first place that gave no usable answer, or only a part of one.
func unansweredPlace(places []oci.Place) error {
	for i := range places {
		if p := &places[i]; p.Err != nil {
			return p.Err
		}
	}
	return nil
}
