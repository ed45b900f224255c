package oci

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The names of the places where evidence is looked for, as they appear in [Place] and in errors.
const (
	PlaceReferrers    = "referrers API"
	PlaceFallback     = "fallback tag"
	PlaceSignatures   = "signature tag"
	PlaceAttestations = "attestation tag"
	PlaceSBOMs        = "sbom tag"
)

// placeContinued is the continuation of a shared tag where tags are immutable; see [Client.AttachBundle].
const placeContinued = "continuation tags"

// listing is a list of an image's referrers.
type listing struct {
	place   string // PlaceReferrers or PlaceFallback
	ref     string // what was asked
	entries []jsontext.Value
	tag     *fetched        // the index behind the fallback tag; nil when there is none
	note    string          // why something there was not taken for a list
	api     bool            // the registry has the referrers API
	past    map[string]bool // of a tag that is continued: the digests that only the tag itself lists
	cut     error           // the list is longer than we read; entries are its beginning
}

// referrers lists the manifests that state digest as their subject: by the API ("Listing Referrers"), or where a registry
// answers that it has none, by the referrers tag. The entries are the registry's word only: an artifactType may be missing
// or another field's value, and no filter is relied upon.
func (c *Client) referrers(ctx context.Context, s *session, img *Image) (*listing, error) {
	l := &listing{place: PlaceReferrers, ref: s.repo.Name() + "@" + img.Digest, api: true}
	err := c.referrersAPI(ctx, s, img.Digest, l)
	if err != errNoAPI {
		return l, err
	}
	if l, err = c.fallback(ctx, s, img); err == nil {
		c.noAPI.Store(s.repo.Name()+"@"+img.Digest, c.options.Now())
	}
	return l, err
}

// apiMemory is how long it is taken for granted, between looking and writing, that a registry has no referrers API. Who
// looks for evidence asks each time.
const apiMemory = time.Minute

// lacksAPI says whether the registry has just said that it has no referrers API.
func (c *Client) lacksAPI(s *session, digest string) bool {
	said, ok := c.noAPI.Load(s.repo.Name() + "@" + digest)
	return ok && c.options.Now().Sub(said.(time.Time)).Abs() < apiMemory
}

// errNoAPI is internal: the registry has no referrers API.
var errNoAPI = fmt.Errorf("no referrers API")

func (c *Client) referrersAPI(ctx context.Context, s *session, digest string, l *listing) error {
	r := request{
		place: PlaceReferrers, method: http.MethodGet, path: "referrers/" + digest, limit: c.limits.Manifest,
		header: map[string]string{"Accept": typeOCIIndex},
	}
	seen := map[string]bool{}
	left := listBytes * c.limits.Manifest
	for page := 1; ; page++ {
		a, err := c.do(ctx, s, r)
		if err != nil {
			if page == 1 && noAPI(a, err) {
				return errNoAPI
			}
			return asUnknown(a, r, err)
		}
		entries, err := readPage(a)
		if err != nil {
			return a.unknown(r, err.Error())
		}
		c.withAPI.Store(s.repo.Name(), true)
		if l.add(entries, c.limits.Referrers) {
			return nil
		}
		if left -= int64(len(a.body)); left < 0 {
			l.cut = fmt.Errorf("the list is larger than %d times %d bytes", listBytes, c.limits.Manifest)
			return nil
		}
		next, err := nextPage(a)
		if err != nil {
			return a.unknown(r, err.Error())
		}
		if next == nil {
			return nil
		}
		if seen[next.String()] || page >= c.limits.Pages {
			l.cut = fmt.Errorf("the list has more than %d pages, or repeats itself", page)
			return nil
		}
		seen[next.String()] = true
		r.url = next
	}
}

// listBytes is how many of the largest pages are read of one list: their entries are kept, and maxReferrers of an honest
// size fill two.
const listBytes = 4

// add appends entries up to the limit, and says whether it was reached.
func (l *listing) add(entries []jsontext.Value, limit int) bool {
	if len(l.entries)+len(entries) > limit {
		l.cut = fmt.Errorf("the list has more than %d entries", limit)
		entries = entries[:limit-len(l.entries)]
	}
	l.entries = append(l.entries, entries...)
	return l.cut != nil
}

// noAPI recognises a registry without the API: a 404 of its own ("Unavailable Referrers API"), whatever the body, or the
// specification's code for what a registry does not support.
func noAPI(a *answer, err error) bool {
	if a == nil || a.moved {
		return false
	}
	if a.status == http.StatusNotFound {
		return true
	}
	unknown, ok := err.(*UnknownError)
	return ok && unknown.Code == "UNSUPPORTED" && a.status < 500
}

// asUnknown makes a "not found" in the middle of something into an unknown.
func asUnknown(a *answer, r request, err error) error {
	if nf, ok := err.(*notFound); ok && a != nil {
		unknown := a.unknown(r, nf.message)
		unknown.Code = nf.code
		return unknown
	}
	return err
}

// readPage reads one page: status 200, an OCI image index by its header and by its content.
func readPage(a *answer) ([]jsontext.Value, error) {
	if a.status != http.StatusOK || a.moved {
		return nil, fmt.Errorf("want status 200 from the registry itself")
	}
	if kind := a.mediaType(); kind != typeOCIIndex {
		return nil, fmt.Errorf("want media type %s, got %q", typeOCIIndex, printable(kind, 100))
	}
	index, err := parseManifest(a.body, typeOCIIndex)
	if err != nil {
		return nil, err
	}
	return index.Manifests, nil
}

// fallback reads the list from the referrers tag ("Referrers Tag Schema"). A 404 there is the specification's "no
// referrers". Some registries resolve the tag to the image itself (GitLab), and cosign copy used to write the image under
// it: that is no list, and neither is an index that is the image.
func (c *Client) fallback(ctx context.Context, s *session, img *Image) (*listing, error) {
	tag := referrersTag(img.Digest)
	l := &listing{place: PlaceFallback, ref: s.repo.Name() + ":" + tag}
	m, err := c.manifest(ctx, s, PlaceFallback, tag)
	if isNotFound(err) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	if digestLike(img.Digest, m.body) == img.Digest {
		l.note = "the tag leads to the image itself, not to a list"
		return l, nil
	}
	l.tag = m
	return l, c.addIndex(l, m)
}

// addIndex adds what an index under a tag lists.
func (c *Client) addIndex(l *listing, m *fetched) error {
	if m.mediaType != typeOCIIndex {
		return notAList(l.place, l.ref, fmt.Errorf("the tag holds %s, want an image index", m.mediaType))
	}
	index, err := parseManifest(m.body, m.mediaType)
	if err != nil {
		return notAList(l.place, l.ref, err)
	}
	l.add(index.Manifests, c.limits.Referrers)
	return nil
}
