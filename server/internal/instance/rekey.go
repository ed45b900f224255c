package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// PathRekey replaces the keys of a role of the TUF repository that may be kept offline: Rekey -> Rekeyed.
const PathRekey = "/tuf/rekey"

// Rekey asks for another key for a role. Neither Key nor Public: a new one is made.
type Rekey struct {
	Role   founding.Role `json:"role"`             // [founding.TUFRoot] or [founding.TUFTargets]
	Key    string        `json:"key,omitempty"`    // reference of a key that exists
	Public string        `json:"public,omitempty"` // PEM of a key that is kept elsewhere, which is to sign there
}

// Rekeyed says what came of it.
type Rekeyed struct {
	Key     string   `json:"key"`               // reference of the new key
	Former  []string `json:"former"`            // of those that it replaces
	Pending bool     `json:"pending,omitempty"` // the new root waits for signatures of keys that are kept offline
}

// rekey notes the new key and publishes a root that names it. The next root is signed under the rules of both, so that every
// client that has any root of this deployment follows (TUF 5.3).
func (in *Instance) rekey(ctx context.Context, r Rekey) (Rekeyed, error) {
	if !in.File.Runs(config.ServiceTUF) {
		return Rekeyed{}, errNoRepository
	}
	if waiting, err := in.waiting(); err != nil || waiting {
		return Rekeyed{}, errors.Join(err, errWaiting)
	}
	var out Rekeyed
	h, err := in.Dir.Update(func(h *state.History) error {
		role, err := h.TUFKeys.Role(string(r.Role))
		if err != nil {
			return err
		}
		next, err := in.nextKey(ctx, h, role, r)
		if err != nil {
			return err
		}
		for _, old := range *role.Keys {
			if old.Public == next.Public {
				return fmt.Errorf("the key %s is that of the role %s already", next.Key, r.Role)
			}
			out.Former = append(out.Former, old.Key)
		}
		*role.Former = append(*role.Former, *role.Keys...)
		*role.Keys = []state.KeyRef{next}
		out.Key = next.Key
		return nil
	})
	if err != nil {
		return Rekeyed{}, err
	}
	if err := in.apply(ctx, h); err != nil {
		return out, err
	}
	out.Pending, err = in.waiting()
	return out, err
}

var errWaiting = errors.New(`a document waits for signatures; let it be signed first ("bulla-server tuf pending")`)

func (in *Instance) waiting() (bool, error) {
	s := in.repository()
	if s == nil {
		return false, errNoRepository
	}
	documents, err := s.Pending()
	return len(documents) > 0, err
}

func (in *Instance) nextKey(ctx context.Context, h *state.History, role state.TUFRole, r Rekey) (state.KeyRef, error) {
	name := role.NextName(in.Now())
	if r.Public != "" {
		next := state.KeyRef{Key: "keys/" + string(r.Role) + "-" + name + ".key", Public: r.Public}
		public, err := next.PublicKey()
		if err != nil {
			return next, err
		}
		next.Public, err = state.EncodePublic(public)
		return next, err
	}
	f := &founding.Founder{Ring: in.Ring, Now: in.Now}
	if r.Key != "" {
		f.Keys = map[founding.Role]string{r.Role: r.Key}
	}
	return f.TUFKey(ctx, r.Role, name)
}
