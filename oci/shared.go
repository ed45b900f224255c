package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A shared tag holds a list that several writers extend: the index behind a referrers tag, or the manifest behind one of
// cosign's older tags. The specification has no way to add one entry, so that each writer replaces the list, and the last
// one wins. The loop in update makes up for that.

// entry is one element of the list, as it is written there.
type entry struct {
	key string // equal keys are the same entry
	raw jsontext.Value
}

// list knows the form of one kind of shared tag.
type list interface {
	// read returns the entries of what the tag holds; an error means that the tag holds something else.
	read(ctx context.Context, m *fetched) ([]entry, error)
	// write returns a manifest with these entries; everything else is kept from base, which is nil when there was none.
	write(ctx context.Context, base *fetched, entries []entry) (body []byte, mediaType string, err error)
}

// update is one change of a shared tag.
type update struct {
	client  *Client
	session *session
	place   string
	tag     string
	list    list
	add     entry              // to be in the list at the end; without a key: none
	also    []entry            // more of those
	mend    map[string]entry   // entries that must read so, by their keys; nil: none
	replace func(e entry) bool // entries to remove of those found at first; nil: none
	early   *earlyRead         // of the tag, in place of the first; nil: none

	seen    []entry         // everything that must be there at the end, in the order it was seen
	known   map[string]bool // keys of seen
	removed map[string]bool // keys that replace took out, or that are gone from the registry
	settle  time.Duration   // how long other writers may take between reading and writing

	stuck     map[string]bool // keys of removed that cannot be taken out where tags are kept as they are; nil: none
	wrote     bool            // something was written
	appending bool            // the registry does not let the tag be written again: the list is continued in further tags
	last      int             // the number of the last of those that was seen; 0: none
	taken     bool            // the registry has just refused a tag, because somebody else was first

	unsure int           // writes in a row of which it is not known whether they took place
	wait   time.Duration // what the registry asked to wait
}

// errConflict says that somebody else wrote in between.
var errConflict = errors.New("the tag was changed by somebody else")

// errUnsure says that a write may or may not have taken place: the answer was lost, or the registry failed or was busy.
// The list must be read before anything else is written, since others go on meanwhile.
var errUnsure = errors.New("the registry did not say whether the tag was written")

// maxUnsure is how many such writes in a row are made up for: a registry that refuses a third of all requests gets through.
const maxUnsure = 6

// adds is everything to be added.
func (u *update) adds() []entry {
	if u.add.key == "" {
		return u.also
	}
	return append([]entry{u.add}, u.also...)
}

// adding says whether an entry with this key is to be added.
func (u *update) adding(key string) bool {
	return slices.ContainsFunc(u.adds(), func(e entry) bool { return e.key == key })
}

// run adds the entries and returns when a read-back, made after other writers have had the time to finish, has shown it and
// everything that was seen before. It ends with a [*LostError] when that cannot be reached.
//
// A writer that read the list before our write and writes after our read-back would undo our work unseen. Two rules close
// that window: nobody writes a list that was read more than half the settle time ago, and the read-back comes a whole settle
// time after the write. The time adapts to how long requests take. Where the registry honours If-Match the window does not
// exist; since it cannot be known that a registry does, we wait there too.
func (u *update) run(ctx context.Context) error {
	u.settle = u.client.options.Settle
	u.known = map[string]bool{}
	if u.removed == nil {
		u.removed = map[string]bool{}
	}
	var written []entry
	var last error
	quiet := false // the read before this one was complete too
	for attempt := 1; attempt <= u.client.options.Attempts; attempt++ {
		began, base, entries, err := u.next(ctx)
		if err != nil {
			return u.lost(attempt, entries, err)
		}
		if attempt == 1 {
			u.markReplaced(entries)
		}
		if err := u.keeps(entries); err != nil && written == nil {
			return err
		}
		want, complete := u.merge(entries)
		if complete {
			if written == nil || quiet || sameEntries(entries, written) {
				return nil
			}
			quiet = true // others are writing: look once more
			u.client.options.Log("%s: others are writing to it as well", u.name())
			if err := u.pause(ctx, u.settle); err != nil {
				return u.lost(attempt, nil, err)
			}
			continue
		}
		quiet = false
		last = u.write(ctx, base, want, began)
		switch {
		case last == nil:
			written = want
		case errors.Is(last, errUnsure) && u.unsure <= maxUnsure:
			u.client.options.Log("%s: %s", u.name(), last)
		case !errors.Is(last, errConflict):
			return u.lost(attempt, entries, last)
		}
		spread := u.settle * time.Duration(min(attempt, 4))
		if attempt == 1 && last == nil {
			spread = u.settle / 4 // nobody has been seen who would have to be avoided
		}
		if err := u.pause(ctx, spread); err != nil {
			return u.lost(attempt, nil, err)
		}
	}
	_, entries, err := u.read(ctx)
	if err == nil {
		err = last
	}
	return u.lost(u.client.options.Attempts, entries, err)
}

// next reads the tag, and says when that began. What was read early is as good as far as it is not too old, which is for
// write to decide.
func (u *update) next(ctx context.Context) (began time.Time, base *fetched, entries []entry, err error) {
	if early := u.early; early != nil {
		u.early = nil
		if early.group.Wait(); early.err == nil || isNotFound(early.err) {
			base, entries, err = u.parse(ctx, early.m, early.err)
			return early.began, base, entries, err
		}
	}
	began = u.client.options.Now()
	base, entries, err = u.read(ctx)
	return began, base, entries, err
}

// earlyRead is a shared tag that is read while something else is asked.
type earlyRead struct {
	began  time.Time
	group  sync.WaitGroup
	cancel func()
	m      *fetched
	err    error
}

func (c *Client) readEarly(ctx context.Context, s *session, place, tag string) *earlyRead {
	ctx, cancel := context.WithCancel(ctx)
	r := &earlyRead{began: c.options.Now(), cancel: cancel}
	r.group.Go(func() { r.m, r.err = c.manifest(ctx, s, place, tag) })
	return r
}

// drop ends the reading, whether or not something has come.
func (r *earlyRead) drop() {
	r.cancel()
	r.group.Wait()
}

func (u *update) read(ctx context.Context) (*fetched, []entry, error) {
	tag := u.tag
	if u.appending {
		n, m, err := u.client.lastOf(ctx, u.session, u.place, u.tag, u.last)
		if err != nil {
			return nil, nil, err
		}
		if u.last = n; m != nil {
			return u.parse(ctx, m, nil)
		}
		if n > 0 {
			tag = continuation(u.tag, n)
		}
	}
	m, err := u.client.manifest(ctx, u.session, u.place, tag)
	return u.parse(ctx, m, err)
}

// parse takes in what came for the tag; one that is not there has no entries.
func (u *update) parse(ctx context.Context, m *fetched, err error) (*fetched, []entry, error) {
	if isNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	entries, err := u.list.read(ctx, m)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", u.name(), err)
	}
	return m, entries, nil
}

func (u *update) name() string { return u.session.repo.Name() + ":" + u.tag }

func (u *update) markReplaced(entries []entry) {
	if u.replace == nil {
		return
	}
	for _, e := range entries {
		if !u.adding(e.key) && u.replace(e) {
			u.removed[e.key] = true
		}
	}
}

// keeps says what cannot be replaced, since the registry keeps the tags that list it. Beside it the new one would be one more.
func (u *update) keeps(entries []entry) error {
	if !u.appending || u.replace == nil {
		return nil
	}
	for _, e := range entries {
		if !u.adding(e.key) && u.replace(e) {
			return fmt.Errorf("%s: the registry keeps tags as they are, so that %s cannot be replaced, and nothing was attached; "+
				"without replacing it, the new one is attached beside it", u.name(), entryDigest(e))
		}
	}
	return nil
}

// merge returns what the list should be: what it is, less what is replaced, plus what is missing. complete says that it is
// so already.
func (u *update) merge(entries []entry) (want []entry, complete bool) {
	here := map[string]bool{}
	complete = true
	for _, e := range entries {
		if u.appending && u.stuck[e.key] {
			want = append(want, e)
			continue
		}
		if u.removed[e.key] || here[e.key] {
			complete = complete && here[e.key]
			continue
		}
		here[e.key] = true
		if mended, ok := u.mend[e.key]; ok && !bytes.Equal(mended.raw, e.raw) {
			e, complete = mended, false
		}
		want = append(want, e)
		u.remember(e)
	}
	u.rememberAll()
	for _, e := range u.seen {
		if !here[e.key] && !u.removed[e.key] {
			want = append(want, e)
			complete = false
		}
	}
	return want, complete
}

func (u *update) rememberAll() {
	for _, e := range u.adds() {
		u.remember(e)
	}
}

func (u *update) remember(e entry) {
	if !u.known[e.key] {
		u.known[e.key] = true
		u.seen = append(u.seen, e)
	}
}

// write puts the list, unless it was read too long ago.
func (u *update) write(ctx context.Context, base *fetched, entries []entry, began time.Time) error {
	c := u.client
	body, mediaType, err := u.list.write(ctx, base, entries)
	if err != nil {
		return err
	}
	if took := c.options.Now().Sub(began); took > u.settle/2 {
		u.settle = max(u.settle, min(4*took, maxSettle))
		return fmt.Errorf("%w: it took %s to read it", errConflict, took.Round(time.Millisecond))
	}
	tag := u.tag
	if u.appending {
		if base == nil {
			return fmt.Errorf("%w: it cannot be written, and cannot be seen yet", errConflict)
		}
		tag = continuation(u.tag, u.last+1)
	}
	r := request{place: u.place, path: "manifests/" + tag, body: body, header: map[string]string{"Content-Type": mediaType}, once: true}
	u.condition(&r, base)
	a, err := c.putManifest(ctx, u.session, r)
	u.settle = max(u.settle, min(4*c.options.Now().Sub(began), maxSettle))
	if err == nil {
		u.unsure, u.wrote = 0, true
		return nil
	}
	return u.refused(ctx, base, a, err)
}

// condition lets the registry refuse the write when the tag has changed, where it knows how to.
func (u *update) condition(r *request, base *fetched) {
	// A weak entity tag never matches (RFC 9110, 13.1.1).
	if base != nil && !u.appending && base.etag != "" && !strings.HasPrefix(base.etag, "W/") {
		r.header["If-Match"] = base.etag
	} else if _, ok := u.client.etags.Load(u.session.repo.RegistryStr()); ok && (base == nil || u.appending) {
		r.header["If-None-Match"] = "*"
	}
}

// refused decides what an error of the write means.
func (u *update) refused(ctx context.Context, base *fetched, a *answer, err error) error {
	switch {
	case ctx.Err() != nil:
		return err
	case a == nil && isUnknown(err), a != nil && (a.busy() || a.status == http.StatusInternalServerError):
		if a != nil {
			wait, ok := askedToWait(a.header, u.client.options.Now())
			if !ok {
				return err
			}
			u.wait = wait
		}
		u.unsure++
		return fmt.Errorf("%w: %w", errUnsure, err)
	case a == nil:
		return err
	case immutable(a, err):
		if !u.appending {
			u.client.options.Log("%s: the registry keeps tags as they are; the list is continued in %s", u.name(), continuation(u.tag, 1))
		}
		u.appending, u.taken = true, true
		return fmt.Errorf("%w: %w", errConflict, err)
	case a.status == http.StatusPreconditionFailed, a.status == http.StatusConflict:
		return fmt.Errorf("%w: %w", errConflict, err)
	case a.status == http.StatusNotFound, a.status == http.StatusBadRequest:
		// A registry refuses a list of what it no longer has. What we meant to restore may have been deleted on purpose.
		if u.forgetDeleted(ctx, base) {
			return fmt.Errorf("%w: %w", errConflict, err)
		}
	}
	return err
}

// maxSettle bounds the wait for other writers; a registry that needs longer for one request is not usable at all.
const maxSettle = 15 * time.Second

// forgetDeleted drops entries that are not in the list any more and whose manifests are not in the registry either.
func (u *update) forgetDeleted(ctx context.Context, base *fetched) bool {
	here := map[string]bool{}
	for _, e := range u.adds() {
		here[e.key] = true
	}
	if base != nil {
		entries, err := u.list.read(ctx, base)
		if err != nil {
			return false
		}
		for _, e := range entries {
			here[e.key] = true
		}
	}
	forgot := false
	for _, e := range u.seen {
		if here[e.key] || u.removed[e.key] || checkDigest(e.key) != nil {
			continue
		}
		_, err := u.client.do(ctx, u.session, request{
			place: u.place, method: http.MethodHead, path: "manifests/" + e.key,
			header: map[string]string{"Accept": acceptManifests},
		})
		if isNotFound(err) {
			u.removed[e.key] = true
			forgot = true
		}
	}
	return forgot
}

// pause waits until writers that had read the list before us must have written, and for a random part of spread, so that those
// who collide do not do so again.
func (u *update) pause(ctx context.Context, spread time.Duration) error {
	wait := max(u.wait, u.settle)
	u.wait = 0
	if u.taken {
		u.taken, wait, spread = false, 0, u.settle // the registry has decided, and there is nothing to wait for
	}
	return u.client.options.Sleep(ctx, wait+u.client.options.Jitter(spread))
}

func (u *update) lost(attempts int, entries []entry, err error) error {
	here := map[string]bool{}
	for _, e := range entries {
		here[e.key] = true
	}
	u.rememberAll()
	var missing []string
	for _, e := range u.seen {
		if !here[e.key] && !u.removed[e.key] {
			missing = append(missing, entryDigest(e))
		}
	}
	if errors.Is(err, errConflict) && !u.appending {
		err = nil
	}
	digest := ""
	if adds := u.adds(); len(adds) > 0 {
		digest = entryDigest(adds[0])
	}
	return &LostError{Tag: u.name(), Digest: digest, Lost: missing, Attempts: attempts, Err: err}
}

func entryDigest(e entry) string {
	d, err := parseDescriptor(e.raw)
	if err != nil {
		return printable(e.key, 150)
	}
	return printable(d.Digest, 150)
}

func sameEntries(a, b []entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].key != b[i].key || !bytes.Equal(a[i].raw, b[i].raw) {
			return false
		}
	}
	return true
}
