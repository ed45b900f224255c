package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/layout"
	"github.com/bulla-sign/bulla/verify"
)

// search finds one image's evidence place by place and stops once the policy is met.
type search struct {
	client       *oci.Client
	img          *oci.Image
	req          verify.Request
	beside       evidence.Beside
	attestations bool
	portion      int        // how much of a list is fetched before it is verified; 0: all of it, for who prints all
	finder       *finder    // nil: no log is asked
	items        []oci.Item // by the index of their candidate
	places       []oci.Place
	kept         string // the files in which the image is kept; empty: it is in a registry
}

// name is what people call an image: by the files in which it is, or by its repository.
func (s *search) name(img *oci.Image) string {
	if s.kept != "" {
		return s.kept + "@" + img.Digest
	}
	return img.Name()
}

// run verifies what is found, as it is found: first the referrers, and only if they do not suffice the older tags. "Not
// signed" is said only when every place has answered so.
func (s *search) run(ctx context.Context, detached func(context.Context) (*verify.Candidate, error)) (*verify.Report, error) {
	if given, err := detached(ctx); err != nil || given != nil {
		if err != nil {
			return nil, err
		}
		s.items = []oci.Item{{Bundle: given.Bundle, Legacy: true}}
		s.req.Candidates = []verify.Candidate{*given}
		return s.finder.judge(ctx, &s.req)
	}
	where := oci.FindOptions{Bundles: true, Signatures: !s.attestations, Attestations: s.attestations, Portion: s.portion}
	if p := s.req.Policy.Claims; !p.AnyPredicate && len(p.Predicates) == 1 {
		where.PredicateType = p.Predicates[0]
	}
	var r *verify.Report
	taken, series := 0, verify.NewSeries(&s.req)
	where.Enough = func(found *oci.Evidence) bool {
		before := len(s.req.Candidates)
		s.add(found.Items[taken:])
		taken = len(found.Items)
		r = series.Add(s.req.Candidates[before:]...)
		return r.Verified
	}
	found, missing := s.client.Find(ctx, s.img, where)
	s.places = append(s.places, found.Places...)
	switch {
	case r != nil && r.Verified:
		r.NotChecked = append(r.NotChecked, s.unseen()...)
		return r, nil
	case len(found.Items) < taken: // something was taken out of a list, as its continuation says, and counts no more
		s.items, s.req.Candidates = nil, nil
		s.add(found.Items)
		r = nil
	}
	if missing == nil {
		missing = s.unanswered()
	}
	if missing != nil {
		return nil, missing
	}
	if r != nil && s.finder == nil {
		return r, nil
	}
	return s.finder.judge(ctx, &s.req)
}

func (s *search) add(items []oci.Item) {
	for _, item := range items {
		if len(s.req.Candidates) == verify.MaxCandidates {
			s.places = append(s.places, oci.Place{Name: item.Place, Err: &oci.UnknownError{
				Place:  item.Place,
				Detail: fmt.Sprintf("there are more than %d pieces of evidence, and only so many were looked at", verify.MaxCandidates),
				Hint:   "remove what is not needed any more",
			}})
			return
		}
		b, err := item.Bundle, item.Err
		if b != nil {
			b, err = s.beside.Join(b)
		}
		s.items = append(s.items, item)
		s.req.Candidates = append(s.req.Candidates, verify.Candidate{
			Name: fmt.Sprintf("%s (%s)", item.Digest, s.place(&item)), Place: s.place(&item), Bundle: b, Err: err,
		})
	}
}

// skipped counts what is attached and was not fetched, because it says of itself that it is something else.
func (s *search) skipped() int {
	n := 0
	for i := range s.places {
		n += s.places[i].Skipped
	}
	return n
}

// others counts the signatures and the attestations of other kinds than the one demanded. Two lists may name the same.
func (s *search) others() (signatures, attestations int) {
	seen := map[string]bool{}
	for i := range s.places {
		for digest, predicate := range s.places[i].Other {
			switch {
			case seen[digest]:
			case predicate == signPredicate:
				signatures++
			default:
				attestations++
			}
			seen[digest] = true
		}
	}
	return signatures, attestations
}

// place words where an item was found. A layout lists referrers by no API.
func (s *search) place(item *oci.Item) string {
	if item.Place == oci.PlaceReferrers && s.img != nil && s.img.Repository.Name() == layout.Repository {
		return "layout"
	}
	return item.Place
}

// unseen words where evidence may be that was not seen. Who has a verified signature does not need it, and should know.
func (s *search) unseen() []string {
	var out []string
	for i := range s.places {
		if p := &s.places[i]; p.Err != nil {
			out = append(out, fmt.Sprintf("the %s: %v", p.Name, p.Err))
		}
	}
	return out
}

// unanswered returns why some evidence could not be looked at: then what was seen decides nothing against the image.
func (s *search) unanswered() error {
	for i := range s.places {
		if s.places[i].Err != nil {
			return s.places[i].Err
		}
	}
	var unknown *oci.UnknownError
	for i := range s.items {
		if errors.As(s.items[i].Err, &unknown) {
			return unknown
		}
	}
	return nil
}
