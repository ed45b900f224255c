package oci

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
)

// Image is an image manifest or an index in a registry, known by its digest.
type Image struct {
	Ref        string          // as typed
	Repository name.Repository // where it is
	Digest     string          // "sha256:…" or "sha512:…"; empty after Parse of a tag
	MediaType  string          // empty until resolved; of a child, what the index says
	Size       int64           // bytes; 0 until resolved; of a child, what the index says
	Tag        string          // the tag it was found by; empty when it was addressed by digest
	Platform   string          // "os/architecture[/variant]", as stated by the index it was found in

	body []byte // the manifest, once fetched
}

// Name is the repository and the digest: what to use from here on, in place of a tag that may move.
func (i *Image) Name() string { return i.Repository.Name() + "@" + i.Digest }

// IsIndex says whether the image is an index of several manifests; false until resolved.
func (i *Image) IsIndex() bool { return isIndex(i.MediaType) }

// Manifest returns the bytes of the manifest, nil until resolved. They hash to Digest.
func (i *Image) Manifest() []byte { return i.body }

// Parse reads a reference without asking the registry. When it names a digest, the result may be given to [Client.Find] as
// it is, which saves a request; otherwise use [Client.Resolve].
func (c *Client) Parse(ref string) (*Image, error) {
	if checkDigest(ref) == nil {
		return nil, fmt.Errorf("image reference %q is a digest without a repository: write REPOSITORY@%s", ref, ref)
	}
	parsed, err := name.ParseReference(ref, c.nameOpts...)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w", printable(ref, maxDetail), err)
	}
	img := &Image{Ref: ref, Repository: parsed.Context()}
	if digest, ok := parsed.(name.Digest); ok {
		img.Digest = digest.DigestStr()
		return img, checkDigest(img.Digest)
	}
	img.Tag = parsed.Identifier()
	return img, nil
}

// Resolve asks the registry for what a reference names. The digest is computed from the bytes that came; when the
// reference names a digest, they must be equal. The error wraps [ErrImageNotFound], or is an [*UnknownError].
func (c *Client) Resolve(ctx context.Context, ref string) (*Image, error) {
	img, err := c.Parse(ref)
	if err != nil {
		return nil, err
	}
	return img, c.resolve(ctx, img)
}

func (c *Client) resolve(ctx context.Context, img *Image) error {
	if img.body != nil {
		return nil
	}
	reference := img.Digest
	if reference == "" {
		reference = img.Tag
	}
	m, err := c.mirroredImage(ctx, img.Repository, reference)
	if isNotFound(err) {
		return fmt.Errorf("%s: %w: %w", img.Ref, ErrImageNotFound, err)
	}
	if err != nil {
		return err
	}
	if img.MediaType != "" && (img.MediaType != m.mediaType || img.Size != int64(len(m.body))) {
		return fmt.Errorf("%s: the index lists %d bytes of %s, the registry serves %d bytes of %s",
			img.Ref, img.Size, printable(img.MediaType, 100), len(m.body), m.mediaType)
	}
	img.Digest, img.MediaType, img.Size, img.body = m.digest, m.mediaType, int64(len(m.body)), m.body
	return nil
}

// Children lists the manifests of an index, in its order; nil when the image is not an index. A child may be an index
// itself. Nothing is fetched: the children exist only as far as the index is right.
func (c *Client) Children(ctx context.Context, img *Image) ([]*Image, error) {
	if err := c.resolve(ctx, img); err != nil {
		return nil, err
	}
	if !img.IsIndex() {
		return nil, nil
	}
	index, err := parseManifest(img.body, img.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", img.Name(), err)
	}
	if len(index.Manifests) > c.limits.Children {
		return nil, fmt.Errorf("%s: index lists %d manifests, the limit is %d", img.Name(), len(index.Manifests), c.limits.Children)
	}
	children := make([]*Image, 0, len(index.Manifests))
	for i, raw := range index.Manifests {
		d, err := parseDescriptor(raw)
		if err == nil {
			err = d.check(c.limits.Manifest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: manifests[%d]: %w", img.Name(), i, err)
		}
		child := &Image{Repository: img.Repository, Digest: d.Digest, MediaType: d.MediaType, Size: d.Size, Platform: d.Platform.String()}
		child.Ref = child.Name()
		children = append(children, child)
	}
	return children, nil
}

// fetched is a manifest whose bytes hash to digest.
type fetched struct {
	digest, mediaType, etag string
	body                    []byte
}

// manifest fetches a manifest by tag or digest (distribution-spec "Pulling manifests").
func (c *Client) manifest(ctx context.Context, s *session, place, reference string) (*fetched, error) {
	r := request{
		place: place, method: http.MethodGet, path: "manifests/" + reference, limit: c.limits.Manifest,
		header: map[string]string{"Accept": acceptManifests},
	}
	a, err := c.do(ctx, s, r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.unknown(r, "want status 200")
	}
	if a.header.Get("ETag") != "" {
		c.etags.Store(s.repo.RegistryStr(), true)
	}
	m := &fetched{mediaType: a.mediaType(), body: a.body, digest: digestOf(a.body), etag: a.header.Get("ETag")}
	if checkDigest(reference) == nil {
		if m.digest = digestLike(reference, a.body); m.digest != reference {
			return nil, a.unknown(r, "what came back has the digest "+m.digest)
		}
	} else if stated := a.header.Get("Docker-Content-Digest"); stated != "" {
		if checkDigest(stated) != nil || digestLike(stated, a.body) != stated {
			return nil, a.unknown(r, "what came back does not have the digest that the registry states, "+printable(stated, 150))
		}
		m.digest = stated
	}
	if !isIndex(m.mediaType) && !isManifest(m.mediaType) {
		return nil, a.unknown(r, fmt.Sprintf("media type %q is neither an image manifest nor an image index", printable(m.mediaType, 100)))
	}
	return m, nil
}

// blob fetches a blob and checks it against its descriptor (distribution-spec "Pulling blobs").
func (c *Client) blob(ctx context.Context, s *session, place string, d descriptor) ([]byte, error) {
	r := request{place: place, method: http.MethodGet, path: "blobs/" + d.Digest, limit: d.Size}
	a, err := c.do(ctx, s, r)
	if isNotFound(err) {
		return nil, a.unknown(r, "the manifest lists this blob, and the registry does not have it")
	}
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK || int64(len(a.body)) != d.Size || digestLike(d.Digest, a.body) != d.Digest {
		return nil, a.unknown(r, fmt.Sprintf("what came back (%d bytes) is not %d bytes with this digest", len(a.body), d.Size))
	}
	return a.body, nil
}
