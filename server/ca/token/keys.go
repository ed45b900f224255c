package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/go-jose/go-jose/v4"
)

// Limits on a key set.
const (
	// maxKeys bounds a key set; providers publish two to ten.
	maxKeys = 100
	// maxTries bounds how many keys a token without key id is tried with.
	maxTries = 10
)

// keys returns the keys of the issuer that a token may have been signed with.
func (v *Verifier) keys(ctx context.Context, issuer issuerconfig.Issuer, seen *unverified) ([]jose.JSONWebKey, error) {
	if local, ok := v.local[issuer.URL]; ok {
		set, err := local.Keys(ctx)
		if err != nil {
			return nil, &Error{Kind: Unavailable, Reason: "the keys of the issuer in this server cannot be read", Cause: err}
		}
		if found := choose(set.Keys, seen); len(found) > 0 {
			return found, nil
		}
		return nil, noKey(issuer, seen, "")
	}
	set, err := v.remote.get(ctx, issuer, false)
	if err != nil {
		return nil, err
	}
	if found := choose(set.keys, seen); len(found) > 0 {
		return found, nil
	}
	// The issuer may have begun to use another key. How often it is asked is bounded there.
	again, err := v.remote.get(ctx, issuer, true)
	if err != nil {
		return nil, err
	}
	if found := choose(again.keys, seen); len(found) > 0 {
		return found, nil
	}
	return nil, noKey(issuer, seen, fmt.Sprintf(", read %s ago", v.now().Sub(again.fetched).Truncate(1e9)))
}

func noKey(issuer issuerconfig.Issuer, seen *unverified, age string) error {
	if seen.KeyID == "" {
		return invalid("the key set of %q%s has no key for algorithm %s", issuer.URL, age, seen.Algorithm)
	}
	return invalid("the key set of %q%s has no key with id %q for algorithm %s", issuer.URL, age, clip(seen.KeyID), seen.Algorithm)
}

// choose returns the keys of a set that fit the token's key id and algorithm. A token without id is tried with all of
// those that could have signed it.
func choose(keys []jose.JSONWebKey, seen *unverified) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, key := range keys {
		if seen.KeyID != "" && key.KeyID != seen.KeyID {
			continue
		}
		if key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != seen.Algorithm {
			continue
		}
		if fits(key, seen.Algorithm) && len(out) < maxTries {
			out = append(out, key)
		}
	}
	return out
}

// fits says whether a key is one for the algorithm (RFC 7518 3.1, RFC 8037 3.1) and strong enough.
func fits(key jose.JSONWebKey, alg string) bool {
	switch k := key.Key.(type) {
	case *ecdsa.PublicKey:
		bits := map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg]
		if k.Curve == nil || k.Params().BitSize != bits {
			return false
		}
	case *rsa.PublicKey:
		if !strings.HasPrefix(alg, "RS") && !strings.HasPrefix(alg, "PS") {
			return false
		}
	case ed25519.PublicKey:
		if alg != "EdDSA" || len(k) != ed25519.PublicKeySize {
			return false
		}
	default: // a shared secret, a private key, a type of the future
		return false
	}
	_, err := algorithm.Default(key.Key)
	return err == nil
}

// parseKeys reads a JWK Set (RFC 7517 5). Keys of unknown kind are skipped, as that section demands; so are broken ones:
// one bad key must not take the others with it.
func parseKeys(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set: more than %d keys", maxKeys)
	}
	var out []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil || !key.Valid() || !key.IsPublic() {
			continue
		}
		// Certificates beside the key are nobody's business here, and may be large.
		key.Certificates, key.CertificatesURL = nil, nil
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("key set: none of its %d keys can be used", len(set.Keys))
	}
	return out, nil
}
