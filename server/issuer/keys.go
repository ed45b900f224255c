package issuer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keyBits   = 2048            // of new keys: tokens live for minutes, keys are rotated, and every relying party reads RSA 2048
	maxKeys   = 16              // published at a time: one signs, one is next, the others are on their way out
	clockSkew = 5 * time.Minute // that relying parties may have, on top of a token's lifetime
	minBits   = 2048            // RFC 7518 3.3
)

// Key signs identity tokens.
type Key struct {
	// Signer holds an RSA key of 2048 bits or more and signs PKCS #1 v1.5 with SHA-256.
	Signer crypto.Signer
	// From is when the key begins to sign; it does so until the next key's From, and is published from the moment it is in
	// the store until the last token it signed has expired. A key that is published ahead while nobody has decided yet when
	// it begins has a time in the far future.
	From time.Time
}

// ID is the key's ID in tokens and key sets: the thumbprint of RFC 7638.
func (k Key) ID() (string, error) {
	sum, err := (&jose.JSONWebKey{Key: k.Signer.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("issuer: thumbprint of a key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// KeyStore keeps the keys beyond the life of the process.
type KeyStore interface {
	// Load returns all keys, in any order; none when the store is new.
	Load(ctx context.Context) ([]Key, error)
	// Save replaces all keys. When it returns nil they are durable.
	Save(ctx context.Context, keys []Key) error
}

// MemoryKeys keeps keys as long as the process lives.
type MemoryKeys struct {
	mu   sync.Mutex
	kept []Key
}

// Load returns the keys.
func (m *MemoryKeys) Load(context.Context) ([]Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kept), nil
}

// Save replaces the keys.
func (m *MemoryKeys) Save(_ context.Context, keys []Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = slices.Clone(keys)
	return nil
}

// ring is the keys in use.
type ring struct {
	store KeyStore
	keep  time.Duration // how long a key is published after it has signed last
	now   func() time.Time

	change sync.Mutex // held while the store is changed
	mu     sync.RWMutex
	keys   []ringKey // by From
}

type ringKey struct {
	Key
	id string
}

func openRing(ctx context.Context, cfg Config, now func() time.Time) (*ring, error) {
	r := &ring{store: cfg.Keys, keep: cfg.TokenLifetime + clockSkew, now: now}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if len(r.keys) == 0 {
		if _, err := r.add(ctx, now()); err != nil {
			return nil, err
		}
	}
	if _, err := r.current(now()); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *ring) load(ctx context.Context) error {
	keys, err := r.store.Load(ctx)
	if err != nil {
		return fmt.Errorf("issuer: loading keys: %w", err)
	}
	return r.use(keys)
}

// use checks keys and puts them in the place of the present ones.
func (r *ring) use(keys []Key) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("issuer: the store has %d keys, at most %d are used", len(keys), maxKeys)
	}
	next := make([]ringKey, 0, len(keys))
	for i, k := range keys {
		if k.Signer == nil {
			return fmt.Errorf("issuer: key %d of the store has no signer", i)
		}
		pub, ok := k.Signer.Public().(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("issuer: key %d of the store is %T, and RS256 needs RSA", i, k.Signer.Public())
		}
		if pub.N.BitLen() < minBits {
			return fmt.Errorf("issuer: key %d of the store has %d bits, fewer than %d", i, pub.N.BitLen(), minBits)
		}
		id, err := k.ID()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(next, func(o ringKey) bool { return o.id == id || o.From.Equal(k.From) }) {
			return fmt.Errorf("issuer: key %d of the store is there twice, or begins when another does", i)
		}
		next = append(next, ringKey{k, id})
	}
	slices.SortFunc(next, func(a, b ringKey) int { return a.From.Compare(b.From) })
	r.mu.Lock()
	r.keys = next
	r.mu.Unlock()
	return nil
}

// current is the key that signs at t.
func (r *ring) current(t time.Time) (ringKey, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range slices.Backward(r.keys) {
		if !k.From.After(t) {
			return k, nil
		}
	}
	return ringKey{}, errors.New("issuer: no key signs yet; the clock may be wrong")
}

// published are the keys by which valid tokens may be signed at t, now or soon.
func (r *ring) published(t time.Time) []ringKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(r.keys), func(k ringKey) bool {
		i := slices.IndexFunc(r.keys, func(o ringKey) bool { return o.id == k.id })
		return i+1 < len(r.keys) && !r.keys[i+1].From.Add(r.keep).After(t)
	})
}

// add makes a key, stores it together with those that are still needed, and only then uses it.
func (r *ring) add(ctx context.Context, from time.Time) (Key, error) {
	signer, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: making a key: %w", err)
	}
	made := Key{Signer: signer, From: from.UTC().Truncate(time.Second)}
	return made, r.replace(ctx, func(keys []Key) ([]Key, error) {
		if len(keys) >= maxKeys {
			return nil, fmt.Errorf("issuer: %d keys are in use already", len(keys))
		}
		for _, k := range keys {
			if !k.From.Before(made.From) {
				return nil, fmt.Errorf("issuer: another key begins to sign at %s, not before the new one at %s", k.From.Format(time.RFC3339), made.From.Format(time.RFC3339))
			}
		}
		return append(keys, made), nil
	})
}

// replace changes the keys that are still needed, in the store first. It begins with what is in the store, where another
// process may have put a key meanwhile.
func (r *ring) replace(ctx context.Context, change func([]Key) ([]Key, error)) error {
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.load(ctx); err != nil {
		return err
	}
	var keys []Key
	for _, k := range r.published(r.now()) {
		keys = append(keys, k.Key)
	}
	keys, err := change(keys)
	if err != nil {
		return err
	}
	if err := r.store.Save(ctx, keys); err != nil {
		return fmt.Errorf("issuer: saving keys: %w", err)
	}
	return r.use(keys)
}

// Keys returns the public keys by which tokens may be signed that are valid now: the current key, the next, and former
// ones until their last token has expired.
func (s *Issuer) Keys(context.Context) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	for _, k := range s.ring.published(s.now()) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Signer.Public(), KeyID: k.id, Algorithm: string(jose.RS256), Use: "sig"})
	}
	if len(set.Keys) == 0 {
		return set, errors.New("issuer: there are no keys")
	}
	return set, nil
}

// Rotate makes a new key, stores it, and publishes it at once; it signs after Config.RotationLead. The key before it stays
// published until its tokens have expired.
func (s *Issuer) Rotate(ctx context.Context) (Key, error) {
	k, err := s.ring.add(ctx, s.now().Add(s.cfg.RotationLead))
	if err == nil {
		id, _ := k.ID()
		s.log.InfoContext(ctx, "a new key is published", "kid", id, "signs_from", k.From)
	}
	return k, err
}

// Revoke removes a key that others may have got hold of: the tokens that it signed are no longer valid, for relying parties
// that fetch the keys anew. When it is the current key, a new one signs at once.
func (s *Issuer) Revoke(ctx context.Context, kid string) error {
	current, err := s.ring.current(s.now())
	if err != nil {
		return err
	}
	var successor []Key
	if current.id == kid {
		signer, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return fmt.Errorf("issuer: making a key: %w", err)
		}
		successor = []Key{{Signer: signer, From: current.From}}
	}
	err = s.ring.replace(ctx, func(keys []Key) ([]Key, error) {
		rest := slices.DeleteFunc(keys, func(k Key) bool {
			id, err := k.ID()
			return err == nil && id == kid
		})
		if len(rest) == len(keys) {
			return nil, fmt.Errorf("issuer: no key has the ID %.64q", kid)
		}
		return append(rest, successor...), nil
	})
	if err == nil {
		s.log.WarnContext(ctx, "a key is revoked", "kid", kid)
	}
	return err
}

// Reload reads the keys from the store again, for a process whose keys another one rotates.
func (s *Issuer) Reload(ctx context.Context) error {
	s.ring.change.Lock()
	defer s.ring.change.Unlock()
	return s.ring.load(ctx)
}
