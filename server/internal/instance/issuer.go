package instance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/httpserver"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/issuer"
)

func (in *Instance) issuer(h *state.History) want {
	active := h.Active(state.Issuer)
	return want{
		key: "issuer", name: "issuer", // one for ever: a new key does not end the logins that are under way
		open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			if active.External {
				return nil, fmt.Errorf("issuer: this deployment has %s in its place: take issuer out of services", active.URL)
			}
			cfg, err := issuerConfig(&in.File.Issuer)
			if err != nil {
				return nil, err
			}
			cfg.URL, cfg.Name, cfg.Keys = active.URL, h.Name, issuerKeys{in}
			cfg.ClientAddress = func(r *http.Request) netip.Addr { return httpserver.ClientAddress(r.Context()) }
			cfg.Now, cfg.Log, cfg.Metrics = in.Now, in.Log.With("service", "issuer"), reg
			s, err := issuer.New(ctx, cfg)
			if errors.Is(err, issuer.ErrPublicLogin) { // in the words of the configuration
				return nil, fmt.Errorf("issuer: %w, and %s is not an address of this machine alone: "+
					"turn development-login off, or set development-login-anywhere if that is what you want", issuer.ErrPublicLogin, active.URL)
			}
			if err != nil {
				return nil, err // not a nil of the issuer's type
			}
			return s, nil
		},
		settle: func(ctx context.Context, s service) error { return s.(*issuer.Issuer).Reload(ctx) },
	}
}

// issuerConfig translates the configuration.
func issuerConfig(from *config.Issuer) (issuer.Config, error) {
	cfg := issuer.Config{
		DevelopmentLogin: from.DevelopmentLogin, AllowDevelopmentLoginAnywhere: from.DevelopmentLogin && from.DevelopmentLoginAnywhere,
		TokenLifetime: time.Duration(from.TokenLifetime), Clients: []issuer.Client{issuer.DefaultClient()},
	}
	for _, u := range from.Users {
		cfg.Users = append(cfg.Users, issuer.User(u))
	}
	for _, c := range from.Clients {
		cfg.Clients = append(cfg.Clients, issuer.Client(c))
	}
	for _, u := range from.Upstreams {
		up := issuer.Upstream{ID: u.ID, Name: u.Name, Issuer: u.Issuer, ClientID: u.ClientID, Scopes: u.Scopes, AssumeVerified: u.AssumeVerified}
		if u.ClientSecretFile != "" {
			secret, err := keyring.ReadSecret(u.ClientSecretFile)
			if err != nil {
				return cfg, fmt.Errorf("the client secret for %s: %w", u.Issuer, err)
			}
			up.ClientSecret = string(secret)
		}
		cfg.Upstreams = append(cfg.Upstreams, up)
	}
	return cfg, nil
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
