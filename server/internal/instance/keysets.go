package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bulla-sign/bulla/server/ca/token"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/issuer"
)

const (
	// keySetTime is how long keys of the deployment's own issuer count before they are fetched again.
	keySetTime = 5 * time.Second
	// maxKeySet bounds the answer: a key is some 500 bytes.
	maxKeySet = 256 << 10
)

// issuerKeySets gives the keys of the deployment's own issuer: from this process without a request to itself, or from
// where the configuration says that it is.
func (in *Instance) issuerKeySets(h *state.History) (map[string]token.KeySet, error) {
	own := h.Active(state.Issuer)
	if own == nil || own.External { // whose keys are where it says that they are
		return nil, nil
	}
	if in.File.Runs(config.ServiceIssuer) {
		m := in.mounted("issuer")
		if m == nil {
			return nil, fmt.Errorf("the issuer %s is not open", own.URL)
		}
		return map[string]token.KeySet{own.URL: m.service.(*issuer.Issuer)}, nil
	}
	at := in.File.Elsewhere.Issuer
	if at == "" {
		return nil, nil
	}
	u, err := url.Parse(own.URL)
	if err != nil {
		return nil, err
	}
	return map[string]token.KeySet{own.URL: &remoteKeys{url: strings.TrimSuffix(at, "/") + u.Path + "/keys", client: outgoing(), now: in.Now}}, nil
}

// remoteKeys fetches a key set from another process.
type remoteKeys struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	keys jose.JSONWebKeySet
	at   time.Time
}

// Keys implements token.KeySet. When the process cannot be asked, what it said last does not count.
func (r *remoteKeys) Keys(ctx context.Context) (jose.JSONWebKeySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.now().Sub(r.at); !r.at.IsZero() && since >= 0 && since < keySetTime {
		return r.keys, nil
	}
	keys, err := r.fetch(ctx)
	if err != nil {
		return keys, fmt.Errorf("keys of the issuer at %s: %w", r.url, err)
	}
	r.keys, r.at = keys, r.now()
	return keys, nil
}

func (r *remoteKeys) fetch(ctx context.Context) (keys jose.JSONWebKeySet, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return keys, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return keys, err
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it is wanted
	if resp.StatusCode != http.StatusOK {
		return keys, fmt.Errorf("status %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return keys, err
	}
	if len(data) > maxKeySet {
		return keys, fmt.Errorf("the answer is larger than %d bytes", maxKeySet)
	}
	return keys, json.Unmarshal(data, &keys)
}
