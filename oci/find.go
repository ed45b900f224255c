package oci

import (
	"context"
	"fmt"
	"slices"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/google/go-containerregistry/pkg/name"
)

// Outcome is what is known about a place.
type Outcome int

// The three outcomes of looking.
const (
	Unknown Outcome = iota // no usable answer
	Absent                 // the registry said that nothing is there
	Present                // something is there
)

// String returns "unknown", "absent" or "present".
func (o Outcome) String() string {
	switch o {
	case Absent:
		return "absent"
	case Present:
		return "present"
	}
	return "unknown"
}

// Place is somewhere evidence was looked for.
type Place struct {
	Name    string // one of PlaceReferrers, PlaceFallback, PlaceSignatures, PlaceAttestations, PlaceSBOMs, or "continuation tags"
	Ref     string // the reference that was asked for
	Outcome Outcome
	Err     error             // why it is Unknown, or why only a part was read
	Count   int               // items found here
	Skipped int               // entries that state to be something else than what was asked for
	Other   map[string]string // of those, by their digests, the bundles that state another predicate type than the one asked for
	Note    string            // what was there and not taken for evidence; may be empty
}

// Item is one piece of evidence, or something that claims to be.
type Item struct {
	Bundle        *bundle.Bundle    // nil when Err is set
	Err           error             // why it could not be fetched or decoded; an [*UnknownError] when the registry did not deliver
	Raw           []byte            // the bundle, or the layer's payload, as stored
	MediaType     string            // of Raw
	Annotations   map[string]string // of the manifest, or of the older tags' layer
	Digest        string            // of the manifest, or of the older tags' layer
	Place         string            // a Place's Name
	Legacy        bool              // converted from one of cosign's older formats
	PredicateType string            // as the annotations state it; not verified, may be empty
}

// Evidence is what was found and where it was looked for.
type Evidence struct {
	Items  []Item
	Places []Place
}

// FindOptions say where to look.
type FindOptions struct {
	Bundles      bool // the image's referrers (and cosign's experimental signature artifacts among them)
	Signatures   bool // the older tag .sig
	Attestations bool // the older tag .att
	// PredicateType, when set, skips referrers that state another one in their annotations, whether the list repeats those or
	// only the manifest has them. A referrer that states none is always returned.
	PredicateType string
	// Enough, when set, is called with all that was found so far, each time there is more. When it returns true, looking
	// stops: what was not looked at by then is not in the result. It is never called by two goroutines at once.
	Enough func(found *Evidence) bool
	// Portion is how many candidates of a list are fetched before Enough is asked; each portion is four times as large as the
	// one before. 0 fetches all of a list first.
	Portion int
	// Every asks every place, although evidence was found already. Without it the referrers tag is not asked after the
	// referrers API has shown evidence, and the continuations of tags are not.
	Every bool
	// Brief is for who looks without need: where the registry has the referrers API, the tag is not asked, and nobody asks whether
	// the image is there when nothing was found.
	Brief bool
}

// Find looks for the evidence attached to an image. The image may come from [Client.Parse] when it was addressed by digest;
// then one bundle costs three requests (list, manifest, blob), or four without the referrers API, and n bundles 2n+1, or
// 2n+2.
//
// The places are asked in this order, each only when [FindOptions] and what was found before demand it: the referrers API;
// the referrers tag, when there is no API, or when the API has shown no evidence; the older tags .sig and .att; the
// continuations of those tags that are there. With Enough, a place is asked as long as Enough has not been reached: evidence
// that does not suffice is followed by the places that may have more, so that "not enough" is known of all of them.
//
// Every candidate is returned, those that cannot be decoded with their Err. The error is nil when something was decoded,
// and when every place answered. It is an [*UnknownError] when nothing was decoded and some answer is missing, and wraps
// [ErrImageNotFound] when nothing was found because the image is not there. The evidence is never nil.
func (c *Client) Find(ctx context.Context, img *Image, o FindOptions) (*Evidence, error) {
	found := &Evidence{}
	if !o.Bundles && !o.Signatures && !o.Attestations {
		return found, fmt.Errorf("find: nothing was asked for")
	}
	if img.Digest == "" {
		if err := c.resolve(ctx, img); err != nil {
			return found, err
		}
	}
	repo := c.evidenceRepository(img)
	s, err := c.connect(ctx, repo, false)
	if isUnknown(err) {
		if s = c.standIn(ctx, repo); s != nil {
			found.Places = append(found.Places, Place{Name: PlaceReferrers, Ref: repo.Name(), Outcome: Unknown, Err: err, Note: "a mirror was asked instead"})
			err = nil
		}
	}
	if err != nil {
		return found, err
	}
	f := &finder{client: c, session: s, img: img, options: o, found: found, left: c.limits.Total, blobs: map[string]*lazyBlob{}}
	f.search(ctx)
	if f.takenOut != nil {
		found.Items = slices.DeleteFunc(found.Items, f.takenOut)
	}
	if f.enough {
		return found, nil
	}
	return found, c.conclude(ctx, img, found, o.Brief)
}

// search asks one place after the other.
func (f *finder) search(ctx context.Context) {
	o := f.options
	if o.Bundles {
		f.referrers(ctx)
	}
	if o.Signatures && !f.enough {
		f.layers(ctx, "sig")
	}
	if o.Attestations && !f.enough {
		f.layers(ctx, "att")
	}
	for _, chain := range f.chains {
		if !f.enough && f.more() {
			f.continued(ctx, chain)
		}
	}
}

// more says whether a place is to be asked that is unlikely to have something.
func (f *finder) more() bool {
	return f.options.Every || f.options.Enough != nil || len(f.found.Items) == 0
}

// took asks whether what was found is enough.
func (f *finder) took() {
	if !f.enough && f.options.Enough != nil && len(f.found.Items) > 0 {
		f.enough = f.options.Enough(f.found)
	}
}

// conclude decides whether what was found is an answer.
func (c *Client) conclude(ctx context.Context, img *Image, found *Evidence, brief bool) error {
	var missing error
	for i := range found.Items {
		item := &found.Items[i]
		if item.Bundle != nil {
			return nil
		}
		if missing == nil && isUnknown(item.Err) {
			missing = item.Err
		}
	}
	for i := range found.Places {
		place := &found.Places[i]
		if place.Outcome == Unknown && place.Err != nil {
			return place.Err
		}
		if missing == nil && isUnknown(place.Err) {
			missing = place.Err
		}
	}
	if missing != nil || len(found.Items) > 0 || brief {
		return missing
	}
	// Nothing is attached: "no such image" is another answer than "not signed".
	return c.resolve(ctx, img)
}

// evidenceRepository is where an image's evidence is kept.
func (c *Client) evidenceRepository(img *Image) name.Repository {
	if c.repository != nil {
		return *c.repository
	}
	return img.Repository
}
