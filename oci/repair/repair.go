// Package repair says what a repair of a list of referrers is to do, and what it found. [oci.Client.RepairReferrers] does it.
//
// [oci.Client.RepairReferrers]: https://pkg.go.dev/github.com/bulla-sign/bulla/oci#Client.RepairReferrers
package repair

// Options say from what a list of referrers is rebuilt.
type Options struct {
	Referrers []string // digests of manifests that should be listed, such as those that an oci.LostError names
	Scan      bool     // look at every tag of the repository for manifests about the image
	Prune     bool     // take out what the registry does not have, or what is about another image
	DryRun    bool     // write nothing
}

// The states of an [Entry].
const (
	Kept    = "kept"    // it was listed as it should be
	Added   = "added"   // it was missing
	Mended  = "mended"  // what the list said of it was wrong, or not all that it should say
	Missing = "missing" // it is listed or was named, and the registry does not have it
	Foreign = "foreign" // it is not about the image
	Pruned  = "pruned"  // it was one of the two before, and was taken out
	Stays   = "stays"   // it is one of the two, and could not be taken out
)

// Entry is what a repair found of one referrer, and did with it.
type Entry struct {
	Digest string `json:"digest"`
	State  string `json:"state"`            // one of the constants above
	Detail string `json:"detail,omitempty"` // what was wrong; may be empty
}

// Result is the outcome of a repair.
type Result struct {
	Place   string    `json:"place"`   // oci.PlaceReferrers or oci.PlaceFallback: what lists referrers in this registry; of an older tag, its own
	Ref     string    `json:"list"`    // the image by its digest, or the tag
	Written bool      `json:"written"` // something was changed
	Entries []Entry   `json:"entries"`
	Older   []*Result `json:"older,omitempty"` // cosign's older tags with signatures and attestations that are there, or should be; their entries are layers
}
