package oci

import (
	"context"
	"fmt"

	"github.com/bulla-sign/bulla/oci/repair"
)

// olderLists are the suffixes of cosign's older tags that hold lists. The one for an SBOM holds one.
var olderLists = []string{"sig", "att"}

// olderTag is the repair of one of cosign's older tags.
type olderTag struct {
	tag, place string
	list       *layerList
	result     *repair.Result
	fixed      []entry // what is to be seen again
}

// lookOlder looks at the older tags, and enters into the result what it found.
func (r *repairer) lookOlder(ctx context.Context, out *repair.Result) ([]*olderTag, error) {
	var all []*olderTag
	for _, suffix := range olderLists {
		o := &olderTag{
			tag: r.client.legacyTag(r.img, suffix), place: legacyPlace(suffix),
			list: &layerList{client: r.client, session: r.session, created: zeroTime},
		}
		if len(o.tag) > maxTag {
			continue
		}
		seen, hidden, err := r.readOlder(ctx, o)
		if err != nil {
			return nil, err
		}
		if len(seen)+len(hidden) == 0 {
			continue
		}
		o.result = &repair.Result{Place: o.place, Ref: r.session.repo.Name() + ":" + o.tag, Entries: []repair.Entry{}}
		for _, e := range seen {
			o.result.Entries = append(o.result.Entries, repair.Entry{Digest: entryDigest(e), State: repair.Kept})
		}
		if err := r.uncover(ctx, o, hidden); err != nil {
			return nil, err
		}
		out.Older = append(out.Older, o.result)
		all = append(all, o)
	}
	return all, nil
}

// readOlder returns what everybody sees who reads the tag and its continuations, and what only the last continuation holds
// that nobody finds: since the tag is gone, or a continuation before it. That one holds all that was to stay of those before.
func (r *repairer) readOlder(ctx context.Context, o *olderTag) (seen, hidden []entry, err error) {
	c := r.client
	base, err := c.manifest(ctx, r.session, o.place, o.tag)
	if err != nil && !isNotFound(err) {
		return nil, nil, err
	}
	n, last, err := c.lastOf(ctx, r.session, o.place, o.tag, 0)
	if err != nil {
		return nil, nil, err
	}
	known := map[string]bool{}
	take := func(m *fetched) (fresh []entry, err error) {
		if m == nil {
			return nil, nil
		}
		entries, err := o.list.read(ctx, m)
		if err != nil {
			return nil, notAList(o.place, r.session.repo.Name()+":"+o.tag, err)
		}
		for _, e := range entries {
			if !known[e.key] {
				known[e.key] = true
				fresh = append(fresh, e)
			}
		}
		return fresh, nil
	}
	if seen, err = take(base); err != nil {
		return nil, nil, err
	}
	more, err := take(last)
	if err != nil {
		return nil, nil, err
	}
	if base != nil {
		seen = append(seen, more...)
	} else {
		hidden = more
	}
	if highest := r.highest[o.tag]; highest > n {
		m, err := c.manifest(ctx, r.session, o.place, continuation(o.tag, highest))
		if err != nil && !isNotFound(err) {
			return nil, nil, err
		}
		if more, err = take(m); err != nil {
			return nil, nil, err
		}
		hidden = append(hidden, more...)
	}
	return seen, hidden, nil
}

// uncover decides what of the hidden is put back: all that the registry still has.
func (r *repairer) uncover(ctx context.Context, o *olderTag, hidden []entry) error {
	if len(hidden) > r.client.limits.Layers {
		return tooMuch(o.place, fmt.Sprintf("%s has more than %d layers", o.result.Ref, r.client.limits.Layers))
	}
	outcomes, errs := make([]Outcome, len(hidden)), make([]error, len(hidden))
	each(r.client.options.Workers, len(hidden), func(i int) {
		digest := entryDigest(hidden[i])
		if errs[i] = checkDigest(digest); errs[i] == nil {
			outcomes[i], errs[i] = r.client.hasBlob(ctx, r.session, digest)
		}
	})
	for i, e := range hidden {
		if errs[i] != nil {
			return errs[i]
		}
		found := repair.Entry{Digest: entryDigest(e), State: repair.Added, Detail: "it was in a continuation of the tag that nothing led to"}
		if outcomes[i] == Absent {
			found.State, found.Detail = repair.Missing, "the registry does not have it"
		} else {
			o.fixed = append(o.fixed, e)
		}
		o.result.Entries = append(o.result.Entries, found)
	}
	return nil
}

// writeOlder puts back what was hidden.
func (r *repairer) writeOlder(ctx context.Context, o *olderTag) (bool, error) {
	if len(o.fixed) == 0 {
		return false, nil
	}
	err := r.run(ctx, &update{client: r.client, session: r.session, place: o.place, tag: o.tag, list: o.list, also: o.fixed})
	return err == nil, err
}
