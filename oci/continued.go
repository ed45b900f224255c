package oci

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Some registries can be told that a tag is written once. A list that several writers extend cannot be kept in one such
// tag. It is continued in further ones, numbered from 1: sha256-<hex>.1 after the referrers tag, sha256-<hex>.1.sig after
// the tag .sig. Each holds all that the one before it held, and more, so that who reads the last one has read them all. That
// a tag cannot be written twice decides between two writers of the same number. Other tools do not know these tags: they
// see what the first tag holds.

// maxContinued bounds the search for the last continuation, which costs two requests for each doubling.
const maxContinued = 4096

// chain is a shared tag that is there, and may be continued.
type chain struct {
	base  string // the tag
	place string // what it is
}

// continuation is the n-th tag after a shared tag.
func continuation(base string, n int) string {
	for _, suffix := range []string{".sig", ".att"} {
		if cut, ok := strings.CutSuffix(base, suffix); ok {
			return cut + "." + strconv.Itoa(n) + suffix
		}
	}
	return base + "." + strconv.Itoa(n)
}

// isContinuation says whether a tag continues a shared tag.
func isContinuation(tag, base string) bool { return continues(tag, base) > 0 }

// continues is the number with which a tag continues a shared tag; 0: it does not.
func continues(tag, base string) int {
	suffix := ""
	for _, older := range []string{".sig", ".att"} {
		if cut, ok := strings.CutSuffix(base, older); ok {
			base, suffix = cut, older
		}
	}
	rest, ok := strings.CutPrefix(tag, base+".")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSuffix(rest, suffix))
	if err != nil || n < 1 || n > maxContinued || continuation(base+suffix, n) != tag {
		return 0
	}
	return n
}

// lastOf finds the last continuation of a tag, when it is known that there are from (0: the tag itself is there). The result
// is nil when there are no more than that.
func (c *Client) lastOf(ctx context.Context, s *session, place, base string, from int) (int, *fetched, error) {
	here, gone := from, maxContinued+1
	var last *fetched
	for step := 1; here+1 < gone; {
		n := min(here+step, gone-1)
		if gone <= maxContinued {
			n = (here + gone) / 2
		}
		m, err := c.manifest(ctx, s, place, continuation(base, n))
		switch {
		case isNotFound(err):
			gone = n
		case err != nil:
			return 0, nil, err
		default:
			here, last, step = n, m, step*2
		}
	}
	if here >= maxContinued {
		return 0, nil, tooMuch(place, fmt.Sprintf("%s:%s has more than %d continuations", s.repo.Name(), base, maxContinued))
	}
	return here, last, nil
}

// continuedList is what the last continuation of a referrers tag lists; nil when there is none.
func (c *Client) continuedList(ctx context.Context, s *session, img *Image) (*listing, error) {
	tag := referrersTag(img.Digest)
	n, m, err := c.lastOf(ctx, s, placeContinued, tag, 0)
	l := &listing{place: placeContinued, ref: s.repo.Name() + ":" + continuation(tag, max(n, 1))}
	if err != nil || m == nil {
		if err == nil {
			l = nil
		}
		return l, err
	}
	return l, c.addIndex(l, m)
}

// continueIn adds what the continuations of a referrers tag list. Whatever only the tag lists may have been taken out of the
// list since: where it is gone from the registry, it was.
func (c *Client) continueIn(ctx context.Context, s *session, img *Image, l *listing) error {
	if l.api || l.tag == nil {
		return nil
	}
	more, err := c.continuedList(ctx, s, img)
	if err != nil || more == nil {
		return err
	}
	l.past = map[string]bool{}
	entries := more.entries
	for _, raw := range l.entries {
		d, err := parseDescriptor(raw)
		if err == nil && more.has(d.Digest) {
			continue
		}
		if err == nil {
			l.past[d.Digest] = true
		}
		entries = append(entries, raw)
	}
	l.cut = more.cut
	l.entries = nil
	l.add(entries, c.limits.Referrers)
	return nil
}

// continuedLayers are the manifests of an older tag that is there and of its last continuation. That one holds all that the
// tag holds, and more; where it does not, both are returned.
func (c *Client) continuedLayers(ctx context.Context, s *session, of chain, m *fetched) ([]*fetched, error) {
	_, last, err := c.lastOf(ctx, s, of.place, of.base, 0)
	switch {
	case err != nil:
		return nil, err
	case last == nil:
		return []*fetched{m}, nil
	case c.holdsLayers(last, m):
		return []*fetched{last}, nil
	}
	return []*fetched{m, last}, nil
}

// holdsLayers says whether each layer of one manifest is in another.
func (c *Client) holdsLayers(whole, part *fetched) bool {
	have := map[string]bool{}
	for _, m := range []*fetched{whole, part} {
		parsed, err := c.parseLayers(m)
		if err != nil {
			return false
		}
		for _, raw := range parsed.Layers {
			d, err := parseDescriptor(raw)
			if err != nil || m == part && !have[layerKey(d)] {
				return false
			}
			have[layerKey(d)] = true
		}
	}
	return true
}

// continued looks at the continuations of a tag.
func (f *finder) continued(ctx context.Context, of chain) {
	if of.place == PlaceFallback {
		f.continuedReferrers(ctx, of)
		return
	}
	n, m, err := f.client.lastOf(ctx, f.session, placeContinued, of.base, 0)
	ref := f.session.repo.Name() + ":" + continuation(of.base, max(n, 1))
	if err != nil || m == nil {
		f.collect(ctx, &listing{place: placeContinued, ref: ref}, err)
		return
	}
	f.found.Places = append(f.found.Places, Place{Name: placeContinued, Ref: ref, Outcome: Absent})
	place := &f.found.Places[len(f.found.Places)-1]
	parsed, err := f.client.parseLayers(m)
	if err != nil {
		place.Outcome, place.Err = Unknown, notAList(placeContinued, ref, err)
		return
	}
	parsed.Layers = slices.DeleteFunc(parsed.Layers, f.againLayer)
	f.take(place, f.layersOf(ctx, of.place, parsed))
	f.took()
}

// continuedReferrers looks at the continuations of the referrers tag. What the tag lists, and they do not, was taken out if
// the registry does not have it any more.
func (f *finder) continuedReferrers(ctx context.Context, of chain) {
	l, err := f.client.continuedList(ctx, f.session, f.img)
	if l == nil {
		l = &listing{place: placeContinued, ref: f.session.repo.Name() + ":" + continuation(of.base, 1)}
	} else if err == nil {
		f.takenOut = func(i Item) bool { return !i.Legacy && isGone(i.Err) && !l.has(i.Digest) }
	}
	f.collect(ctx, l, err)
}

// notAList says that a tag holds something that it should not.
func notAList(place, ref string, err error) error {
	return &UnknownError{
		Place: place, Method: http.MethodGet, URL: ref, Detail: err.Error(),
		Hint: "see what this tag holds, and remove it if it is not a list of evidence",
	}
}

// immutable recognises that a registry refuses to write a tag because it is there already. No specification says how.
// Harbor's status is that of a failed condition, Amazon's that of a malformed request.
func immutable(a *answer, err error) bool {
	unknown, ok := err.(*UnknownError)
	if !ok || a == nil {
		return false
	}
	switch a.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusPreconditionFailed:
	default:
		return false
	}
	text := strings.ToLower(unknown.Detail)
	return unknown.Code == "TAG_INVALID" || strings.Contains(text, "immutable") || strings.Contains(text, "cannot be overwritten")
}
