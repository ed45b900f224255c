package instance

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/issuer"
)

func (in *Instance) issuer(h *state.History) want {
	active := h.Active(state.Issuer)
	return want{
		key: "issuer", name: "issuer", // one for ever: a new key does not end the logins that are under way
		open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			s, err := issuer.New(ctx, issuer.Config{
				URL:                           active.URL,
				Name:                          h.Name,
				Keys:                          issuerKeys{in},
				DevelopmentLogin:              in.File.Issuer.DevelopmentLogin,
				AllowDevelopmentLoginAnywhere: in.File.Issuer.DevelopmentLoginAnywhere,
				Now:                           in.Now,
				Log:                           in.Log.With("service", "issuer"),
				Metrics:                       reg,
			})
			return s, err
		},
		settle: func(ctx context.Context, s service) error { return s.(*issuer.Issuer).Reload(ctx) },
	}
}

// issuerKeys are the issuer's keys as the state has them. The key of a rotation that has not switched yet is published
// and signs in a time that does not come.
type issuerKeys struct{ in *Instance }

// never is when a key begins to sign of which that is not decided yet: beyond every clock, within every time format.
var never = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// Load implements issuer.KeyStore.
func (k issuerKeys) Load(ctx context.Context) ([]issuer.Key, error) {
	h, err := k.in.Dir.Load()
	if err != nil {
		return nil, err
	}
	var out []issuer.Key
	for i := range h.Instances[state.Issuer] {
		of := &h.Instances[state.Issuer][i]
		if of.Phase == state.Closed {
			continue
		}
		key, err := k.in.signer(ctx, of)
		if err != nil {
			return nil, err
		}
		from := of.Start
		switch {
		case of.Phase == state.Next:
			from = never
		case of.Switched != nil:
			from = *of.Switched
		}
		out = append(out, issuer.Key{Signer: key, From: from})
	}
	return out, nil
}

// Save implements issuer.KeyStore. Keys change by rotation only, which puts them into the state.
func (issuerKeys) Save(context.Context, []issuer.Key) error {
	return errors.New("the issuer's keys are in the deployment's state, and change by bulla-server rotate issuer")
}
