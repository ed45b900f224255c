package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/oci/repair"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxScan bounds the tags that a repair looks at: a request each.
const maxScan = 10000

// RepairReferrers makes the list of an image's referrers whole. Where the registry keeps none by itself, the index under the
// referrers tag is rebuilt: from what it holds, from the digests given, and, with Scan, from the manifests under the
// repository's tags. Every entry is made again from its manifest, whose subject must be the image. Where the registry has
// the referrers API, manifests that should be listed and are not, such as those that only the tag lists, are pushed once
// more, upon which the registry lists them. Other writers may write meanwhile, see [Client.AttachBundle]. What nothing leads
// to any more cannot be found: no registry lists manifests without a tag.
//
// Cosign's older tags are made whole where tags are written once and a part of their chain was lost: the tag itself, or, with
// Scan, a continuation before the last one. Elsewhere they are all that there is of what they hold.
func (c *Client) RepairReferrers(ctx context.Context, img *Image, o repair.Options) (*repair.Result, error) {
	if err := c.resolve(ctx, img); err != nil {
		return nil, err
	}
	s, err := c.connect(ctx, c.evidenceRepository(img), !o.DryRun)
	if err != nil {
		return nil, err
	}
	l, err := c.referrers(ctx, s, img)
	if err == nil && l.cut != nil {
		err = tooMuch(l.place, l.cut.Error())
	}
	if err != nil {
		return nil, err
	}
	r := &repairer{client: c, session: s, img: img, options: o, listed: map[string]jsontext.Value{}, inTag: map[string]bool{}, entries: []repair.Entry{}, own: l.api}
	if err := r.gather(ctx, l); err != nil {
		return nil, err
	}
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	out := &repair.Result{Place: l.place, Ref: l.ref, Entries: r.entries}
	older, err := r.lookOlder(ctx, out)
	if err != nil || o.DryRun {
		return out, err
	}
	if out.Written, err = r.write(ctx, l); err != nil {
		return nil, err
	}
	for _, of := range older {
		if of.result.Written, err = r.writeOlder(ctx, of); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// repairer is the state of one repair.
type repairer struct {
	client  *Client
	session *session
	img     *Image
	options repair.Options
	own     bool // the registry makes the list by itself, and what it says of an entry cannot be changed

	listed  map[string]jsontext.Value // by digest, as the list has it
	inTag   map[string]bool           // those of them that the referrers tag itself lists
	digests []string                  // all that should be looked at, listed or not
	past    map[string]bool           // those of them that may have been taken out of the list, see [listing]

	entries []repair.Entry
	fixed   []entry    // what is to be written: added or mended
	bodies  []*fetched // their manifests
	dropped []string   // what is to be taken out
	stuck   []int      // of entries, those of it that stay where a tag is written once
	gone    []string   // what stays listed although the registry does not have it
	foreign int        // how many entries stay listed although they are not about the image

	highest map[string]int // of each older tag: the highest number that continues it, as far as all tags were listed
}

// gather collects the digests to look at.
func (r *repairer) gather(ctx context.Context, l *listing) error {
	c := r.client
	if !l.api {
		for _, digest := range digestsOf(l.entries) {
			r.inTag[digest] = true
		}
	}
	if err := c.continueIn(ctx, r.session, r.img, l); err != nil {
		return err
	}
	r.past = l.past
	for _, raw := range l.entries {
		d, err := parseDescriptor(raw)
		if err == nil {
			err = checkDigest(d.Digest)
		}
		if err != nil {
			return notAList(l.place, l.ref, err)
		}
		r.listed[d.Digest] = raw
		r.digests = append(r.digests, d.Digest)
	}
	more := slices.Clone(r.options.Referrers)
	if !l.api && l.tag == nil {
		// Nobody looks behind a tag that is not there.
		hidden, err := c.continuedList(ctx, r.session, r.img)
		if err == nil && hidden != nil && hidden.cut != nil {
			err = tooMuch(hidden.place, hidden.cut.Error())
		}
		if err != nil {
			return err
		}
		if hidden != nil {
			more = append(more, digestsOf(hidden.entries)...)
		}
	}
	if l.api {
		old, err := c.fallback(ctx, r.session, r.img)
		if err == nil {
			err = c.continueIn(ctx, r.session, r.img, old)
		}
		if err != nil {
			return err
		}
		r.past = old.past
		for _, raw := range old.entries {
			if d, err := parseDescriptor(raw); err == nil {
				more = append(more, d.Digest)
			}
		}
	}
	for _, digest := range more {
		if err := checkDigest(digest); err != nil {
			return err
		}
		if !slices.Contains(r.digests, digest) {
			r.digests = append(r.digests, digest)
		}
	}
	if r.options.Scan {
		return r.scan(ctx)
	}
	return nil
}

// scan looks at the manifests under all tags: at those about the image, and at what continuations of its referrers tag list,
// of which no more than the last is read otherwise, and none where the tag itself is gone.
func (r *repairer) scan(ctx context.Context) error {
	tags, err := r.client.tags(ctx, r.session, "tags")
	if err != nil {
		return err
	}
	if len(tags) > maxScan {
		return tooMuch("tags", fmt.Sprintf("%s has more than %d tags", r.session.repo.Name(), maxScan))
	}
	r.highest = map[string]int{}
	for _, tag := range tags {
		for _, suffix := range olderLists {
			base := r.client.legacyTag(r.img, suffix)
			r.highest[base] = max(r.highest[base], continues(tag, base))
		}
	}
	found := make([][]string, len(tags))
	errs := make([]error, len(tags))
	each(r.client.options.Workers, len(tags), func(i int) {
		m, err := r.client.manifest(ctx, r.session, "tags", tags[i])
		if err != nil {
			errs[i] = err
			return
		}
		found[i] = r.scanned(tags[i], m)
	})
	for i, digests := range found {
		if isUnknown(errs[i]) {
			return errs[i]
		}
		for _, digest := range digests {
			if !slices.Contains(r.digests, digest) {
				r.digests = append(r.digests, digest)
			}
		}
	}
	return nil
}

// scanned is what the manifest under a tag adds to the list: itself, or what it lists.
func (r *repairer) scanned(tag string, m *fetched) []string {
	parsed, err := parseManifest(m.body, m.mediaType)
	switch {
	case err != nil:
		return nil
	case parsed.Subject != nil && parsed.Subject.Digest == r.img.Digest:
		return []string{m.digest}
	case m.mediaType != typeOCIIndex || !isContinuation(tag, referrersTag(r.img.Digest)):
		return nil
	}
	return digestsOf(parsed.Manifests[:min(len(parsed.Manifests), r.client.limits.Referrers)])
}

// digestsOf are the digests of what is listed, as far as it has any.
func digestsOf(list []jsontext.Value) (out []string) {
	for _, raw := range list {
		if d, err := parseDescriptor(raw); err == nil && checkDigest(d.Digest) == nil {
			out = append(out, d.Digest)
		}
	}
	return out
}

// look fetches the manifest of everything that was gathered, and decides what becomes of it.
func (r *repairer) look(ctx context.Context) error {
	errs := make([]error, len(r.digests))
	results := make([]func(), len(r.digests))
	each(r.client.options.Workers, len(r.digests), func(i int) { results[i], errs[i] = r.one(ctx, r.digests[i]) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, enter := range results {
		enter()
	}
	return nil
}

// one looks at one referrer. The result enters what came of it; it is called in the order of the list.
func (r *repairer) one(ctx context.Context, digest string) (func(), error) {
	m, err := r.client.manifest(ctx, r.session, PlaceReferrers, digest)
	if isNotFound(err) && r.past[digest] {
		return func() {}, nil
	}
	if isNotFound(err) {
		return r.unfit(digest, repair.Missing, "the registry does not have it"), nil
	}
	if err != nil {
		return nil, err
	}
	parsed, err := parseManifest(m.body, m.mediaType)
	if err != nil {
		return r.unfit(digest, repair.Foreign, err.Error()), nil
	}
	if parsed.Subject == nil || parsed.Subject.Digest != r.img.Digest {
		return r.unfit(digest, repair.Foreign, "its subject is not the image"), nil
	}
	want := descriptor{
		MediaType: m.mediaType, Size: int64(len(m.body)), Digest: digest, Annotations: parsed.Annotations, ArtifactType: artifactType(parsed),
	}
	raw, err := json.Marshal(want, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	return func() { r.fit(want, entry{key: digest, raw: raw}, m) }, nil
}

// unfit is what cannot be listed. It stays in the list unless it is to be pruned.
func (r *repairer) unfit(digest, state, detail string) func() {
	return func() {
		_, listed := r.listed[digest]
		switch {
		case listed && r.options.Prune && r.own:
			state, detail = repair.Stays, detail+", and the registry makes the list by itself: only who runs it can take something out"
		case listed && r.options.Prune && state == repair.Foreign && r.inTag[digest] && r.past != nil:
			state, detail = repair.Stays, detail+keptListed
		case listed && r.options.Prune:
			if state == repair.Foreign && r.inTag[digest] {
				r.stuck = append(r.stuck, len(r.entries))
			}
			r.dropped = append(r.dropped, digest)
			state = repair.Pruned
		case listed && state == repair.Missing:
			r.gone = append(r.gone, digest)
		case listed:
			r.foreign++
		}
		r.entries = append(r.entries, repair.Entry{Digest: digest, State: state, Detail: detail})
	}
}

func (r *repairer) fit(want descriptor, e entry, m *fetched) {
	raw, listed := r.listed[want.Digest]
	have, err := parseDescriptor(raw)
	result := repair.Entry{Digest: want.Digest, State: repair.Kept}
	switch {
	case !listed:
		result.State = repair.Added
	case err == nil && have.MediaType == want.MediaType && have.Size == want.Size && have.ArtifactType == want.ArtifactType && contains(have.Annotations, want.Annotations):
	case r.own:
		result.Detail = "the registry's own list says something else of it than its manifest"
	default:
		result.State, result.Detail = repair.Mended, "the list says something else of it than its manifest"
	}
	if result.State != repair.Kept {
		r.fixed = append(r.fixed, e)
		r.bodies = append(r.bodies, m)
	}
	r.entries = append(r.entries, result)
}

// contains says whether all annotations of the manifest are in the list; a list may have more.
func contains(have, want map[string]string) bool {
	for name, value := range want {
		if got, ok := have[name]; !ok || got != value {
			return false
		}
	}
	return true
}

// write changes the list.
func (r *repairer) write(ctx context.Context, l *listing) (bool, error) {
	if l.api {
		return r.pushAgain(ctx)
	}
	if len(r.fixed) == 0 && len(r.dropped) == 0 {
		return false, nil
	}
	u := r.client.updateTag(r.session, r.img)
	u.also, u.mend, u.removed = r.fixed, map[string]entry{}, map[string]bool{}
	for _, e := range r.fixed {
		u.mend[e.key] = e
	}
	for _, digest := range r.dropped {
		u.removed[digest] = true
	}
	// What is to be taken out may be listed by the last continuation alone. The tag itself then says what is wanted already, and
	// would not be written.
	u.appending = r.past != nil
	u.stuck = map[string]bool{}
	for _, i := range r.stuck {
		u.stuck[r.entries[i].Digest] = true
	}
	err := r.run(ctx, u)
	if err == nil && u.appending {
		r.stay()
	}
	return u.wrote && err == nil, r.explain(err)
}

// keptListed is why something stays listed: a tag that is written once keeps what it lists, and what a later list leaves out
// counts as taken out only where the registry does not have it any more.
const keptListed = ", and the registry keeps the tag that lists it as it is: it is listed for as long as the registry has it"

// stay says what is still listed, after the registry has refused to have the tag written again.
func (r *repairer) stay() {
	for _, i := range r.stuck {
		e := &r.entries[i]
		e.State, e.Detail = repair.Stays, e.Detail+keptListed
	}
}

// run changes a shared tag. Where the registry refuses to write a tag that is not there, since there once was one, the change
// goes into a continuation, where nobody looks for it: that is no repair.
func (r *repairer) run(ctx context.Context, u *update) error {
	err := u.run(ctx)
	if !u.appending {
		return err
	}
	if _, missing := r.client.manifest(ctx, r.session, u.place, u.tag); !isNotFound(missing) {
		return errors.Join(err, missing)
	}
	lost := &LostError{Tag: u.name(), Attempts: 1, Err: fmt.Errorf(
		"the tag is gone, and the registry refuses to have it written again; nobody looks at %s and what follows it while it is missing "+
			"(allow this tag to be written in the settings of the registry, and repair again)", continuation(u.tag, 1))}
	for _, e := range u.adds() {
		lost.Lost = append(lost.Lost, entryDigest(e))
	}
	if len(lost.Lost) > 0 {
		lost.Digest = lost.Lost[0]
	}
	return lost
}

// maxNamed is how many digests an error names.
const maxNamed = 5

// explain says what may help where a registry refused a list, as registries may that do not have what it lists.
func (r *repairer) explain(err error) error {
	var unknown *UnknownError
	if len(r.gone) == 0 || !errors.As(err, &unknown) {
		return err
	}
	switch unknown.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
	default:
		return err
	}
	named, more := strings.Join(r.gone[:min(len(r.gone), maxNamed)], ", "), ""
	if n := len(r.gone) - maxNamed; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	unknown.Hint = fmt.Sprintf("this registry may refuse lists of what it does not have, and it does not have %s%s; --prune takes them out of the list", named, more)
	if r.foreign > 0 {
		unknown.Hint += fmt.Sprintf(", as well as %d entries that are not about the image", r.foreign)
	}
	unknown.Hint += "; to keep them, copy them here first from where they still are"
	return err
}

// pushAgain makes a registry that keeps the list itself look once more at what it does not list. What it says of others is
// its own business: it is made from the manifests.
func (r *repairer) pushAgain(ctx context.Context) (bool, error) {
	written := false
	for i, e := range r.fixed {
		if _, listed := r.listed[e.key]; listed {
			continue
		}
		m := r.bodies[i]
		_, err := r.client.putManifest(ctx, r.session, request{
			place: placeUpload, path: "manifests/" + e.key, body: m.body, header: map[string]string{"Content-Type": m.mediaType},
		})
		if err != nil {
			return written, err
		}
		written = true
		d, err := parseDescriptor(e.raw)
		if err != nil {
			return written, err
		}
		if err := r.client.list(ctx, r.session, r.img, storedReferrer{descriptor: d}); err != nil {
			return written, err
		}
	}
	return written, nil
}
