package verify

import (
	"crypto"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// HashNeed is one digest that a verification may ask of the artifact: Hash over Prefix followed by the artifact.
type HashNeed struct {
	Hash   crypto.Hash
	Prefix []byte
}

// Needs lists every digest that verifying these candidates under this policy may ask of the artifact, so that a stream
// can be hashed in a single pass. SHA-256 is always the first. Candidates that cannot be decoded, or that
// [Verify] does not look into, need nothing.
func Needs(candidates []Candidate, p *Policy) []HashNeed {
	needs := []HashNeed{{Hash: crypto.SHA256}}
	add := func(h crypto.Hash, prefix []byte) {
		if h == 0 || !h.Available() {
			return
		}
		for _, have := range needs {
			if have.Hash == h && string(have.Prefix) == string(prefix) {
				return
			}
		}
		needs = append(needs, HashNeed{Hash: h, Prefix: prefix})
	}
	for i := range candidates[:min(len(candidates), MaxCandidates)] {
		b := candidates[i].Bundle
		if b != nil && b.Validate(bundle.ValidateOptions{AllowCertificateChain: p.AllowCertificateChain}) == nil {
			needsOf(b, p, add)
		}
	}
	return needs
}

// needsOf asks for what one bundle may need. What it asks too much costs time, never safety.
func needsOf(b *bundle.Bundle, p *Policy, add func(crypto.Hash, []byte)) {
	if b.Envelope != nil {
		if st, err := bundle.ParseStatement(b.Envelope.Payload); err == nil {
			for i := range st.Subjects {
				for name := range st.Subjects[i].Digests {
					if h, ok := algorithm.Hash(name); ok {
						add(h, nil)
					}
				}
			}
		}
		return
	}
	if b.Message == nil || b.Message.Payload != nil {
		return // a simple-signing document names the image by SHA-256
	}
	add(b.Message.Hash, nil)
	for i := range b.Material.Entries {
		if body, err := tlog.ParseBody(b.Material.Entries[i].Body); err == nil {
			for _, d := range body.Digests {
				add(d.Hash, nil)
			}
		}
	}
	for _, k := range signingKeys(b, p) {
		if p.Hash != 0 {
			add(p.Hash, nil)
		}
		algs := algorithm.Alternatives(k.Public)
		if a, err := algorithm.ForDetails(k.Details); err == nil {
			algs = append(algs, a)
		}
		for _, a := range algs {
			add(a.DigestNeeded(k.Public, b.Message.Signature))
		}
	}
}

// signingKeys lists the keys that may have made the bundle's signature.
func signingKeys(b *bundle.Bundle, p *Policy) []trust.Key {
	keys := p.Keys
	if len(b.Material.Certificates) > 0 {
		if leaf, err := identity.ParseCertificate(b.Material.Certificates[0]); err == nil {
			keys = append(keys[:len(keys):len(keys)], trust.Key{Public: leaf.X509.PublicKey})
		}
	}
	return keys
}
