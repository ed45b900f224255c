package instance

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/tsa"
)

func (in *Instance) tsa(of *state.Instance) want {
	return want{
		key: "tsa/" + of.Name, name: "tsa " + of.Name,
		open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			key, err := in.signer(ctx, of)
			if err != nil {
				return nil, err
			}
			chain, err := of.Certificates()
			if err != nil {
				return nil, err
			}
			policy, err := config.ParseOID(in.File.TSA.Policy)
			if err != nil {
				return nil, err
			}
			s, err := tsa.New(ctx, tsa.Config{Chain: chain, Key: key, Policy: policy, Now: in.Now, Log: in.Log.With("service", "tsa"), Metrics: reg})
			return s, err
		},
	}
}
