package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/ca"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/httpserver"
	"github.com/bulla-sign/bulla/server/internal/state"
)

const (
	// clientID is the audience of identity tokens for signing, which all of Sigstore's clients assume.
	clientID = "sigstore"
	// outgoingTime bounds a request to another process of the deployment; a client waits meanwhile.
	outgoingTime = 15 * time.Second
	// CADir is the authority's folder in the state directory.
	CADir       = "ca"
	journalName = "journal"
	caDirMode   = 0o700
	// maxIdentities is the number of identities whose rate is remembered, about 2 MB.
	maxIdentities = 1 << 15
)

// outgoing is the client for other processes of the deployment.
func outgoing() *http.Client {
	return &http.Client{Timeout: outgoingTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ca is the authority. It is made anew when its own key changes, and when the log changes whose timestamps it embeds.
func (in *Instance) ca(h *state.History) want {
	of, ct := h.Active(state.CA), h.Active(state.CTLog)
	return want{
		key: "ca/" + of.Name + "/" + ct.Name, name: "ca " + of.Name,
		open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			cfg := ca.Config{Now: in.Now, Log: in.Log.With("service", "ca"), Metrics: reg}
			var err error
			if cfg.Key, err = in.signer(ctx, of); err != nil {
				return nil, err
			}
			if cfg.Chain, err = of.Certificates(); err != nil {
				return nil, err
			}
			if cfg.CTKey, err = ct.PublicKey(); err != nil {
				return nil, err
			}
			if cfg.CT, err = in.transparency(ct); err != nil {
				return nil, err
			}
			if cfg.Issuers, err = in.issuers(h); err != nil {
				return nil, err
			}
			if cfg.Keys, err = in.issuerKeySets(h); err != nil {
				return nil, err
			}
			if cfg.Journal, err = in.openJournal(); err != nil {
				return nil, err
			}
			if cfg.Limit, err = in.identityLimit(); err != nil {
				return nil, err
			}
			return ca.New(ctx, cfg)
		},
	}
}

// issuers are those whose tokens are taken: the ones in the file, or else this deployment's own.
func (in *Instance) issuers(h *state.History) (*issuerconfig.Config, error) {
	if path := in.File.CA.Issuers; path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // read only
		data, err := io.ReadAll(io.LimitReader(f, issuerconfig.MaxBytes+1))
		if err != nil {
			return nil, err
		}
		cfg, err := issuerconfig.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return cfg, nil
	}
	own := h.Active(state.Issuer)
	if own == nil {
		return nil, errors.New("no identity issuer is configured (ca.issuers), and the deployment has none of its own")
	}
	return issuerconfig.New(issuerconfig.Issuer{
		URL: own.URL, ClientID: clientID, Type: issuerconfig.Email,
		// Where an upstream provider vouches the certificate says so; the issuer itself vouches for everybody else.
		IssuerClaim: []string{"federated_claims", "connector_id"}, IssuerClaimOptional: true,
	})
}

// openJournal opens the record of certificates, once for all authorities of the process: while one takes the other's place
// both write to it.
func (in *Instance) openJournal() (ca.Journal, error) {
	if !in.File.CA.Journal {
		return nil, nil
	}
	if in.journal == nil {
		if err := os.MkdirAll(in.Dir.Path(CADir), caDirMode); err != nil {
			return nil, err
		}
		j, err := ca.OpenJournal(in.Dir.Path(CADir, journalName))
		if err != nil {
			return nil, err
		}
		in.journal = j
	}
	return in.journal, nil
}

func (in *Instance) identityLimit() (func(string) (bool, time.Duration), error) {
	rate, burst := in.File.Limits.IdentityRate, in.File.Limits.IdentityBurst
	if rate < 0 {
		return nil, nil
	}
	if rate == 0 {
		rate = defaultIdentityRate
	}
	if burst == 0 {
		burst = defaultIdentityBurst
	}
	l, err := httpserver.NewLimiter(httpserver.LimiterConfig{Rate: rate, Burst: burst, Keys: maxIdentities, Now: in.Now})
	if err != nil {
		return nil, err
	}
	return l.Allow, nil
}

// How often one identity gets a certificate, unless the configuration says otherwise: a second in the long run, and at
// once. A build matrix of a hundred jobs is one identity.
const (
	defaultIdentityRate  = 5
	defaultIdentityBurst = 200
)
