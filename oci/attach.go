package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// The kinds of content that a bundle's manifest states.
const (
	ContentDSSE    = "dsse-envelope"
	ContentMessage = "message-signature"
)

// AttachOptions is a bundle to attach.
type AttachOptions struct {
	Bundle        []byte    // JSON
	MediaType     string    // empty: application/vnd.dev.sigstore.bundle.v0.3+json
	ContentKind   string    // ContentDSSE or ContentMessage
	PredicateType string    // of the statement in a DSSE bundle; empty otherwise
	Created       time.Time // for the annotation org.opencontainers.image.created
	AllowMissing  bool      // attach although the image is not in the registry; then its MediaType and Size must be known
	// Fresh says that the bundle was made just now and holds what nobody could have made before, such as a signature with
	// randomness of its own, so that it cannot be attached yet. That saves asking.
	Fresh bool
}

// emptyConfig is the config of a manifest that needs none (image-spec "guidance for an empty descriptor").
var emptyConfig = []byte("{}")

// configDescriptor has a member that the specification does not know: cosign clean finds bundles by it.
type configDescriptor struct {
	MediaType    string `json:"mediaType"`
	Size         int64  `json:"size"`
	Digest       string `json:"digest"`
	ArtifactType string `json:"artifactType"`
}

// bundleManifest is the manifest of one bundle, with cosign's members in cosign's order.
type bundleManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        configDescriptor  `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations"`
	Subject       descriptor        `json:"subject"`
	ArtifactType  string            `json:"artifactType"`
}

// AttachBundle stores a bundle as a referrer of an image and returns the digest of its manifest. It returns only when the
// registry has listed it: by the referrers API, or where there is none, in the index behind the referrers tag, into which it
// is merged. Other writers, ours or not, may do the same at the same time; the settle time of [Options] is how long another
// writer is given between reading the list and writing it. When the bundle cannot be seen at the end, or something that had
// been in the list is gone, the error is a [*LostError] that names it.
//
// Without conditional writes, that holds as long as a read lags behind a write by less than a quarter of the settle time.
// Where a tag cannot be written twice the list is continued in further tags, numbered from 1, each of which holds all of it.
//
// The same bundle is attached once: when the very bytes are attached already, the digest of that manifest is returned and
// nothing is written.
func (c *Client) AttachBundle(ctx context.Context, img *Image, o AttachOptions) (string, error) {
	if err := c.checkAttach(&o); err != nil {
		return "", err
	}
	if err := c.subject(ctx, img, o.AllowMissing); err != nil {
		return "", err
	}
	s, err := c.connect(ctx, c.evidenceRepository(img), true)
	if err != nil {
		return "", err
	}
	layer := descriptor{MediaType: o.MediaType, Size: int64(len(o.Bundle)), Digest: digestOf(o.Bundle)}
	known := Absent
	if !o.Fresh {
		if known, err = c.hasBlob(ctx, s, layer.Digest); err != nil {
			return "", err
		}
	}
	if known != Absent {
		digest, err := c.attached(ctx, s, img, layer.Digest)
		if digest != "" || err != nil {
			return digest, err
		}
	}
	if err := c.pushBoth(ctx, s, o.Bundle, known == Present); err != nil {
		return "", err
	}
	return c.putBundle(ctx, s, img, layer, o)
}

// pushBoth stores a bundle, unless it is there, and the config that all of them share. Neither waits for the other.
func (c *Client) pushBoth(ctx context.Context, s *session, bundle []byte, there bool) error {
	var group sync.WaitGroup
	var failed error
	if !there {
		group.Go(func() { failed = c.pushBlob(ctx, s, bundle) })
	}
	err := c.pushBlob(ctx, s, emptyConfig)
	group.Wait()
	return cmp.Or(failed, err)
}

func (c *Client) checkAttach(o *AttachOptions) error {
	if o.MediaType == "" {
		o.MediaType = typeBundle
	}
	switch {
	case len(o.Bundle) == 0:
		return errors.New("attach: the bundle is empty")
	case int64(len(o.Bundle)) > c.limits.Bundle:
		return fmt.Errorf("attach: the bundle has %d bytes, the limit is %d", len(o.Bundle), c.limits.Bundle)
	case o.ContentKind != ContentDSSE && o.ContentKind != ContentMessage:
		return fmt.Errorf("attach: unknown kind of content %q", o.ContentKind)
	case o.Created.IsZero():
		return errors.New("attach: no time of creation")
	}
	return nil
}

// subject makes sure that the image exists, and that its media type and size are known.
func (c *Client) subject(ctx context.Context, img *Image, allowMissing bool) error {
	err := c.resolve(ctx, img)
	if err == nil || !allowMissing || !errors.Is(err, ErrImageNotFound) {
		return err
	}
	if img.Digest == "" || img.MediaType == "" || img.Size == 0 {
		return fmt.Errorf("%w: to attach to it nevertheless, its digest, media type and size must be known", err)
	}
	return nil
}

// attached looks for a referrer that holds exactly this bundle.
func (c *Client) attached(ctx context.Context, s *session, img *Image, bundle string) (string, error) {
	l, err := c.referrers(ctx, s, img)
	if err != nil {
		return "", err
	}
	if l.tag != nil {
		_, m, err := c.lastOf(ctx, s, placeContinued, referrersTag(img.Digest), 0)
		if err == nil && m != nil {
			err = c.addIndex(l, m)
		}
		if err != nil {
			return "", err
		}
	}
	f := &finder{client: c}
	candidates, _ := f.candidates(l, &Place{})
	for i, cand := range candidates {
		if cand.err != nil || i >= c.limits.Candidates {
			continue
		}
		m, err := c.referrer(ctx, s, img, l.place, cand.descriptor)
		if err != nil {
			continue // whatever it is, it is not known to hold our bundle
		}
		if layer, err := bundleLayer(m); err == nil && layer.Digest == bundle {
			return cand.Digest, nil
		}
	}
	return "", nil
}

func (c *Client) putBundle(ctx context.Context, s *session, img *Image, layer descriptor, o AttachOptions) (string, error) {
	annotations := map[string]string{annotationContent: o.ContentKind, annotationCreated: o.Created.UTC().Format(time.RFC3339)}
	if o.PredicateType != "" {
		annotations[annotationPredicate] = o.PredicateType
	}
	body, err := json.Marshal(bundleManifest{
		SchemaVersion: 2, MediaType: typeOCIManifest,
		Config:       configDescriptor{typeEmpty, int64(len(emptyConfig)), digestOf(emptyConfig), o.MediaType},
		Layers:       []descriptor{layer},
		Annotations:  annotations,
		Subject:      descriptor{MediaType: img.MediaType, Size: img.Size, Digest: img.Digest},
		ArtifactType: o.MediaType,
	}, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("attach: %w", err)
	}
	digest := digestOf(body)
	a, err := c.putManifest(ctx, s, request{
		place: placeUpload, path: "manifests/" + digest, body: body,
		header: map[string]string{"Content-Type": typeOCIManifest},
	})
	if err != nil {
		return "", err
	}
	entry := descriptor{MediaType: typeOCIManifest, Size: int64(len(body)), Digest: digest, Annotations: annotations, ArtifactType: o.MediaType}
	return digest, c.list(ctx, s, img, storedReferrer{entry, a.header.Get("OCI-Subject") == img.Digest, o.Fresh})
}

// storedReferrer is a referrer that is stored.
type storedReferrer struct {
	descriptor
	subject bool // the registry said so, with the header OCI-Subject
	spare   bool // a request was saved before, so that there may be one more
}

// list makes sure that the registry lists a referrer. A registry that has the API lists it by itself, and says so with the
// header OCI-Subject ("Pushing Manifests with Subject"); some say nothing and do it, so that the list decides.
func (c *Client) list(ctx context.Context, s *session, img *Image, d storedReferrer) error {
	if !d.subject && c.lacksAPI(s, img.Digest) {
		return c.listInTag(ctx, s, img, d.descriptor, nil)
	}
	var tag *earlyRead
	if _, has := c.withAPI.Load(s.repo.Name()); d.spare && !d.subject && !has {
		tag = c.readEarly(ctx, s, PlaceFallback, referrersTag(img.Digest)) // which is what counts when there is no API
		defer tag.drop()
	}
	wait := c.options.Settle / 4
	for attempt := 1; ; attempt++ {
		l := &listing{}
		err := c.referrersAPI(ctx, s, img.Digest, l)
		if err == errNoAPI {
			return c.listInTag(ctx, s, img, d.descriptor, tag)
		}
		if err != nil {
			return fmt.Errorf("%s@%s is stored, and cannot be seen in the list of referrers: %w", s.repo.Name(), d.Digest, err)
		}
		if l.has(d.Digest) {
			return nil
		}
		if attempt == maxListReads {
			said := "said that it would list it"
			if !d.subject {
				said = "has a referrers API"
			}
			return &LostError{
				Tag: "the referrers list of " + s.repo.Name() + "@" + img.Digest, Digest: d.Digest, Lost: []string{d.Digest},
				Attempts: attempt, Err: fmt.Errorf("the registry %s, and does not", said),
			}
		}
		if err := c.options.Sleep(ctx, wait+c.options.Jitter(wait)); err != nil {
			return err
		}
		wait *= 2
	}
}

// maxListReads is how often the API is asked for what it should list; with doubling waits that is about a quarter of a minute.
const maxListReads = 8

func (l *listing) has(digest string) bool {
	for _, raw := range l.entries {
		if d, err := parseDescriptor(raw); err == nil && d.Digest == digest {
			return true
		}
	}
	return false
}

// listInTag adds a referrer to the index behind the referrers tag, which may have been read already.
func (c *Client) listInTag(ctx context.Context, s *session, img *Image, d descriptor, early *earlyRead) error {
	raw, err := json.Marshal(d, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	u := c.updateTag(s, img)
	u.add, u.early = entry{key: d.Digest, raw: raw}, early
	return u.run(ctx)
}

// updateTag is a change, still empty, of the index behind the referrers tag.
func (c *Client) updateTag(s *session, img *Image) *update {
	tag := referrersTag(img.Digest)
	isTag := func(ctx context.Context) (bool, error) { return c.isTag(ctx, s, tag) }
	return &update{
		client: c, session: s, place: PlaceFallback, tag: tag,
		list: &indexList{img: img, limit: c.limits.Referrers, isTag: isTag},
	}
}

// indexList is the index behind a referrers tag.
type indexList struct {
	img   *Image
	limit int
	isTag func(context.Context) (bool, error) // asks whether the tag exists; used when it leads to the image

	known bool // it does not, or did not when we asked
}

func (l *indexList) read(ctx context.Context, m *fetched) ([]entry, error) {
	if l.isImage(m) {
		if l.known || l.img.Tag != "" && l.img.Tag != referrersTag(l.img.Digest) {
			return nil, nil
		}
		exists, err := l.isTag(ctx)
		if err != nil {
			return nil, fmt.Errorf("the tag leads to the image itself, and whether it exists is not known: %w", err)
		}
		if exists {
			return nil, errors.New("the tag leads to the image itself, and replacing it might leave the image without a tag; give the image another tag and name it by that")
		}
		l.known = true
		return nil, nil
	}
	if m.mediaType != typeOCIIndex {
		return nil, fmt.Errorf("the tag holds %s, which is not a list of referrers; it is left as it is", m.mediaType)
	}
	index, err := parseManifest(m.body, m.mediaType)
	if err != nil {
		return nil, err
	}
	if len(index.Manifests) >= l.limit {
		return nil, fmt.Errorf("the list has %d entries already", len(index.Manifests))
	}
	entries := make([]entry, 0, len(index.Manifests))
	for i, raw := range index.Manifests {
		d, err := parseDescriptor(raw)
		if err != nil {
			return nil, fmt.Errorf("manifests[%d]: %w", i, err)
		}
		entries = append(entries, entry{key: d.Digest, raw: raw})
	}
	return entries, nil
}

func (l *indexList) isImage(m *fetched) bool { return digestLike(l.img.Digest, m.body) == l.img.Digest }

func (l *indexList) write(_ context.Context, base *fetched, entries []entry) ([]byte, string, error) {
	body := []byte(`{"schemaVersion":2,"mediaType":"` + typeOCIIndex + `","manifests":[]}`)
	if base != nil && !l.isImage(base) {
		body = base.body
	}
	body, err := rewrite(body, member{"manifests", joinEntries(entries)})
	return body, typeOCIIndex, err
}
