// Package founding makes what a deployment starts from, its first keys, certificates and history, and later every new
// instance of a service that a rotation needs.
package founding

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/internal/authority"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// Role is what a key is for. A deployment has one of each.
type Role string

// The roles. The ones ending in Root, and TUFTargets, are used to found and to rotate only, and may be kept offline.
const (
	CAKey      Role = "ca"
	CARoot     Role = "ca-root"
	CTLogKey   Role = "ctlog"
	LogKey     Role = "log"
	TSAKey     Role = "tsa"
	TSARoot    Role = "tsa-root"
	IssuerKey  Role = "issuer"
	TUFRoot    Role = "tuf-root"
	TUFTargets Role = "tuf-targets"
	TUFKey     Role = "tuf" // online: snapshot and timestamp
)

// Roles returns all roles.
func Roles() []Role {
	return []Role{CARoot, CAKey, CTLogKey, LogKey, TSARoot, TSAKey, IssuerKey, TUFRoot, TUFTargets, TUFKey}
}

// algorithms are what keys are made for: the ones that every client of Sigstore understands in that place. cosign takes a
// token on its command line only if it is signed with RS256.
var algorithms = map[Role]string{
	CARoot: "ecdsa-sha2-384-nistp384", CAKey: "ecdsa-sha2-256-nistp256",
	CTLogKey: "ecdsa-sha2-256-nistp256", LogKey: "ed25519",
	TSARoot: "ecdsa-sha2-256-nistp256", TSAKey: "ecdsa-sha2-256-nistp256",
	IssuerKey: "rsa-sign-pkcs1-2048-sha256",
	TUFRoot:   "ecdsa-sha2-256-nistp256", TUFTargets: "ecdsa-sha2-256-nistp256", TUFKey: "ecdsa-sha2-256-nistp256",
}

// Founder makes instances.
type Founder struct {
	Ring *keyring.Keyring
	// Keys are references of keys that exist already, by role; the others are made as encrypted files.
	Keys map[Role]string
	// Chains are chains in PEM that somebody else signed for the key of the next instance, by kind (see [Founder.Request]);
	// the others are made below roots of the deployment's own.
	Chains map[state.Kind]string
	// URLs are the addresses of services that are not below the deployment's own address.
	URLs map[state.Kind]string
	// Provider is the address of an identity provider that stands in the place of an issuer of the deployment's own; empty:
	// there is none.
	Provider string
	Now      func() time.Time
}

// Found makes the first history of a deployment that is reached at address. name is the organisation in certificates.
func (f *Founder) Found(ctx context.Context, name, address string) (*state.History, error) {
	if name == "" {
		return nil, errors.New("the deployment has no name")
	}
	if err := CheckURL(address); err != nil {
		return nil, err
	}
	h := &state.History{Name: name, URL: address, Created: state.Stamp(f.Now()), Instances: make(map[state.Kind][]state.Instance)}
	kinds := state.Kinds()
	slices.SortStableFunc(kinds, func(a, b state.Kind) int { // what may be wrong from outside comes before keys are made
		return cmp.Compare(f.Chains[b], f.Chains[a])
	})
	for _, kind := range kinds {
		in, err := f.Instance(ctx, h, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		in.Phase = state.Active
		h.Instances[kind] = []state.Instance{in}
	}
	for role, refs := range map[Role]*[]state.KeyRef{TUFRoot: &h.TUFKeys.Root, TUFTargets: &h.TUFKeys.Targets} {
		key, err := f.TUFKey(ctx, role, h.Active(state.TUF).Name)
		if err != nil {
			return nil, err
		}
		*refs = []state.KeyRef{key}
	}
	return h, nil
}

// TUFKey returns the key that was given for a role of the TUF repository, or makes one of that name.
func (f *Founder) TUFKey(ctx context.Context, role Role, name string) (state.KeyRef, error) {
	ref, key, err := f.key(ctx, role, name)
	if err != nil {
		return state.KeyRef{}, fmt.Errorf("%s: %w", role, err)
	}
	public, err := state.EncodePublic(key.Public())
	if err != nil {
		return state.KeyRef{}, fmt.Errorf("%s: %w", role, err)
	}
	return state.KeyRef{Key: ref, Public: public}, nil
}

// CheckURL says what is wrong with a deployment's public address: clients put paths after it, and some drop a path of its
// own.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("the public address: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("the public address %q is not https://HOST or http://HOST:PORT", address)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("the public address %q has more than a host and a port: clients expect the services at the root of their host", address)
	}
	return nil
}

// CheckProvider says what is wrong with the address of an identity provider. It is compared with what tokens say, to the
// letter, so that a slash at its end counts (OpenID Connect Core, 2, iss).
func CheckProvider(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("the identity provider: %w", err)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("the identity provider %q is not https://HOST, with a path or without", address)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("the identity provider %q is reached by plain HTTP: who is on the way could give out identities", address)
	}
	return nil
}

// Instance makes a new instance of a kind, in the phase Next, with its key on the disk. It does not add it to the history.
// Where the active instance has a chain, the new one is put under the same root.
func (f *Founder) Instance(ctx context.Context, h *state.History, kind state.Kind) (state.Instance, error) {
	now := f.Now()
	in := state.Instance{Name: h.NextName(kind, now), Phase: state.Next, Start: state.Stamp(now.Add(-authority.Backdate))}
	if all := h.Instances[kind]; len(all) > 0 && in.Start.Before(all[len(all)-1].Start) {
		in.Start = all[len(all)-1].Start // rotated twice within the time that starts are dated back by
	}
	ref, key, err := f.key(ctx, Role(kind), in.Name)
	if err != nil {
		return in, err
	}
	in.Key = ref
	if in.Public, err = state.EncodePublic(key.Public()); err != nil {
		return in, err
	}
	if err := f.address(&in, h, kind); err != nil {
		return in, err
	}
	if kind == state.CA || kind == state.TSA {
		err = f.chain(ctx, &in, h, kind)
	}
	return in, err
}

// Request makes the key of the next instance of a kind, which is the CA or the TSA, and returns its reference and a
// certificate signing request for it. The instance takes the key when it is made, if its chain is in Chains.
func (f *Founder) Request(ctx context.Context, h *state.History, kind state.Kind) (ref, request string, err error) {
	below := authority.Signing()
	switch kind {
	case state.CA:
	case state.TSA:
		below = authority.Stamping()
	default:
		return "", "", fmt.Errorf("%s has no certificate: it is ca or tsa", kind)
	}
	ref, key, err := f.key(ctx, Role(kind), h.NextName(kind, f.Now()))
	if err != nil {
		return "", "", err
	}
	request, err = authority.Request(below, h.Name, key)
	return ref, request, err
}

// key opens the key that was given for a role, or makes one.
func (f *Founder) key(ctx context.Context, role Role, name string) (string, crypto.Signer, error) {
	if ref := f.Keys[role]; ref != "" {
		key, err := f.Ring.Open(ctx, ref)
		return ref, key, err
	}
	return f.Ring.Make(ctx, string(role)+"-"+name, algorithms[role])
}

// address fills in where the instance is reached, and what a log signs under.
func (f *Founder) address(in *state.Instance, h *state.History, kind state.Kind) error {
	if kind == state.Issuer && f.Provider != "" {
		in.URL, in.External = f.Provider, true
		return CheckProvider(f.Provider)
	}
	base := h.URL
	if active := h.Active(kind); active != nil {
		base = strings.TrimSuffix(active.URL, suffix(kind, active.Name))
	}
	if given := f.URLs[kind]; given != "" {
		if err := CheckURL(given); err != nil {
			return err
		}
		base = given
	}
	in.URL = base + suffix(kind, in.Name)
	if kind == state.Log {
		u, err := url.Parse(in.URL)
		if err != nil {
			return err
		}
		in.Origin = u.Hostname() // what clients take for the name in checkpoints: no port, no path
	}
	return nil
}

// suffix is the path of a kind of service below its host, as trusted root and signing config name it. The address of a
// timestamp authority is the whole endpoint.
func suffix(kind state.Kind, name string) string {
	switch kind {
	case state.CTLog:
		return "/ct/" + name
	case state.TSA:
		return "/api/v1/timestamp"
	case state.Issuer:
		return "/oidc"
	case state.TUF:
		return "/tuf"
	}
	return ""
}

// chain makes the certificates of an authority, below the active instance's root if there is one and its key is at hand.
func (f *Founder) chain(ctx context.Context, in *state.Instance, h *state.History, kind state.Kind) error {
	rootRole, build, below := CARoot, authority.CA, authority.Signing()
	if kind == state.TSA {
		rootRole, build, below = TSARoot, authority.TSA, authority.Stamping()
	}
	public, err := in.PublicKey()
	if err != nil {
		return err
	}
	if given := f.Chains[kind]; given != "" {
		if f.Keys[rootRole] != "" {
			return fmt.Errorf("there is a chain, which has its root, and a key for %s: give one of them", rootRole)
		}
		if in.Chain, err = authority.Accept(below, given, public, f.Now()); err != nil {
			return fmt.Errorf("the chain for the key %s: %w", in.Key, err)
		}
		return nil
	}
	spec := authority.Spec{Organization: h.Name, Key: public, Now: f.Now()}
	if active := h.Active(kind); active != nil && f.Keys[rootRole] == "" {
		if spec.Existing, err = anchor(active); err != nil {
			return err
		}
		if in.Anchor = active.Anchor; in.Anchor == "" {
			return fmt.Errorf("the root %q is somebody else's: have a new chain signed (\"bulla-server csr %s\"), and give it with --chain", spec.Existing.Subject, kind)
		}
		if !f.Ring.Exists(in.Anchor) {
			return fmt.Errorf("the key of the root %q, %s, is not there: put it back for the rotation, or name another root's key with --key %s=REFERENCE",
				spec.Existing.Subject, in.Anchor, rootRole)
		}
		if spec.Root, err = f.Ring.Open(ctx, in.Anchor); err != nil {
			return err
		}
	} else if in.Anchor, spec.Root, err = f.key(ctx, rootRole, in.Name); err != nil {
		return err
	}
	in.Chain, err = build(spec)
	return err
}

func anchor(in *state.Instance) (*x509.Certificate, error) {
	chain, err := in.Certificates()
	if err != nil {
		return nil, err
	}
	if len(chain) < 2 {
		return nil, fmt.Errorf("instance %s has a chain of %d certificates", in.Name, len(chain))
	}
	return chain[len(chain)-1], nil
}

// ParseKey reads ROLE=REFERENCE, as command lines name keys.
func ParseKey(s string) (Role, string, error) {
	role, ref, ok := strings.Cut(s, "=")
	if !ok || ref == "" || !slices.Contains(Roles(), Role(role)) {
		return "", "", fmt.Errorf("%q is not ROLE=REFERENCE with a role of %v", s, Roles())
	}
	return Role(role), ref, nil
}
