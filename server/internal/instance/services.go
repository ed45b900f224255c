package instance

import (
	"context"
	"crypto"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// want is a service that the process should have.
type want struct {
	key  string // what it is made from: two that are equal need not be replaced by each other
	name string // for people
	open func(ctx context.Context, reg prometheus.Registerer) (service, error)
	// settle is called whenever the state was followed, after replaced services have ended; nil for nothing.
	settle func(ctx context.Context, s service) error
	// late says that the service looks at the others from outside, so that they must be reachable first.
	late bool
	// inside says that it is for operators: it answers at the address of the metrics, and nowhere else.
	inside bool
}

// wanted lists the services in the order in which they are opened: what others ask comes before them.
func (in *Instance) wanted(h *state.History) (out []want) {
	runs := func(s config.Service, kinds ...state.Kind) bool {
		for _, kind := range kinds {
			if h.Active(kind) == nil {
				return false
			}
		}
		return in.File.Runs(s)
	}
	if runs(config.ServiceIssuer, state.Issuer) {
		out = append(out, in.issuer(h))
	}
	if runs(config.ServiceCTLog, state.CTLog) {
		out = append(out, in.ctlogs(h)...)
	}
	if runs(config.ServiceCA, state.CA, state.CTLog) {
		out = append(out, in.ca(h))
	}
	if runs(config.ServiceLog, state.Log) {
		out = append(out, in.logs(h)...)
	}
	if runs(config.ServiceTSA, state.TSA) {
		out = append(out, in.tsa(h.Active(state.TSA)))
	}
	if runs(config.ServiceTUF, state.TUF) {
		out = append(out, in.tuf(h))
	}
	if runs(config.ServiceWeb) {
		out = append(out, in.web(h))
	}
	if runs(config.ServiceMonitor, state.Log, state.CTLog) {
		out = append(out, in.monitor(h))
	}
	return out
}

// open opens a service and keeps its metrics back.
func (in *Instance) open(ctx context.Context, w want) (*mounted, error) {
	m := &metrics{registry: in.registry}
	s, err := w.open(ctx, m)
	if err != nil {
		return nil, err
	}
	return &mounted{mount: newMount(w.name, s), metrics: m, late: w.late, inside: w.inside}, nil
}

// signer opens an instance's key.
func (in *Instance) signer(ctx context.Context, of *state.Instance) (crypto.Signer, error) {
	return openSigner(ctx, in.Ring, of)
}

// openSigner opens an instance's key and makes sure that it is the one that the state says: a key that was exchanged for
// another would sign what nobody can verify.
func openSigner(ctx context.Context, ring *keyring.Keyring, of *state.Instance) (crypto.Signer, error) {
	key, err := ring.Open(ctx, of.Key)
	if err != nil {
		return nil, err
	}
	public, err := of.PublicKey()
	if err != nil {
		return nil, err
	}
	if !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		return nil, fmt.Errorf("key %s is not the one that the state has for %s", of.Key, of.Name)
	}
	return key, nil
}
