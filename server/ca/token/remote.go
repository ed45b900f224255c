package token

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"
)

// Limits on asking issuers.
const (
	// fetchTimeout bounds discovery document and key set together, as Fulcio does.
	fetchTimeout = 10 * time.Second
	// maxAnswer bounds each of the two; the largest known key set has 30 kB.
	maxAnswer = 512 << 10
	// maxAge is how long keys are used before they are read anew, so that a withdrawn key does not stay in use.
	maxAge = time.Hour
	// minInterval is how soon after an attempt an issuer is asked again, whatever tokens claim: an unknown key id in a
	// forged token must not make this server a hammer.
	minInterval = 30 * time.Second
	// maxFamilies bounds the cached issuers that patterns matched; of those, anybody can name new ones.
	maxFamilies = 200
	// newFamilies and newFamiliesBurst bound per second how many such issuers are asked for the first time.
	newFamilies      = 5
	newFamiliesBurst = 20
	// maxFetches bounds the requests under way.
	maxFetches = 16
)

// keySet is what an issuer published.
type keySet struct {
	keys    []jose.JSONWebKey
	fetched time.Time
}

// remote fetches and keeps the keys of issuers.
type remote struct {
	cfg     Config
	fetches chan struct{}
	arrive  *rate.Limiter

	mu      sync.Mutex
	entries map[string]*entry
	recent  *list.List // of entries of families, the last used first
}

// entry is one issuer. Its lock is held while it is asked, so that it is asked once.
type entry struct {
	issuer   issuerconfig.Issuer
	client   *http.Client
	place    *list.Element // nil for an issuer that is configured by its URL
	lock     chan struct{}
	set      *keySet
	attempt  time.Time // of the last request
	problem  *Error    // of the last request
	attempts int
}

func newRemote(cfg Config) *remote {
	return &remote{
		cfg: cfg, fetches: make(chan struct{}, maxFetches), arrive: rate.NewLimiter(newFamilies, newFamiliesBurst),
		entries: map[string]*entry{}, recent: list.New(),
	}
}

func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		e.client.CloseIdleConnections()
	}
}

// get returns the keys of an issuer, from the cache if they are there and fresh. With anew, they are read again unless
// that was done just now.
func (r *remote) get(ctx context.Context, issuer issuerconfig.Issuer, anew bool) (*keySet, error) {
	e, err := r.entry(issuer)
	if err != nil {
		return nil, err
	}
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return nil, &Error{Kind: Unavailable, Reason: "the request ended while the issuer was asked for its keys", Cause: ctx.Err()}
	}
	now := r.cfg.Now()
	fresh := e.set != nil && now.Sub(e.set.fetched) < maxAge && !now.Before(e.set.fetched)
	if fresh && !anew {
		return e.set, nil
	}
	if since := now.Sub(e.attempt); e.attempts > 0 && since >= 0 && since < minInterval {
		if fresh {
			return e.set, nil
		}
		if e.problem == nil {
			return nil, &Error{Kind: Busy, Reason: fmt.Sprintf("issuer %q was asked for its keys just now, try again", issuer.URL)}
		}
		return nil, e.problem
	}
	select {
	case r.fetches <- struct{}{}:
		defer func() { <-r.fetches }()
	default:
		return nil, &Error{Kind: Busy, Reason: "too many issuers are being asked for their keys, try again"}
	}
	e.attempt, e.problem = now, nil
	e.attempts++
	// Whoever waits for the lock wants the answer, too: it must not depend on this client's patience.
	fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	keys, err := e.fetch(fetchCtx)
	if err != nil {
		e.problem = &Error{Kind: Unavailable, Reason: fmt.Sprintf("the keys of issuer %q cannot be read: %s", issuer.URL, public(err)), Cause: err}
		if fresh {
			return e.set, nil
		}
		return nil, e.problem
	}
	e.set = &keySet{keys: keys, fetched: now}
	return e.set, nil
}

// entry finds or makes the entry of an issuer.
func (r *remote) entry(issuer issuerconfig.Issuer) (*entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[issuer.URL]; ok {
		if e.place != nil {
			r.recent.MoveToFront(e.place)
		}
		return e, nil
	}
	if issuer.Pattern != "" && !r.arrive.AllowN(r.cfg.Now(), 1) {
		return nil, &Error{Kind: Busy, Reason: "too many issuers were asked for their keys just now, try again"}
	}
	client, err := newClient(r.cfg, issuer)
	if err != nil {
		return nil, &Error{Kind: Unavailable, Reason: fmt.Sprintf("issuer %q cannot be asked for its keys", issuer.URL), Cause: err}
	}
	e := &entry{issuer: issuer, client: client, lock: make(chan struct{}, 1)}
	if issuer.Pattern != "" {
		e.place = r.recent.PushFront(e)
		if r.recent.Len() > maxFamilies {
			oldest := r.recent.Back()
			r.recent.Remove(oldest)
			if old, ok := oldest.Value.(*entry); ok {
				old.client.CloseIdleConnections()
				delete(r.entries, old.issuer.URL)
			}
		}
	}
	r.entries[issuer.URL] = e
	return e, nil
}

// published is an error whose text may be shown to clients: it speaks of what the issuer answered, not of the network.
type published struct{ text string }

func (p *published) Error() string { return p.text }

func public(err error) string {
	var p *published
	if errors.As(err, &p) {
		return p.text
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	return "it cannot be reached"
}

// fetch reads the discovery document and the key set that it names.
func (e *entry) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	data, err := e.read(ctx, strings.TrimSuffix(e.issuer.URL, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, &published{"its discovery document is not JSON"}
	}
	if doc.Issuer != e.issuer.URL {
		return nil, &published{fmt.Sprintf("its discovery document is that of another issuer, %q", clip(doc.Issuer))}
	}
	if err := e.checkKeysURL(doc.JWKSURI); err != nil {
		return nil, err
	}
	if data, err = e.read(ctx, doc.JWKSURI); err != nil {
		return nil, err
	}
	keys, err := parseKeys(data)
	if err != nil {
		return nil, &published{err.Error()}
	}
	return keys, nil
}

// checkKeysURL decides whether the key set may be read from where the discovery document says. Google keeps its keys on
// another host than its issuer; an issuer that was configured by name may do so. One that only matched a pattern may not,
// and an issuer on this machine stays on it.
func (e *entry) checkKeysURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || len(raw) > 2048 {
		return &published{"its discovery document has no usable jwks_uri"}
	}
	here, err := url.Parse(e.issuer.URL)
	if err != nil {
		return err
	}
	sameHost := u.Scheme == here.Scheme && u.Host == here.Host
	switch {
	case e.issuer.Loopback():
		if !(issuerconfig.Issuer{URL: raw}).Loopback() {
			return &published{"it is on this machine, but its key set is not"}
		}
	case u.Scheme != "https":
		return &published{"its key set is not served over HTTPS"}
	case e.issuer.Pattern != "" && !sameHost:
		return &published{"its key set is on another host, which is accepted only of issuers that are configured by name"}
	}
	return nil
}

// read gets one document.
func (e *entry) read(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "bulla-ca")
	res, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, &published{fmt.Sprintf("it answered with status %d", res.StatusCode)}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAnswer {
		return nil, &published{fmt.Sprintf("its answer is longer than %d bytes", maxAnswer)}
	}
	return data, nil
}
