package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"slices"

	"github.com/bulla-sign/bulla/trust"
)

// distinct sorts items into parties and returns the index of the first item of each. Two items are one party when same
// says so, or when a chain of such items links them: a party with two keys and two names does not become two by showing
// one at a time. Every threshold counts with it, so that none counts entries, tokens, certificates or names instead.
func distinct[T any](items []T, same func(a, b T) bool) []int {
	party := make([]int, len(items)) // of each item, the index of its party's first item
	for i := range items {
		party[i] = i
		for j := range i {
			if party[j] == party[i] || !same(items[i], items[j]) {
				continue
			}
			from, to := max(party[i], party[j]), min(party[i], party[j])
			for k := range i + 1 {
				if party[k] == from {
					party[k] = to
				}
			}
		}
	}
	var first []int
	for i, p := range party {
		if p == i {
			first = append(first, i)
		}
	}
	return first
}

// sameLog says whether two logs of the trusted root are one: the same key, whatever the root calls it, or the same
// address, whatever key it signs with.
func sameLog(a, b *trust.Log) bool {
	return a == b || bytes.Equal(a.ID, b.ID) || (a.BaseURL != "" && a.BaseURL == b.BaseURL) || sameKey(a.Key, b.Key)
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// stamper is an authority that vouched, and the certificate that it signed with.
type stamper struct {
	authority *trust.Authority
	signer    *x509.Certificate
}

// sameStamper says whether two tokens are of one party: the same operator, address, signing key or issuing key.
func sameStamper(a, b stamper) bool {
	x, y := a.authority, b.authority
	return x == y || (x.URI != "" && x.URI == y.URI) || (x.Operator != "" && x.Operator == y.Operator) ||
		sameKey(a.signer.PublicKey, b.signer.PublicKey) || sameKey(x.Chain[0].PublicKey, y.Chain[0].PublicKey)
}

// sameSigner says whether two signatures are of one principal: the same key, be it under two names or once bare and once
// certified, or a name that the same issuer certified both times.
func sameSigner(a, b *Signer) bool {
	if a.Principal == b.Principal || a.KeySHA256 == b.KeySHA256 {
		return true
	}
	return a.Issuer == b.Issuer && slices.ContainsFunc(a.Subjects, func(s string) bool { return slices.Contains(b.Subjects, s) })
}
