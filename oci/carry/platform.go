package carry

import (
	"context"
	"fmt"
	"strings"
)

// PlatformError says that an index does not have just one image for a platform.
type PlatformError struct {
	Digest   string   // of the index
	Platform string   // that was wanted
	Fit      int      // how many images fit
	Have     []string // platforms that the index has; none: it is no index of images for several platforms
}

// Error says what there is.
func (e *PlatformError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("%s is no index of images for several platforms", e.Digest)
	}
	return fmt.Sprintf("%d images for the platform %s in %s, want one; it has %s", e.Fit, printable(e.Platform), e.Digest, strings.Join(e.Have, ", "))
}

// Platform finds the image for a platform, os/architecture with or without /variant, in an index. A [PlatformError] says that
// the index does not have one; other errors are those of reading it.
func Platform(ctx context.Context, from Source, index *Manifest, platform string) (*Manifest, error) {
	d, err := parse(index.Body)
	if err != nil {
		return nil, err
	}
	var found []string
	var have []string
	for i := range d.Manifests {
		p := d.Manifests[i].platform()
		if p == platform || strings.HasPrefix(p, platform+"/") {
			found = append(found, d.Manifests[i].Digest)
		}
		if p != "" {
			have = append(have, printable(p))
		}
	}
	if len(found) != 1 {
		return nil, &PlatformError{index.Digest, platform, len(found), have}
	}
	return from.Manifest(ctx, found[0])
}
