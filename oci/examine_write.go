package oci

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/oci/doctor"
)

// cleanTime is how long removing may take, also when the rest was interrupted.
const cleanTime = time.Minute

// typeTrial is the artifact type of what is written.
const typeTrial = "application/vnd.bulla.doctor"

// trial is one image that was written to see what happens.
type trial struct {
	body   []byte
	digest string
}

// newTrial makes an image without content. Each has a digest of its own.
func newTrial(id string, n int, subject *trial) *trial {
	more := ""
	if subject != nil {
		more = fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":%d}`, typeOCIManifest, subject.digest, len(subject.body))
	}
	empty := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":2}`, typeEmpty, digestOf([]byte("{}")))
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":%s,"layers":[%s]%s,"annotations":{"org.opencontainers.image.title":"bulla doctor %s-%d"}}`,
		typeOCIManifest, typeTrial, empty, empty, more, id, n)
	return &trial{body, digestOf(body)}
}

// write tries what only a write shows, and removes what it wrote.
func (e *examiner) write(ctx context.Context) {
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		e.unanswered(doctor.RewritableTags, err)
		return
	}
	id := hex.EncodeToString(random)
	tag := "bulla-doctor-" + id
	began := e.client.options.Now()
	err := e.client.pushBlob(ctx, e.session, []byte("{}"))
	e.note(request{place: "upload of a blob", method: http.MethodPost, path: "blobs/uploads/"}, nil, err, began)
	if err != nil {
		e.unanswered(doctor.RewritableTags, err)
		return
	}
	first, second, third := newTrial(id, 1, nil), newTrial(id, 2, nil), newTrial(id, 3, nil)
	about := newTrial(id, 4, first)
	defer e.remove(ctx, tag, []*trial{about, third, second, first})
	a, err := e.put(ctx, "first write of a tag", tag, first, nil)
	if err != nil {
		e.unanswered(doctor.RewritableTags, asUnknown(a, request{place: "first write of a tag"}, err))
		return
	}
	e.readBack(ctx, tag, first)
	if e.rewrite(ctx, tag, second) {
		e.conditions(ctx, tag, third)
	}
	e.subject(ctx, first, about)
}

func (e *examiner) put(ctx context.Context, what, reference string, t *trial, header map[string]string) (*answer, error) {
	r := request{
		place: what, method: http.MethodPut, path: "manifests/" + reference, body: t.body,
		header: map[string]string{"Content-Type": typeOCIManifest}, // a condition that does not hold may be sent again
	}
	for name, value := range header {
		r.header[name] = value
	}
	if err := ctx.Err(); err != nil {
		return nil, err // nothing more is begun
	}
	a, err := e.ask(ctx, r)
	if err == nil && a.status != http.StatusCreated {
		err = a.unknown(r, "want status 201")
	}
	if err != nil && (a == nil || a.status >= 500) {
		e.pending = append(e.pending, t.digest) // it may have been taken, or be taken yet
	}
	return a, err
}

// readBack looks at once whether a write shows.
func (e *examiner) readBack(ctx context.Context, tag string, t *trial) {
	r := request{place: "read of the tag", method: http.MethodGet, path: "manifests/" + tag, header: map[string]string{"Accept": acceptManifests}}
	a, err := e.ask(ctx, r)
	switch {
	case err == nil && bytes.Equal(a.body, t.body):
		e.able(doctor.ReadsOwnWrites, doctor.Yes, "")
		if e.report.State(doctor.EntityTags) == doctor.NotTried {
			e.entityTag(a.header.Get("ETag"))
		}
	case err == nil || isNotFound(err):
		e.able(doctor.ReadsOwnWrites, doctor.No, "reads lag behind writes")
	default:
		e.unanswered(doctor.ReadsOwnWrites, err)
	}
}

// rewrite says whether a tag can be written again.
func (e *examiner) rewrite(ctx context.Context, tag string, t *trial) bool {
	a, err := e.put(ctx, "second write of the tag", tag, t, nil)
	switch {
	case err == nil:
		e.able(doctor.RewritableTags, doctor.Yes, "")
		return true
	case a != nil && !a.busy() && a.status >= 400 && a.status < 500 && a.status != http.StatusUnauthorized:
		e.able(doctor.RewritableTags, doctor.No, fmt.Sprintf("the registry answers with status %d: lists go on in further tags", a.status))
		e.able(doctor.ConditionalWrites, doctor.NotTried, "tags cannot be rewritten")
	default:
		e.unanswered(doctor.RewritableTags, err)
		e.able(doctor.ConditionalWrites, doctor.NotTried, "")
	}
	return false
}

// conditions writes on a condition that does not hold. Where the write is taken nonetheless, conditions are ignored.
func (e *examiner) conditions(ctx context.Context, tag string, t *trial) {
	var honoured []string
	for _, condition := range [][2]string{{"If-None-Match", "*"}, {"If-Match", strconv.Quote(noDigest)}} {
		a, err := e.put(ctx, "write with "+condition[0], tag, t, map[string]string{condition[0]: condition[1]})
		switch {
		case a != nil && a.status == http.StatusPreconditionFailed:
			honoured = append(honoured, condition[0])
		case err != nil:
			e.unanswered(doctor.ConditionalWrites, asUnknown(a, request{place: "write with " + condition[0]}, err))
			return
		}
	}
	switch len(honoured) {
	case 0:
		e.able(doctor.ConditionalWrites, doctor.No, "conditions are ignored: of two writers at once one may undo the other, and each looks afterwards")
	case 1:
		e.able(doctor.ConditionalWrites, doctor.No, "only "+honoured[0]+" is honoured")
	default:
		e.able(doctor.ConditionalWrites, doctor.Yes, "")
	}
}

// subject writes an image about another one.
func (e *examiner) subject(ctx context.Context, image, about *trial) {
	a, err := e.put(ctx, "write of a referrer", about.digest, about, nil)
	if err != nil {
		e.unanswered(doctor.NamesSubject, asUnknown(a, request{place: "write of a referrer"}, err))
		return
	}
	if a.header.Get("OCI-Subject") == image.digest {
		e.able(doctor.NamesSubject, doctor.Yes, "")
	} else {
		e.able(doctor.NamesSubject, doctor.No, "the answer to a referrer has no OCI-Subject")
	}
	if e.report.State(doctor.ReferrersAPI) != doctor.Yes {
		e.able(doctor.ListsReferrers, doctor.No, "")
		return
	}
	e.listsReferrers(ctx, image, about)
}

// listsReferrers looks whether what was written about an image is listed at once, and whether the list can be had filtered.
func (e *examiner) listsReferrers(ctx context.Context, image, about *trial) {
	r := request{place: "list of its referrers", method: http.MethodGet, path: "referrers/" + image.digest, header: map[string]string{"Accept": typeOCIIndex}}
	a, err := e.ask(ctx, r)
	switch {
	case err != nil:
		e.unanswered(doctor.ListsReferrers, asUnknown(a, r, err))
		return
	case !strings.Contains(string(a.body), about.digest):
		e.able(doctor.ListsReferrers, doctor.No, "not at once")
		return
	}
	e.able(doctor.ListsReferrers, doctor.Yes, "at once")
	if e.report.State(doctor.ReferrersFilter) != doctor.NotTried {
		return
	}
	r.place, r.query = "filtered list of its referrers", url.Values{"artifactType": {typeTrial}}.Encode()
	if a, err = e.ask(ctx, r); err != nil {
		e.unanswered(doctor.ReferrersFilter, asUnknown(a, r, err))
		return
	}
	e.filtered(a, 1)
}

// remove takes away what was written: the tag, then every manifest by its digest. What stays is in the report.
func (e *examiner) remove(ctx context.Context, tag string, all []*trial) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	late := e.late(ctx)
	erased, unnamed := e.erase(ctx, "deletion of the tag", tag)
	e.deletion(doctor.DeletesTags, erased, unnamed)
	name := e.session.repo.Name()
	some, refused := false, error(nil)
	for _, t := range all {
		erased, err := e.erase(ctx, "deletion of a manifest", t.digest)
		if some = some || erased; err != nil {
			refused = err
			e.report.Left = append(e.report.Left, name+"@"+t.digest)
		}
	}
	e.deletion(doctor.DeletesManifests, some, refused)
	detail := "what was written to try the registry could not be removed: "
	switch {
	case refused != nil:
	case late:
		detail = "a write was not answered, and what it writes may appear later: "
	default:
		return
	}
	e.report.Left = append([]string{name + ":" + tag}, e.report.Left...)
	e.removal = &UnknownError{
		Place: "removal", URL: name + ":" + tag, Detail: detail + name + ":" + tag, Err: refused,
		Hint: "remove the tag by the registry's own means",
	}
}

// How often, and after which pause, it is looked for what was written by a request that was not answered: a registry that
// was interrupted in the middle of a write often finishes it.
const (
	looks     = 5
	lookPause = time.Second
)

// late waits for writes that were not answered, since what is removed before they take effect comes back. It says whether
// some did not show up.
func (e *examiner) late(ctx context.Context) bool {
	for look := 0; len(e.pending) > 0 && look < looks; look++ {
		if e.client.options.Sleep(ctx, lookPause) != nil {
			break
		}
		e.pending = slices.DeleteFunc(e.pending, func(digest string) bool { return e.there(ctx, digest) == nil })
	}
	return len(e.pending) > 0
}

// there returns nil when a manifest is there.
func (e *examiner) there(ctx context.Context, reference string) error {
	_, err := e.ask(ctx, request{place: "look at what was written", method: http.MethodGet, path: "manifests/" + reference, header: map[string]string{"Accept": acceptManifests}})
	return err
}

// erase deletes a tag or a manifest. False without an error says that there was nothing to delete.
func (e *examiner) erase(ctx context.Context, what, reference string) (bool, error) {
	_, err := e.ask(ctx, request{place: what, method: http.MethodDelete, path: "manifests/" + reference})
	if !isNotFound(err) {
		return err == nil, err
	}
	if err = e.there(ctx, reference); err == nil {
		return false, &UnknownError{
			Place: what, URL: e.session.repo.Name(), Status: http.StatusNotFound,
			Detail: "the registry answers that there is nothing of that name, and it is there",
		}
	}
	if isNotFound(err) {
		return false, nil
	}
	return false, err
}

// deletion enters whether something can be deleted. What was not there says nothing.
func (e *examiner) deletion(name string, erased bool, err error) {
	var unknown *UnknownError
	switch {
	case err == nil && erased:
		e.able(name, doctor.Yes, "")
	case err == nil:
		e.able(name, doctor.NotTried, "there was nothing to delete")
	case errors.As(err, &unknown) && unknown.Status >= 400 && unknown.Status < 500 && unknown.Status != http.StatusTooManyRequests:
		e.able(name, doctor.No, printable(err.Error(), maxDetail))
	default:
		e.unanswered(name, err)
	}
}
