package oci

import "context"

// What [Client.Find] reads by a digest may come from Options.Cache: the lists and tags that say what there is are always
// asked of the registry, and what they name has its digest, wherever it is from. Who writes never looks into the cache, since
// what is written must be in the registry.

// referrer is [Client.referrer] with the cache.
func (f *finder) referrer(ctx context.Context, place string, d descriptor) (*manifest, error) {
	kept := f.client.options.Cache
	if content, mediaType, ok := kept.Get(d.Digest, d.Size); ok && mediaType == d.MediaType {
		return f.session.checkReferrer(f.img, listed{place, d}, &fetched{digest: d.Digest, mediaType: mediaType, body: content}, nil)
	}
	body, err := f.client.mirroredManifest(ctx, f.session, place, d.Digest)
	m, err := f.session.checkReferrer(f.img, listed{place, d}, body, err)
	if err == nil {
		f.keep(d.Digest, body.mediaType, body.body)
	}
	return m, err
}

// keptBlob is [Client.blob] with the cache.
func (f *finder) keptBlob(ctx context.Context, place string, d descriptor) ([]byte, error) {
	if content, _, ok := f.client.options.Cache.Get(d.Digest, d.Size); ok && int64(len(content)) == d.Size {
		return content, nil
	}
	content, err := f.client.mirroredBlob(ctx, f.session, place, d)
	if err == nil {
		f.keep(d.Digest, "", content)
	}
	return content, err
}

func (f *finder) keep(digest, mediaType string, content []byte) {
	if err := f.client.options.Cache.Put(digest, mediaType, content); err != nil {
		f.client.options.Log("%s", err)
	}
}
