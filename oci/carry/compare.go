package carry

import (
	"bytes"
	"context"
	"fmt"
)

// compare looks for everything at the target and completes the report.
func (w *walker) compare(ctx context.Context) error {
	there := map[string][]Piece{}
	sought := map[string]bool{}
	for i := range w.written {
		sought[w.written[i].Subject] = sought[w.written[i].Subject] || w.written[i].piece != nil
	}
	for _, m := range w.subjects {
		if !sought[m.Digest] {
			continue // nothing was attached to it
		}
		pieces, err := w.o.To.Attached(ctx, m)
		if err != nil {
			return fmt.Errorf("reading back what is attached to %s: %w", m.Digest, err)
		}
		there[m.Digest] = pieces
	}
	for i := range w.written {
		it := &w.written[i]
		if it.State == "" || it.State == StateEqual {
			if err := w.look(ctx, it, there[it.Subject]); err != nil {
				return err
			}
		}
		w.report.Items = append(w.report.Items, it.Item)
	}
	return nil
}

func (w *walker) look(ctx context.Context, it *item, attached []Piece) error {
	switch {
	case it.piece != nil:
		it.State, it.Note = sought(it.piece, attached)
	case it.Kind == "blob":
		have, err := w.o.To.Has(ctx, Descriptor{Digest: it.Digest, Size: it.Size})
		if err != nil {
			return fmt.Errorf("reading back the blob %s: %w", it.Digest, err)
		}
		if it.State = StateEqual; !have {
			it.State = StateMissing
		}
	default:
		m, err := w.o.To.Manifest(ctx, it.Digest)
		switch {
		case err != nil:
			it.State, it.Note = StateMissing, err.Error()
		case m.Size != it.Size || m.Digest != it.Digest:
			it.State, it.Note = StateMissing, "the target serves something else under this digest"
		default:
			it.State = StateEqual
		}
	}
	return nil
}

// sought finds a piece among what is attached at the target. Of an older tag the layers count: others may have been added
// to the same list.
func sought(p *Piece, attached []Piece) (state, note string) {
	for i := range attached {
		q := &attached[i]
		if q.Suffix != p.Suffix || q.Err != nil {
			continue
		}
		if q.Digest == p.Digest && bytes.Equal(q.Body, p.Body) {
			return StateEqual, ""
		}
		if p.Suffix != "" && p.Suffix != kindSBOM && within(p.Body, q.Body) {
			return StateMerged, "the target's list has further entries"
		}
	}
	return StateMissing, "the target does not list it"
}

// within says whether each layer of one manifest is in another, with its annotations.
func within(part, whole []byte) bool {
	a, err := layerKeys(part)
	if err != nil {
		return false
	}
	b, err := layerKeys(whole)
	if err != nil {
		return false
	}
	have := map[string]bool{}
	for _, key := range b {
		have[key] = true
	}
	for _, key := range a {
		if !have[key] {
			return false
		}
	}
	return true
}
