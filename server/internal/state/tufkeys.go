package state

import (
	"fmt"
	"time"
)

// TUFKeys are the keys of the TUF repository's offline roles; the online key is the active instance of the kind [TUF].
// Those that were replaced still have to sign the root that says so, and whatever is not published yet when they are.
type TUFKeys struct {
	Root          []KeyRef `json:"root"`
	Targets       []KeyRef `json:"targets"`
	FormerRoot    []KeyRef `json:"formerRoot,omitempty"`
	FormerTargets []KeyRef `json:"formerTargets,omitempty"`
}

// TUFRole is the keys of one role, to be changed in place.
type TUFRole struct {
	Keys, Former *[]KeyRef
}

// Role returns the keys of the role "tuf-root" or "tuf-targets".
func (k *TUFKeys) Role(name string) (TUFRole, error) {
	switch name {
	case "tuf-root":
		return TUFRole{&k.Root, &k.FormerRoot}, nil
	case "tuf-targets":
		return TUFRole{&k.Targets, &k.FormerTargets}, nil
	}
	return TUFRole{}, fmt.Errorf("the TUF repository has no role %q with keys of its own", name)
}

// NextName is the name of the role's next key, made like those of instances ([History.NextName]).
func (r TUFRole) NextName(now time.Time) string {
	return fmt.Sprintf("%d-%d", now.UTC().Year(), len(*r.Keys)+len(*r.Former)+1)
}

// All returns every key that there is or was.
func (k *TUFKeys) All() []KeyRef {
	var out []KeyRef
	for _, some := range [][]KeyRef{k.Root, k.Targets, k.FormerRoot, k.FormerTargets} {
		out = append(out, some...)
	}
	return out
}
