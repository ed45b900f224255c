package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/bulla-sign/bulla/oci/carry"
)

// Store makes a repository something that images are carried from and to. What is attached to an image is read where the
// client's options say that evidence is kept; the image itself in the repository.
func (c *Client) Store(repo name.Repository) carry.Store { return &store{client: c, repo: repo} }

// store is one repository.
type store struct {
	client *Client
	repo   name.Repository
}

func (t *store) image(m *carry.Manifest) *Image {
	return &Image{
		Ref: t.repo.Name() + "@" + m.Digest, Repository: t.repo, Digest: m.Digest, MediaType: m.MediaType, Size: m.Size, body: m.Body,
	}
}

func carried(repo name.Repository, m *fetched) *carry.Manifest {
	return &carry.Manifest{
		Descriptor: carry.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: int64(len(m.body))},
		Body:       m.body, Repository: repo.Name(),
	}
}

// notThere is [ErrImageNotFound] and [carry.ErrNotFound] in one line.
type notThere struct{}

func (notThere) Error() string { return ErrImageNotFound.Error() }

func (notThere) Is(target error) bool {
	return target == ErrImageNotFound || target == carry.ErrNotFound
}

// Manifest reads a manifest by tag or digest.
func (t *store) Manifest(ctx context.Context, reference string) (*carry.Manifest, error) {
	s, err := t.client.connect(ctx, t.repo, false)
	if err != nil {
		return nil, err
	}
	m, err := t.client.manifest(ctx, s, "image", reference)
	if isNotFound(err) {
		return nil, fmt.Errorf("%s %s: %w: %w", t.repo.Name(), reference, notThere{}, err)
	}
	if err != nil {
		return nil, err
	}
	return carried(t.repo, m), nil
}

// Attached lists the referrers of a manifest, by the API and by the fallback tag, and the older tags.
func (t *store) Attached(ctx context.Context, m *carry.Manifest) ([]carry.Piece, error) {
	img := t.image(m)
	s, err := t.client.connect(ctx, t.client.evidenceRepository(img), false)
	if err != nil {
		return nil, err
	}
	l, err := t.client.referrers(ctx, s, img)
	if err != nil {
		return nil, err
	}
	if err := t.client.continueIn(ctx, s, img, l); err != nil {
		return nil, err
	}
	pieces, err := t.listed(ctx, s, img, l)
	if err != nil {
		return nil, err
	}
	// What was attached before the registry got the API may be listed by the tag only, see [finder.referrers].
	if l.api {
		old, err := t.client.fallback(ctx, s, img)
		if err == nil {
			err = t.client.continueIn(ctx, s, img, old)
		}
		if err != nil {
			return nil, err
		}
		more, err := t.listed(ctx, s, img, old)
		if err != nil {
			return nil, err
		}
		for _, p := range more {
			if !slices.ContainsFunc(pieces, func(q carry.Piece) bool { return q.Digest == p.Digest }) {
				pieces = append(pieces, p)
			}
		}
	}
	for _, suffix := range []string{"sig", "att", "sbom"} {
		older, err := t.older(ctx, s, img, suffix)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, older...)
	}
	return pieces, nil
}

// older is what lies under one of the older tags.
func (t *store) older(ctx context.Context, s *session, img *Image, suffix string) ([]carry.Piece, error) {
	tag, place := t.client.legacyTag(img, suffix), legacyPlace(suffix)
	if len(tag) > maxTag {
		return nil, nil
	}
	m, err := t.client.manifest(ctx, s, place, tag)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := []*fetched{m}
	if suffix != "sbom" {
		if found, err = t.client.continuedLayers(ctx, s, chain{base: tag, place: place}, m); err != nil {
			return nil, err
		}
	}
	var pieces []carry.Piece
	for _, m := range found {
		pieces = append(pieces, carry.Piece{Manifest: carried(s.repo, m), Suffix: suffix, Place: place})
	}
	return pieces, nil
}

// listed fetches what a list names. An entry whose manifest is about another image is none of this one's, and is left out.
func (t *store) listed(ctx context.Context, s *session, img *Image, l *listing) ([]carry.Piece, error) {
	if l.cut != nil || len(l.entries) > t.client.limits.Candidates {
		return nil, tooMuch(l.place, fmt.Sprintf("%s: more is attached than the limit of %d", l.ref, t.client.limits.Candidates))
	}
	pieces := make([]carry.Piece, len(l.entries))
	each(t.client.options.Workers, len(l.entries), func(i int) {
		d, err := parseDescriptor(l.entries[i])
		if err == nil {
			err = d.check(t.client.limits.Manifest)
		}
		pieces[i] = carry.Piece{
			Manifest: &carry.Manifest{Descriptor: carry.Descriptor{MediaType: d.MediaType, Digest: printable(d.Digest, 150), Size: d.Size}},
			Place:    l.place, Err: err,
		}
		if err != nil {
			return
		}
		m, err := t.client.manifest(ctx, s, l.place, d.Digest)
		if isNotFound(err) && l.past[d.Digest] {
			pieces[i].Manifest = nil
			return
		}
		if err != nil {
			pieces[i].Err = err
			return
		}
		pieces[i].Manifest = carried(s.repo, m)
		parsed, err := parseManifest(m.body, m.mediaType)
		switch {
		case err != nil:
			pieces[i].Err = err
		case parsed.Subject == nil || parsed.Subject.Digest != img.Digest:
			t.client.options.Log("%s: %s is about another image", l.ref, d.Digest)
			pieces[i].Manifest = nil
		}
	})
	pieces = slices.DeleteFunc(pieces, func(p carry.Piece) bool { return p.Manifest == nil })
	for i := range pieces {
		if isUnknown(pieces[i].Err) {
			return nil, pieces[i].Err
		}
	}
	return pieces, nil
}

// Has asks for a blob and its size.
func (t *store) Has(ctx context.Context, d carry.Descriptor) (bool, error) {
	s, err := t.client.connect(ctx, t.repo, true)
	if err != nil {
		return false, err
	}
	outcome, err := t.client.hasBlob(ctx, s, d.Digest)
	return outcome == Present, err
}

// Blob opens a blob.
func (t *store) Blob(ctx context.Context, in *carry.Manifest, d carry.Descriptor) (io.ReadCloser, error) {
	repo, err := name.NewRepository(in.Repository, t.client.nameOpts...)
	if err != nil {
		return nil, err
	}
	s, err := t.client.connect(ctx, repo, false)
	if err != nil {
		return nil, err
	}
	return t.client.openBlob(ctx, s, d)
}

// maxSmall is up to which size a blob is carried in memory and sent in one request where the registry takes that.
const maxSmall = 1 << 20

// PutBlob copies a blob. Within one registry it is mounted where the registry does that ("Mounting a blob from another
// repository"). What was sent in part is sent anew: a registry need not keep it.
func (t *store) PutBlob(ctx context.Context, from carry.Source, in *carry.Manifest, d carry.Descriptor) error {
	s, err := t.client.connect(ctx, t.repo, true)
	if err != nil {
		return err
	}
	if d.Size <= maxSmall && digestOf(nil)[:7] == d.Digest[:7] {
		r, err := from.Blob(ctx, in, d)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return t.client.pushBlob(ctx, s, data)
	}
	open := func() (io.ReadCloser, error) { return from.Blob(ctx, in, d) }
	for try := 1; ; try++ {
		a, err := t.client.sendBlob(ctx, s, upload{d: d, from: in.Repository, open: open})
		wait, again := t.client.retry(request{method: http.MethodGet}, a, err, try) // sending a blob again changes nothing
		if !again {
			return err
		}
		t.client.options.Log("blob %s: %s; trying again in %s", d.Digest, err, wait)
		if err := t.client.options.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Put stores a manifest.
func (t *store) Put(ctx context.Context, m *carry.Manifest, w carry.Where) error {
	s, err := t.client.connect(ctx, t.repo, true)
	if err != nil {
		return err
	}
	if w.Subject != nil && w.Suffix != "" {
		return t.putTag(ctx, s, m, w)
	}
	reference := m.Digest
	if w.Tag != "" {
		reference = w.Tag
	}
	a, err := t.client.putManifest(ctx, s, manifestRequest(m, reference))
	if err != nil || w.Subject == nil {
		return err
	}
	parsed, err := parseManifest(m.Body, m.MediaType)
	if err != nil {
		return err
	}
	entry := descriptor{MediaType: m.MediaType, Size: m.Size, Digest: m.Digest, Annotations: parsed.Annotations, ArtifactType: artifactType(parsed)}
	return t.client.list(ctx, s, t.image(w.Subject), storedReferrer{descriptor: entry, subject: a.header.Get("OCI-Subject") == w.Subject.Digest})
}

func manifestRequest(m *carry.Manifest, reference string) request {
	return request{
		place: placeUpload, path: "manifests/" + reference, body: m.Body, header: map[string]string{"Content-Type": m.MediaType},
	}
}

// putTag stores the manifest of one of cosign's older tags. Where the target has none, it is stored as it is; otherwise its
// layers are added to the list that is there, as [Client.AttachLayer] does.
func (t *store) putTag(ctx context.Context, s *session, m *carry.Manifest, w carry.Where) error {
	c := t.client
	tag := c.legacyTag(t.image(w.Subject), w.Suffix)
	there, err := c.manifest(ctx, s, legacyPlace(w.Suffix), tag)
	absent := isNotFound(err)
	if err != nil && !absent {
		return err
	}
	if !absent && there.digest == m.Digest {
		return nil
	}
	if absent || w.Force && w.Suffix == "sbom" {
		r := manifestRequest(m, tag)
		if _, ok := c.etags.Load(s.repo.RegistryStr()); ok && absent {
			r.header["If-None-Match"] = "*"
		}
		if a, err := c.putManifest(ctx, s, r); err != nil && (a == nil || a.status != http.StatusPreconditionFailed) {
			return err
		}
		err := t.readBack(ctx, s, m, w, tag)
		if err == nil || !errors.Is(err, carry.ErrTaken) && !isNotFound(err) || w.Suffix == "sbom" {
			return err
		}
	}
	if w.Suffix == "sbom" {
		return fmt.Errorf("%s:%s: %w", s.repo.Name(), tag, carry.ErrTaken)
	}
	return t.merge(ctx, s, m, w.Suffix, tag)
}

// readBack reads a tag that was just written until it shows that, since reads may lag behind. A list that can be merged is
// read once: merging reads it as often as it takes.
func (t *store) readBack(ctx context.Context, s *session, m *carry.Manifest, w carry.Where, tag string) error {
	c := t.client
	wait := c.options.Settle
	for attempt := 1; ; attempt++ {
		if err := c.options.Sleep(ctx, wait+c.options.Jitter(wait)); err != nil {
			return err
		}
		there, err := c.manifest(ctx, s, legacyPlace(w.Suffix), tag)
		switch {
		case err != nil && !isNotFound(err):
			return err
		case err == nil && there.digest == m.Digest:
			return nil
		case err == nil && (w.Suffix != "sbom" || attempt == maxListReads):
			return fmt.Errorf("%s:%s: %w", s.repo.Name(), tag, carry.ErrTaken)
		case w.Suffix != "sbom":
			return err
		case attempt == maxListReads:
			return &LostError{Tag: s.repo.Name() + ":" + tag, Digest: m.Digest, Lost: []string{m.Digest}, Attempts: attempt}
		}
		wait *= 2
	}
}

// merge adds the layers of a manifest to the list behind a tag.
func (t *store) merge(ctx context.Context, s *session, m *carry.Manifest, suffix, tag string) error {
	parsed, err := parseManifest(m.Body, m.MediaType)
	if err != nil {
		return err
	}
	for i, raw := range parsed.Layers {
		d, err := parseDescriptor(raw)
		if err != nil {
			return fmt.Errorf("layers[%d]: %w", i, err)
		}
		u := &update{
			client: t.client, session: s, place: legacyPlace(suffix), tag: tag,
			list: &layerList{client: t.client, session: s, created: zeroTime}, add: entry{key: layerKey(d), raw: raw},
		}
		if err := u.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// mountQuery asks for a blob of another repository of the same registry; empty when it is of another registry.
func (c *Client) mountQuery(s *session, digest, from string) string {
	repo, err := name.NewRepository(from, c.nameOpts...)
	if err != nil || repo.RegistryStr() != s.repo.RegistryStr() || repo.RepositoryStr() == s.repo.RepositoryStr() {
		return ""
	}
	return url.Values{"mount": {digest}, "from": {repo.RepositoryStr()}}.Encode()
}
