package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/go-json-experiment/json/jsontext"
)

// Annotations of a bundle's manifest (bundle spec "OCI referrers") and of the older layers.
const (
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
	annotationCreated   = "org.opencontainers.image.created"
	annotationSignature = "dev.cosignproject.cosign/signature"
	annotationLegacy    = "predicateType"
)

// defaultWorkers is how many candidates are fetched at once: enough to hide latency, too few to be taken for an attack.
const defaultWorkers = 4

// finder is the state of one Find.
type finder struct {
	client  *Client
	session *session
	img     *Image
	options FindOptions
	found   *Evidence
	enough  bool    // options.Enough is reached
	chains  []chain // shared tags that are there, and may be continued
	// takenOut says of an item that it was taken out of the list since; nil: none was. Such items leave the result at the end,
	// since who counts what was found must not see it shrink.
	takenOut func(Item) bool

	mu    sync.Mutex
	left  int64 // bytes of evidence that may still be read
	uses  int   // documents read so far
	blobs map[string]*lazyBlob
}

// errNotEvidence marks a manifest that turned out to be something else, and is left out.
var errNotEvidence = errors.New("not evidence")

// referrers looks at the list of referrers. A registry that got the API after images were signed should serve what the
// referrers tag had listed until then ("Enabling the Referrers API"); as not all do, a list without evidence is not the last
// word, even when something else was attached since.
func (f *finder) referrers(ctx context.Context) {
	l, err := f.client.referrers(ctx, f.session, f.img)
	f.collect(ctx, l, err)
	if err == nil && l.api && !f.enough && !f.options.Brief && f.more() {
		l, err = f.client.fallback(ctx, f.session, f.img)
		f.collect(ctx, l, err)
	}
	if err == nil && l.tag != nil {
		f.chains = append(f.chains, chain{base: referrersTag(f.img.Digest), place: PlaceFallback})
	}
}

// collect fetches what a list names and was not fetched before.
func (f *finder) collect(ctx context.Context, l *listing, err error) {
	f.found.Places = append(f.found.Places, Place{Name: l.place, Ref: l.ref, Outcome: Absent, Note: l.note})
	place := &f.found.Places[len(f.found.Places)-1]
	if err != nil {
		place.Outcome, place.Err = Unknown, err
		return
	}
	candidates, skipped := f.candidates(l, place)
	candidates = slices.DeleteFunc(candidates, f.again)
	place.Skipped = skipped
	if l.cut == nil && len(candidates) > f.client.limits.Candidates {
		l.cut = fmt.Errorf("the list has more than %d candidates", f.client.limits.Candidates)
	}
	candidates = candidates[:min(len(candidates), f.client.limits.Candidates)]
	if l.cut != nil {
		place.Err = &UnknownError{
			Place: l.place, URL: l.ref, Detail: l.cut.Error(), Err: l.cut,
			Hint: "raise the limit if so many are expected, or remove what should not be there",
		}
		place.Outcome = Unknown
	}
	// In portions, so that what suffices is not followed by all the rest. They grow fast, so that many do not take long: a portion
	// costs two round trips, and who was not among the first may be anywhere.
	for size := f.options.Portion; len(candidates) > 0 && !f.enough; size *= 4 {
		if size <= 0 || size > len(candidates) {
			size = len(candidates)
		}
		f.take(place, f.fetch(ctx, l.place, candidates[:size]))
		candidates = candidates[size:]
		f.took()
	}
}

// again says whether a list names what another one has named.
func (f *finder) again(cand candidate) bool {
	return cand.err == nil && slices.ContainsFunc(f.found.Items, func(i Item) bool { return i.Digest == cand.Digest && !i.Legacy })
}

// againLayer says whether a layer was read from another tag.
func (f *finder) againLayer(raw jsontext.Value) bool {
	d, err := parseDescriptor(raw)
	if err != nil {
		return false
	}
	key := layerKey(d)
	return slices.ContainsFunc(f.found.Items, func(i Item) bool {
		return i.Legacy && i.Digest == d.Digest && layerKey(descriptor{Digest: i.Digest, Annotations: i.Annotations}) == key
	})
}

// take enters what was fetched.
func (f *finder) take(place *Place, items []*Item) {
	for _, item := range items {
		if item == nil {
			place.Skipped++
			continue
		}
		if item.Err == errNotEvidence {
			place.Skipped++
			place.other(item.Digest, item.PredicateType)
			continue
		}
		f.found.Items = append(f.found.Items, *item)
		place.Count++
		place.Outcome = Present
	}
}

// candidate is an entry of a list that may be evidence.
type candidate struct {
	descriptor
	err error // the entry itself cannot be used
}

// candidates leaves out what states to be something else. The statement is believed only where it is a definite other
// type: some registries report the config's media type instead, and older indexes have none.
func (f *finder) candidates(l *listing, place *Place) (list []candidate, skipped int) {
	type key struct {
		digest, mediaType string
		size              int64
	}
	seen := map[key]bool{}
	for i, raw := range l.entries {
		d, err := parseDescriptor(raw)
		if err == nil {
			err = d.check(f.client.limits.Manifest)
		}
		if this := (key{d.Digest, d.MediaType, d.Size}); err == nil && seen[this] {
			continue // pages may repeat an entry, and lists too
		} else if err == nil {
			seen[this] = true
		}
		if err != nil {
			list = append(list, candidate{descriptor: descriptor{Digest: printable(d.Digest, 150)}, err: fmt.Errorf("%s: manifests[%d]: %w", l.place, i, err)})
			continue
		}
		possible, other := isManifest(d.MediaType) && mayBeEvidence(d.ArtifactType), f.other(d.Annotations[annotationPredicate])
		if possible && !other {
			list = append(list, candidate{descriptor: d})
			continue
		}
		skipped++
		if possible {
			place.other(d.Digest, d.Annotations[annotationPredicate])
		}
	}
	return list, skipped
}

func (p *Place) other(digest, predicate string) {
	if p.Other == nil {
		p.Other = map[string]string{}
	}
	p.Other[digest] = predicate
}

// other says whether a stated predicate type is definitely another than the one that was asked for.
func (f *finder) other(predicate string) bool {
	return f.options.PredicateType != "" && predicate != "" && predicate != f.options.PredicateType
}

func mayBeEvidence(artifactType string) bool {
	switch artifactType {
	case "", typeEmpty, typeOCIConfig, typeDockerConfig, typeSignature:
		return true
	}
	return strings.HasPrefix(artifactType, typeBundlePrefix)
}

// fetch gets all candidates; a nil result was not evidence. Results of experimental signature artifacts, which hold several
// layers, follow in the same order.
func (f *finder) fetch(ctx context.Context, place string, list []candidate) []*Item {
	results := make([][]*Item, len(list))
	each(f.client.options.Workers, len(list), func(i int) { results[i] = f.one(ctx, place, &list[i]) })
	var items []*Item
	for _, some := range results {
		items = append(items, some...)
	}
	return items
}

// each calls do for every index below n, as many at a time as there are workers.
func each(workers, n int, do func(i int)) {
	next := make(chan int)
	var group sync.WaitGroup
	for range min(workers, n) {
		group.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// one fetches one candidate: its manifest, then what it holds.
func (f *finder) one(ctx context.Context, place string, cand *candidate) []*Item {
	item := &Item{Digest: cand.Digest, Place: place, Annotations: cand.Annotations, PredicateType: cand.Annotations[annotationPredicate]}
	if cand.err != nil {
		item.Err = cand.err
		return []*Item{item}
	}
	// Its annotations are kept.
	err := f.spend(place, cand.Size)
	var m *manifest
	if err == nil {
		m, err = f.referrer(ctx, place, cand.descriptor)
	}
	if err == nil && len(m.Layers) > f.client.limits.Layers {
		err = tooMuch(place, fmt.Sprintf("%s@%s has %d layers, the limit is %d", f.session.repo.Name(), cand.Digest, len(m.Layers), f.client.limits.Layers))
	}
	if err != nil {
		item.Err = err
		return []*Item{item}
	}
	item.Annotations, item.PredicateType = m.Annotations, m.Annotations[annotationPredicate]
	if m.ArtifactType == typeSignature || m.Config.MediaType == typeSignature {
		return f.layersOf(ctx, place, m)
	}
	layer, err := bundleLayer(m)
	if err == errNotEvidence {
		return []*Item{nil}
	}
	if f.other(item.PredicateType) {
		item.Err = errNotEvidence // what the list did not say, as lists under the referrers tag need not
		return []*Item{item}
	}
	if err == nil {
		err = f.bundle(ctx, item, layer)
	}
	if err != nil {
		item.Err = fmt.Errorf("%s@%s: %w", f.session.repo.Name(), cand.Digest, err)
	}
	return []*Item{item}
}

// referrer fetches a manifest by its descriptor and checks that it refers to the image.
func (c *Client) referrer(ctx context.Context, s *session, img *Image, place string, d descriptor) (*manifest, error) {
	body, err := c.manifest(ctx, s, place, d.Digest)
	return s.checkReferrer(img, listed{place, d}, body, err)
}

// listed is an entry of a list of referrers, and where that is.
type listed struct {
	place string
	descriptor
}

// checkReferrer compares what came for an entry of a list with the entry, and with the image.
func (s *session) checkReferrer(img *Image, d listed, body *fetched, err error) (*manifest, error) {
	place, name := d.place, s.repo.Name()+"@"+d.Digest
	if nf := (*notFound)(nil); errors.As(err, &nf) {
		return nil, &UnknownError{
			Place: place, URL: name, Status: 404, Code: nf.code, gone: true, Detail: "it is listed, and the registry does not have it",
			Hint: "try again, since lists may lag behind; if it stays, the list is stale: repair --prune mends one that a tag holds",
		}
	}
	if err != nil {
		return nil, err
	}
	if body.mediaType != d.MediaType || int64(len(body.body)) != d.Size {
		return nil, &UnknownError{
			Place: place, URL: name, Hint: "the list is wrong, or the registry: bulla repair rebuilds a list under a tag",
			Detail: fmt.Sprintf("listed as %d bytes of %s, served as %d bytes of %s", d.Size, printable(d.MediaType, 100), len(body.body), body.mediaType),
		}
	}
	m, err := parseManifest(body.body, body.mediaType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if m.Subject == nil || m.Subject.Digest != img.Digest {
		stated := "nothing"
		if m.Subject != nil {
			stated = printable(m.Subject.Digest, 150)
		}
		return nil, fmt.Errorf("%s: its subject is %s, want %s", name, stated, img.Digest)
	}
	return m, nil
}

// bundleLayer finds the one layer that is a bundle.
func bundleLayer(m *manifest) (descriptor, error) {
	var layer descriptor
	bundles := 0
	for i, raw := range m.Layers {
		d, err := parseDescriptor(raw)
		if err != nil {
			return d, fmt.Errorf("layers[%d]: %w", i, err)
		}
		if strings.HasPrefix(d.MediaType, typeBundlePrefix) {
			layer = d
			bundles++
		}
	}
	switch {
	case bundles == 1 && len(m.Layers) == 1:
		return layer, nil
	case bundles == 0 && !strings.HasPrefix(m.ArtifactType, typeBundlePrefix):
		return layer, errNotEvidence
	}
	return layer, fmt.Errorf("want one layer with a bundle, got %d layers and %d bundles", len(m.Layers), bundles)
}

func (f *finder) bundle(ctx context.Context, item *Item, layer descriptor) error {
	item.MediaType = layer.MediaType
	if err := layer.check(f.client.limits.Bundle); err != nil {
		return err
	}
	raw, err := f.blob(ctx, item.Place, layer)
	if err != nil {
		return err
	}
	item.Raw = raw
	item.Bundle, err = bundle.Decode(raw)
	return err
}

// blob fetches a blob once: several signatures often share one payload. Each use counts as much as the first, since what
// is decoded of it is not shared.
func (f *finder) blob(ctx context.Context, place string, d descriptor) ([]byte, error) {
	if err := f.spend(place, d.Size); err != nil {
		return nil, err
	}
	f.mu.Lock()
	known, ok := f.blobs[d.Digest]
	if !ok {
		known = &lazyBlob{}
		f.blobs[d.Digest] = known
	}
	f.mu.Unlock()
	known.once.Do(func() { known.data, known.err = f.keptBlob(ctx, place, d) })
	if known.err == nil && int64(len(known.data)) != d.Size {
		return nil, fmt.Errorf("blob %s has %d bytes, the descriptor states %d", d.Digest, len(known.data), d.Size)
	}
	return known.data, known.err
}

// spend takes the size of something that will be read from what may be read in all.
func (f *finder) spend(place string, size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size > f.left || f.uses >= maxUses {
		return tooMuch(place, fmt.Sprintf("all evidence together is larger than %d bytes, or than %d documents", f.client.limits.Total, maxUses))
	}
	f.left -= size
	f.uses++
	return nil
}

// tooMuch says that something was not looked at because of a limit, so that nothing is known about it.
func tooMuch(place, detail string) error {
	return &UnknownError{Place: place, Detail: detail, Hint: "raise the limit if so much is expected, or remove what should not be there"}
}

// lazyBlob is a blob that is fetched by the first who needs it.
type lazyBlob struct {
	once sync.Once
	data []byte
	err  error
}
