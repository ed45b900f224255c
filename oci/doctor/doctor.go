// Package doctor says what a registry can do, as far as it matters to evidence, and who will see what is written there.
// [oci.Client.Doctor] finds it out.
//
// [oci.Client.Doctor]: https://pkg.go.dev/github.com/bulla-sign/bulla/oci#Client.Doctor
package doctor

// Options say what may be done to find out.
type Options struct {
	Write bool // write images under tags of their own, and remove them
}

// The states of an [Ability].
const (
	Yes      = "yes"
	No       = "no"
	Unknown  = "unknown"   // it gave no usable answer
	NotTried = "not tried" // it takes writing, or something to look at
)

// The names of abilities.
const (
	ReferrersAPI      = "referrers API"
	ReferrersFilter   = "filter of referrers"
	EntityTags        = "entity tags"
	ConditionalWrites = "conditional writes"
	RewritableTags    = "rewritable tags"
	NamesSubject      = "names the subject"
	ListsReferrers    = "lists what was written"
	ReadsOwnWrites    = "reads its own writes"
	DeletesManifests  = "deletes manifests"
	DeletesTags       = "deletes tags"
	StatesLimits      = "states limits"
)

// Ability is something that registries differ in.
type Ability struct {
	Name   string `json:"name"`
	State  string `json:"state"`            // one of the constants above
	Detail string `json:"detail,omitempty"` // how it is known, or what follows from it
}

// Request is a question to the registry, and its answer.
type Request struct {
	What         string `json:"what"`
	Method       string `json:"method"`
	URL          string `json:"url"`
	Status       int    `json:"status"` // 0: there was no answer
	Code         string `json:"code,omitempty"`
	Milliseconds int64  `json:"milliseconds"`
	Error        string `json:"error,omitempty"`
}

// Report is what was found.
type Report struct {
	Repository string    `json:"repository"` // where evidence is kept
	Scheme     string    `json:"scheme"`     // "https" or "http"; empty without an answer
	Challenge  string    `json:"challenge"`  // how the registry asks for credentials: "none", "basic", "bearer", …
	Realm      string    `json:"realm,omitempty"`
	Credential string    `json:"credential"`         // its kind, and from where it is; never the secret
	Settings   []string  `json:"settings,omitempty"` // what files say about reaching it, and its mirrors
	Abilities  []Ability `json:"abilities"`
	Requests   []Request `json:"requests"`
	Readers    []Reader  `json:"readers"`
	Left       []string  `json:"leftBehind,omitempty"` // what was written and could not be removed, or may yet appear
}

// State returns the state of an ability; Unknown for one that is not in the report.
func (r *Report) State(name string) string {
	for _, a := range r.Abilities {
		if a.Name == name {
			return a.State
		}
	}
	return Unknown
}
