package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/oci/doctor"
	"github.com/go-json-experiment/json"
)

// Doctor finds out what the registry can do where the evidence of an image is kept. It reads, and with Options.Write writes
// images under tags of their own, which it removes. The image comes from [Client.Parse]; whether it is there does not matter.
//
// The report is never nil. The error is that of the first question whose answer could not be used, and of anything that
// could not be removed; what was found is in the report all the same.
func (c *Client) Doctor(ctx context.Context, img *Image, o doctor.Options) (*doctor.Report, error) {
	repo := c.evidenceRepository(img)
	e := &examiner{client: c, report: &doctor.Report{Repository: repo.Name(), Abilities: []doctor.Ability{}, Readers: []doctor.Reader{}}}
	began := c.options.Now()
	s, err := c.connect(ctx, repo, o.Write)
	e.session, e.failure = s, err
	e.report.Scheme, e.report.Credential, e.report.Challenge, e.report.Realm = s.scheme, s.from, s.asked.scheme, s.asked.realm
	e.report.Settings = c.settings(repo)
	hello := request{place: "first contact", method: http.MethodGet, url: &url.URL{Scheme: cmp.Or(s.scheme, "https"), Host: repo.RegistryStr(), Path: "/v2/"}}
	e.note(hello, nil, err, began)
	if err == nil {
		e.list(ctx, e.tag(ctx, e.choose(ctx, img)))
		if o.Write {
			e.write(ctx)
		} else {
			e.notTried()
		}
		e.limits()
		e.report.Readers = e.report.ReadersOf()
	}
	return e.report, errors.Join(e.failure, e.removal)
}

// examiner is the state of one Doctor.
type examiner struct {
	client  *Client
	session *session
	report  *doctor.Report
	stated  map[string]string // header -> value, of what registries say about limits
	failure error             // of the first question that was not answered
	removal error             // what could not be removed
	pending []string          // digests of what was written by requests that were not answered
}

// ask sends a request and enters the answer.
func (e *examiner) ask(ctx context.Context, r request) (*answer, error) {
	if r.limit == 0 {
		r.limit = e.client.limits.Manifest
	}
	began := e.client.options.Now()
	a, err := e.client.do(ctx, e.session, r)
	e.note(r, a, err, began)
	return a, err
}

func (e *examiner) note(r request, a *answer, err error, began time.Time) {
	n := doctor.Request{What: r.place, Method: r.method, Milliseconds: e.client.options.Now().Sub(began).Milliseconds()}
	at := r.url
	if at == nil {
		at = &url.URL{Scheme: e.session.scheme, Host: e.session.repo.RegistryStr(), Path: "/v2/" + e.session.repo.RepositoryStr() + "/" + r.path}
	}
	n.URL = safeURL(at)
	if a != nil {
		n.Status = a.status
		e.state(a.header)
	} else if n.Status = http.StatusOK; r.method == http.MethodPost {
		n.Status = http.StatusCreated
	}
	var unknown *UnknownError
	var missing *notFound
	switch {
	case errors.As(err, &unknown):
		n.Status, n.Code, n.Error = unknown.Status, unknown.Code, unknown.Detail
	case errors.As(err, &missing):
		n.Code = missing.code
	case err != nil:
		n.Status, n.Error = 0, printable(err.Error(), maxDetail)
	}
	e.report.Requests = append(e.report.Requests, n)
}

// state remembers what the registry says about limits.
func (e *examiner) state(header http.Header) {
	for name, values := range header {
		if lower := strings.ToLower(name); strings.Contains(lower, "ratelimit") && len(values) > 0 && len(e.stated) < 20 {
			if e.stated == nil {
				e.stated = map[string]string{}
			}
			e.stated[lower] = printable(values[0], 80)
		}
	}
}

// able enters an ability; what was entered before is replaced.
func (e *examiner) able(name, state, detail string) {
	e.report.Abilities = slices.DeleteFunc(e.report.Abilities, func(a doctor.Ability) bool { return a.Name == name })
	e.report.Abilities = append(e.report.Abilities, doctor.Ability{Name: name, State: state, Detail: detail})
}

// unanswered enters that an ability is not known, since a question was not answered.
func (e *examiner) unanswered(name string, err error) {
	e.able(name, doctor.Unknown, printable(err.Error(), maxDetail))
	if e.failure == nil {
		e.failure = err
	}
}

// noDigest has no content: the referrers of what is not there are an empty list ("Listing Referrers").
var noDigest = "sha256:" + strings.Repeat("0", 64)

// list asks for the referrers of an image, or of nothing.
func (e *examiner) list(ctx context.Context, digest string) {
	r := request{
		place: PlaceReferrers, method: http.MethodGet, path: "referrers/" + digest, header: map[string]string{"Accept": typeOCIIndex},
		query: url.Values{"artifactType": {typeBundle}}.Encode(),
	}
	a, err := e.ask(ctx, r)
	listed := 0
	switch {
	case err != nil && noAPI(a, err):
		e.able(doctor.ReferrersAPI, doctor.No, "what is attached is listed under a tag that every writer replaces as a whole")
		e.able(doctor.ReferrersFilter, doctor.No, "")
		return
	case err == nil:
		entries, wrong := readPage(a)
		if listed = len(entries); wrong != nil {
			err = a.unknown(r, wrong.Error())
		}
	}
	if err != nil {
		e.unanswered(doctor.ReferrersAPI, err)
		return
	}
	e.able(doctor.ReferrersAPI, doctor.Yes, "the registry keeps the list of what is attached")
	e.filtered(a, listed)
}

// filtered enters whether a list was filtered. Some registries say so only of a list that has something.
func (e *examiner) filtered(a *answer, listed int) {
	switch {
	case a.header.Get("OCI-Filters-Applied") != "":
		e.able(doctor.ReferrersFilter, doctor.Yes, "")
	case listed == 0:
		e.able(doctor.ReferrersFilter, doctor.NotTried, "the list is empty: whether it would be filtered shows in a write only")
	default:
		e.able(doctor.ReferrersFilter, doctor.No, "the whole list is read, and filtered here")
	}
}

// choose returns a manifest to look at: the one that was named, or the first tag; empty when there is none.
func (e *examiner) choose(ctx context.Context, img *Image) string {
	own := e.session.repo == img.Repository
	switch {
	case own && img.Digest != "":
		return img.Digest
	case own && strings.HasSuffix(img.Ref, ":"+img.Tag):
		return img.Tag
	}
	a, err := e.ask(ctx, request{place: "list of tags", method: http.MethodGet, path: "tags/list", query: "n=1"})
	if err != nil {
		if !isNotFound(err) && e.failure == nil {
			e.failure = err
		}
		return ""
	}
	var page struct {
		Tags []string `json:"tags"`
	}
	if json.Unmarshal(a.body, &page) != nil || len(page.Tags) == 0 || len(page.Tags[0]) > maxTag || strings.ContainsAny(page.Tags[0], "/?#%\\") {
		return ""
	}
	return page.Tags[0]
}

// tag looks at what comes with a manifest, and returns its digest; noDigest when there is none.
func (e *examiner) tag(ctx context.Context, reference string) string {
	if reference == "" {
		e.able(doctor.EntityTags, doctor.NotTried, "there is no image to look at")
		return noDigest
	}
	a, err := e.ask(ctx, request{
		place: "manifest", method: http.MethodGet, path: "manifests/" + reference, header: map[string]string{"Accept": acceptManifests},
	})
	switch {
	case isNotFound(err):
		e.able(doctor.EntityTags, doctor.NotTried, "the image is not there")
	case err != nil:
		e.unanswered(doctor.EntityTags, err)
	default:
		e.entityTag(a.header.Get("ETag"))
		if checkDigest(reference) == nil {
			return reference
		}
		return digestOf(a.body)
	}
	return noDigest
}

func (e *examiner) entityTag(tag string) {
	switch {
	case tag == "":
		e.able(doctor.EntityTags, doctor.No, "writers cannot say which list they change")
	case strings.HasPrefix(tag, "W/"):
		e.able(doctor.EntityTags, doctor.No, "it sends weak ones, which never match")
	default:
		e.able(doctor.EntityTags, doctor.Yes, "whether they are honoured shows in a write only")
	}
}

func (e *examiner) notTried() {
	for _, name := range []string{
		doctor.RewritableTags, doctor.ConditionalWrites, doctor.NamesSubject, doctor.ListsReferrers, doctor.ReadsOwnWrites, doctor.DeletesManifests, doctor.DeletesTags,
	} {
		e.able(name, doctor.NotTried, "takes writing")
	}
}

func (e *examiner) limits() {
	if len(e.stated) == 0 {
		e.able(doctor.StatesLimits, doctor.No, "")
		return
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e.stated)) {
		parts = append(parts, fmt.Sprintf("%s: %s", name, e.stated[name]))
	}
	e.able(doctor.StatesLimits, doctor.Yes, strings.Join(parts, ", "))
}
