package carry

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Options say what is carried.
type Options struct {
	From     Source
	To       Store
	Image    *Manifest // read from From
	Tag      string    // under which the image is stored; empty: by digest only
	Force    bool      // replace what lies under Tag, or under the tag of an SBOM
	Only     []string  // kinds of evidence: "sig", "att", "sbom"; empty: everything that is attached
	DryRun   bool      // write nothing: the report says what is missing at the target
	Workers  int       // blobs carried at once; 0: 4
	Progress func(done, known int)
	// Before, when set, is called when everything is there, and before the tag is written. Its error ends the copy.
	Before func(ctx context.Context) error
}

// Copy carries an image and reads everything back. The report is never nil; with a [*LossError] it says what is missing.
// Any other error ended the copy; running it again goes on from there.
func Copy(ctx context.Context, o Options) (*Report, error) {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	w := &walker{o: o, report: &Report{Digest: o.Image.Digest, DryRun: o.DryRun}, seen: map[string]bool{}, blobs: map[string]string{}}
	if err := CheckOnly(o.Only); err != nil {
		return w.report, err
	}
	if err := w.tagFree(ctx); err != nil {
		return w.report, err
	}
	if err := w.image(ctx, o.Image, 1); err != nil {
		return w.report, err
	}
	if o.DryRun {
		return w.report, w.compare(ctx)
	}
	if o.Before != nil {
		if err := o.Before(ctx); err != nil {
			return w.report, err
		}
	}
	if o.Tag != "" && !w.tagged {
		if err := o.To.Put(ctx, o.Image, Where{Tag: o.Tag}); err != nil {
			return w.report, fmt.Errorf("tag %s: %w", o.Tag, err)
		}
	}
	if err := w.compare(ctx); err != nil {
		return w.report, err
	}
	return w.report, w.report.loss()
}

// The two ways in which what is under a name ends a copy; both are wrapped.
var (
	// ErrNotFound is what a Source says of a manifest that is not there, for certain.
	ErrNotFound = errors.New("not found")
	// ErrTaken says that a tag of the target holds something else.
	ErrTaken = errors.New("the tag holds something else")
)

// tagFree makes sure, before anything is carried, that the tag may be written at the end.
func (w *walker) tagFree(ctx context.Context) error {
	if w.o.Tag == "" {
		return nil
	}
	m, err := w.o.To.Manifest(ctx, w.o.Tag)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil && w.o.Force:
		return nil // it is replaced, whatever it is
	case err != nil:
		return fmt.Errorf("tag %s of the target: %w", w.o.Tag, err)
	}
	// A tag that is as it should be is not written again: a registry may let it be written once only.
	if w.tagged = m.Digest == w.o.Image.Digest; !w.tagged && !w.o.Force {
		return fmt.Errorf("tag %s of the target: %w, %s", w.o.Tag, ErrTaken, m.Digest)
	}
	return nil
}

// walker is the state of one copy.
type walker struct {
	o      Options
	report *Report

	tagged   bool            // the tag holds the image already
	subjects []*Manifest     // whose evidence was carried
	seen     map[string]bool // manifests that were walked
	written  []item          // with what is needed to look for them
	mu       sync.Mutex
	blobs    map[string]string // digest -> state
	done     int
	known    int
}

// item is an item of the report and what it was made of.
type item struct {
	Item
	piece *Piece // attached
}

func (w *walker) add(i item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = append(w.written, i)
}

func (w *walker) tick(known, done int) {
	w.mu.Lock()
	w.known += known
	w.done += done
	d, k := w.done, w.known
	w.mu.Unlock()
	w.o.Progress(d, k)
}

// image carries a manifest by its digest: what it names, itself, then what is attached.
func (w *walker) image(ctx context.Context, m *Manifest, depth int) error {
	if w.seen[m.Digest] {
		return nil
	}
	if err := w.content(ctx, m, depth); err != nil {
		return err
	}
	kind := "image"
	if d, err := parse(m.Body); err == nil && d.Manifests != nil {
		kind = "index"
	}
	if err := w.put(ctx, m, Where{}); err != nil {
		return err
	}
	w.add(item{Item: Item{Kind: kind, Digest: m.Digest, Size: m.Size}})
	return w.attached(ctx, m, depth)
}

// content carries what a manifest names.
func (w *walker) content(ctx context.Context, m *Manifest, depth int) error {
	w.seen[m.Digest] = true
	if len(w.seen) > maxManifests || depth > maxDepth {
		return fmt.Errorf("%s: more than %d manifests, or %d levels of them, belong to this image", m.Digest, maxManifests, maxDepth)
	}
	w.tick(1, 0)
	d, err := parse(m.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Digest, err)
	}
	for i := range d.Manifests {
		child, err := w.o.From.Manifest(ctx, d.Manifests[i].Digest)
		if err != nil {
			return fmt.Errorf("%s names %s: %w", m.Digest, d.Manifests[i].Digest, err)
		}
		if err := w.image(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return w.allBlobs(ctx, m, d.blobs())
}

func (w *walker) allBlobs(ctx context.Context, m *Manifest, parts []part) error {
	w.tick(len(parts), 0)
	errs := make([]error, len(parts))
	next := make(chan int)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range min(w.o.Workers, len(parts)) {
		group.Go(func() {
			for i := range next {
				if errs[i] = w.blob(ctx, m, &parts[i]); errs[i] != nil {
					cancel()
				}
				w.tick(0, 1)
			}
		})
	}
	for i := range parts {
		next <- i
	}
	close(next)
	group.Wait()
	// The first failure ended the others.
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// blob carries one blob, once.
func (w *walker) blob(ctx context.Context, m *Manifest, p *part) error {
	d := p.descriptor()
	w.mu.Lock()
	_, known := w.blobs[d.Digest]
	w.blobs[d.Digest] = StateEqual
	w.mu.Unlock()
	if known {
		return nil
	}
	state, note, err := w.carryBlob(ctx, m, p)
	if err != nil {
		return fmt.Errorf("blob %s of %s: %w", d.Digest, m.Digest, err)
	}
	w.mu.Lock()
	w.blobs[d.Digest] = state
	w.mu.Unlock()
	w.add(item{Item: Item{Kind: "blob", Digest: d.Digest, Size: d.Size, State: state, Note: note}})
	return nil
}

func (w *walker) carryBlob(ctx context.Context, m *Manifest, p *part) (state, note string, err error) {
	d := p.descriptor()
	have, err := w.o.To.Has(ctx, d)
	switch {
	case err != nil:
		return "", "", err
	case have:
		return StateEqual, "", nil
	case w.o.DryRun:
		return StateMissing, "", nil
	}
	err = w.o.To.PutBlob(ctx, w.o.From, m, d)
	if err != nil && p.foreign() && ctx.Err() == nil {
		return StateForeign, "it is kept elsewhere, and the source does not have it: " + err.Error(), nil
	}
	if err == nil {
		w.mu.Lock()
		w.report.Written++
		w.report.Bytes += d.Size
		w.mu.Unlock()
	}
	return StateEqual, "", err
}

func (w *walker) put(ctx context.Context, m *Manifest, where Where) error {
	if w.o.DryRun {
		w.tick(0, 1)
		return nil
	}
	if err := w.o.To.Put(ctx, m, where); err != nil {
		return fmt.Errorf("manifest %s: %w", m.Digest, err)
	}
	w.mu.Lock()
	w.report.Written++
	w.report.Bytes += m.Size
	w.mu.Unlock()
	w.tick(0, 1)
	return nil
}

// attached carries what is attached to a manifest, and what is attached to that.
func (w *walker) attached(ctx context.Context, m *Manifest, depth int) error {
	pieces, err := w.o.From.Attached(ctx, m)
	if err != nil {
		return fmt.Errorf("what is attached to %s: %w", m.Digest, err)
	}
	w.subjects = append(w.subjects, m)
	for i := range pieces {
		if err := w.piece(ctx, m, &pieces[i], depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) piece(ctx context.Context, m *Manifest, p *Piece, depth int) error {
	kind := p.Suffix
	if kind == "" {
		kind = "referrer"
	}
	shown := Item{Kind: kind, Digest: p.Digest, Size: p.Size, Subject: m.Digest}
	if p.Err != nil {
		shown.State, shown.Note = StateMissing, "it is listed at the source, and could not be read: "+p.Err.Error()
		w.add(item{Item: shown})
		return nil
	}
	d, err := parse(p.Body)
	if err != nil {
		return fmt.Errorf("%s, attached to %s: %w", p.Digest, m.Digest, err)
	}
	if !wanted(w.o.Only, kinds(p, d)) {
		return nil
	}
	if !w.seen[p.Digest] {
		if err := w.content(ctx, p.Manifest, depth+1); err != nil {
			return err
		}
	}
	if err := w.put(ctx, p.Manifest, Where{Subject: m, Suffix: p.Suffix, Force: w.o.Force}); err != nil {
		return err
	}
	w.add(item{Item: shown, piece: p})
	// A bundle is a leaf; an SBOM may be signed, and the older signature of an attestation tag may be too.
	if k := kinds(p, d); len(k) > 0 && p.Suffix == "" && k[0] != kindSBOM {
		return nil
	}
	return w.attached(ctx, p.Manifest, depth+1)
}
