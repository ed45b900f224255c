package carry

import "fmt"

// The states of an item in a report.
const (
	StateEqual   = "equal"   // at the target, with the same digest
	StateMerged  = "merged"  // every layer is in the target's list, which has others too
	StateForeign = "foreign" // a layer that is kept elsewhere, and that the source does not have
	StateLeftOut = "left out"
	StateMissing = "missing" // should be there, and is not
)

// Item is one piece of content in a report.
type Item struct {
	Kind    string `json:"kind"` // "index", "image", "blob", "referrer", "sig", "att" or "sbom"
	Digest  string `json:"digest"`
	Size    int64  `json:"size"`              // bytes
	Subject string `json:"subject,omitempty"` // digest of what it is attached to
	State   string `json:"state"`
	Note    string `json:"note,omitempty"` // why it is in this state; empty for equal
}

// Report says what was carried and what is at the target now.
type Report struct {
	Digest  string `json:"digest"` // of the image or the index
	Items   []Item `json:"items"`
	Written int    `json:"written"` // manifests and blobs that were not there before
	Bytes   int64  `json:"bytes"`   // of those
	DryRun  bool   `json:"dryRun,omitempty"`
}

// Count is the number of items in a state.
func (r *Report) Count(state string) int {
	n := 0
	for i := range r.Items {
		if r.Items[i].State == state {
			n++
		}
	}
	return n
}

// LossError says that something that should be at the target is not there.
type LossError struct {
	Missing int
	First   Item
}

// Error names how much is missing, and the first of it.
func (e *LossError) Error() string {
	text := fmt.Sprintf("%d of what should be at the target is not there, first the %s %s", e.Missing, e.First.Kind, e.First.Digest)
	if e.First.Subject != "" {
		text += " of " + e.First.Subject
	}
	if e.First.Note != "" {
		text += ": " + e.First.Note
	}
	return text
}

// loss returns a *LossError when something is missing.
func (r *Report) loss() error {
	var err *LossError
	for i := range r.Items {
		if r.Items[i].State != StateMissing {
			continue
		}
		if err == nil {
			err = &LossError{First: r.Items[i]}
		}
		err.Missing++
	}
	if err == nil {
		return nil
	}
	return err
}
