package instance

import (
	"context"
	"crypto"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// want is a service that the process should have.
type want struct {
	key  string // what it is made from: two that are equal need not be replaced by each other
	name string // for people
	open func(ctx context.Context, reg prometheus.Registerer) (ended, error)
}

// ended is a service with what has to happen between the last request and Close; nil for nothing.
type ended struct {
	service
	before func(ctx context.Context) error
}

// wanted lists the services in the order in which they are opened: what others ask comes before them.
func (in *Instance) wanted(h *state.History) (out []want) {
	add := func(s config.Service, w ...want) {
		if in.File.Runs(s) {
			out = append(out, w...)
		}
	}
	if issuer := h.Active(state.Issuer); issuer != nil {
		add(config.ServiceIssuer, in.issuer(h))
	}
	if tsa := h.Active(state.TSA); tsa != nil {
		add(config.ServiceTSA, in.tsa(tsa))
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
	return &mounted{mount: newMount(w.name, s.service), metrics: m, before: s.before}, nil
}

// end closes a mount that nobody is in any more.
func (m *mounted) end(ctx context.Context) error {
	if m.before != nil {
		if err := m.before(ctx); err != nil {
			return err
		}
	}
	return m.Close(ctx)
}

// signer opens an instance's key and makes sure that it is the one that the state says: a key that was exchanged for
// another would sign what nobody can verify.
func (in *Instance) signer(ctx context.Context, of *state.Instance) (crypto.Signer, error) {
	key, err := in.Ring.Open(ctx, of.Key)
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
