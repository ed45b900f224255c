package issuer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/issuer"
)

func (in *instance) token() string {
	in.t.Helper()
	_, a := in.call("/dev/token", url.Values{"email": {"alice@example.com"}})
	return a["id_token"].(string)
}

func kid(t *testing.T, raw string) string {
	header, _, _ := strings.Cut(raw, ".")
	return claimsOf(t, "."+header+".")["kid"].(string)
}

func (in *instance) published() (out []string) {
	in.t.Helper()
	set, err := in.Keys(in.t.Context())
	if err != nil {
		in.t.Fatal(err)
	}
	for _, k := range set.Keys {
		if !k.IsPublic() || k.Use != "sig" || k.Algorithm != "RS256" {
			in.t.Errorf("key is published as %+v", k)
		}
		out = append(out, k.KeyID)
	}
	return out
}

// A rotation publishes first, signs later, and takes the old key away last: every token verifies all along.
func TestRotation(t *testing.T) {
	store := &issuer.MemoryKeys{}
	in := start(t, func(c *issuer.Config) { c.Keys = store })
	before := in.token()
	old := kid(t, before)
	next, err := in.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nextID, err := next.ID()
	if err != nil {
		t.Fatal(err)
	}
	if got := in.published(); !slices.Equal(got, []string{old, nextID}) {
		t.Errorf("published: %v", got)
	}
	if got := kid(t, in.token()); got != old {
		t.Error("the new key signs before anybody can know it")
	}
	if !next.From.Equal(in.clock.now().Add(time.Hour)) {
		t.Errorf("the new key signs from %s", next.From)
	}
	in.clock.advance(time.Hour - time.Second)
	last := in.token()
	in.clock.advance(time.Second)
	if got := kid(t, in.token()); got != nextID {
		t.Error("the new key does not sign")
	}
	if _, err := in.verify(last, "sigstore"); kid(t, last) != old || err != nil {
		t.Errorf("the last token of the old key: %v", err)
	}
	in.clock.advance(15*time.Minute - time.Second)
	if got := in.published(); len(got) != 2 {
		t.Errorf("the old key is gone before its tokens: %v", got)
	}
	in.clock.advance(time.Second)
	if got := in.published(); !slices.Equal(got, []string{nextID}) {
		t.Errorf("published: %v", got)
	}
	if _, err := in.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, _ := store.Load(t.Context()); len(kept) != 2 {
		t.Errorf("the store keeps %d keys, 2 are needed", len(kept))
	}
}

// Another process's rotation is taken over, and a restart finds the same keys.
func TestReload(t *testing.T) {
	store := &issuer.MemoryKeys{}
	in := start(t, func(c *issuer.Config) { c.Keys = store })
	other, err := issuer.New(t.Context(), issuer.Config{URL: in.url, Keys: store, DevelopmentLogin: true, Now: in.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(in.published()) != 1 {
		t.Error("keys appear by themselves")
	}
	if err := in.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(in.published()) != 2 {
		t.Error("the other's key is not there")
	}
}

// A rotation keeps the key that another process has stored meanwhile, and a key without a date waits for one.
func TestForeignKey(t *testing.T) {
	store := &issuer.MemoryKeys{}
	in := start(t, func(c *issuer.Config) { c.Keys = store })
	keys, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	waiting := issuer.Key{Signer: other, From: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := store.Save(t.Context(), append(keys, waiting)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Rotate(t.Context()); err == nil {
		t.Error("a key is put before one that waits")
	}
	if len(in.published()) != 2 {
		t.Error("the key that waits is not published")
	}
	in.clock.advance(time.Minute)
	waiting.From = in.clock.now()
	if err := store.Save(t.Context(), append(keys, waiting)); err != nil {
		t.Fatal(err)
	}
	in.clock.advance(time.Minute)
	if _, err := in.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, _ := waiting.ID()
	if len(in.published()) != 3 || kid(t, in.token()) != want {
		t.Errorf("published: %v", in.published())
	}
}

func TestTwoRotationsAtOnce(t *testing.T) {
	in := start(t, nil)
	if _, err := in.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Rotate(t.Context()); err == nil {
		t.Error("a second key begins when the first does")
	}
	in.clock.advance(time.Minute)
	if _, err := in.Rotate(t.Context()); err != nil {
		t.Errorf("a later one: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	in := start(t, nil)
	raw := in.token()
	if err := in.Revoke(t.Context(), "no such key"); err == nil {
		t.Error("a key that is not there is revoked")
	}
	if err := in.Revoke(t.Context(), kid(t, raw)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.verify(raw, "sigstore"); err == nil {
		t.Error("a token of the revoked key verifies")
	}
	if _, err := in.verify(in.token(), "sigstore"); err != nil {
		t.Errorf("the new key: %v", err)
	}
}

// failing is a store whose disk is full.
type failing struct{ issuer.MemoryKeys }

func (f *failing) Save(context.Context, []issuer.Key) error { return errors.New("disk full") }

// A key that is not stored is not used.
func TestUnsavedKey(t *testing.T) {
	if _, err := issuer.New(t.Context(), issuer.Config{URL: "http://localhost:1", Keys: &failing{}, DevelopmentLogin: true}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("new: %v", err)
	}
	store := &failing{}
	key, err := sharedKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.MemoryKeys.Save(t.Context(), []issuer.Key{{Signer: key}}); err != nil {
		t.Fatal(err)
	}
	in := start(t, func(c *issuer.Config) { c.Keys = store })
	if _, err := in.Rotate(t.Context()); err == nil {
		t.Error("a key that could not be stored is used")
	}
	if len(in.published()) != 1 {
		t.Error("it is published")
	}
}

// Keys that cannot be used are refused, not left out.
func TestUnusableKeys(t *testing.T) {
	good, err := sharedKey()
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, keys := range map[string][]issuer.Key{
		"no signer":  {{From: now}},
		"ECDSA":      {{Signer: ec}},
		"1024 bits":  {{Signer: weak}},
		"twice":      {{Signer: good}, {Signer: good, From: now}},
		"only later": {{Signer: good, From: now.Add(time.Hour)}},
		"seventeen":  make([]issuer.Key, 17),
	} {
		store := &issuer.MemoryKeys{}
		if err := store.Save(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		if _, err := issuer.New(t.Context(), issuer.Config{URL: "http://localhost:1", Keys: store, DevelopmentLogin: true}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
