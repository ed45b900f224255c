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

// continued looks at the continuations of a tag.
func (f *finder) continued(ctx context.Context, of chain) {
	n, m, err := f.client.lastOf(ctx, f.session, placeContinued, of.base, 0)
	ref := f.session.repo.Name() + ":" + continuation(of.base, max(n, 1))
	l := &listing{place: placeContinued, ref: ref}
	if err != nil || m == nil {
		f.collect(ctx, l, err)
		return
	}
	if of.place == PlaceFallback {
		err = f.client.addIndex(l, m)
		f.collect(ctx, l, err)
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
