package log

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/tlog"
)

// about is what an entry is about, as far as it can be searched for.
type about struct {
	Kind, Version string
	Digest        string // "sha256:…"
	Identities    []identity.SAN
	Issuer        string
	KeyID         string // "sha256:…" of the public key in PKIX DER
}

// maxIdentities bounds how many names of a certificate are indexed: whoever sends a certificate with thousands fills the
// index for everybody.
const maxIdentities = 16

// describe reads an entry's body. What cannot be read is left empty: the log holds it all the same.
func describe(body []byte) about {
	b, err := tlog.ParseBody(body)
	if err != nil {
		return about{}
	}
	a := about{Kind: b.Kind, Version: b.Version}
	if len(b.Digests) > 0 {
		a.digest(b.Digests[0])
	}
	if len(b.Signatures) == 0 {
		return a
	}
	key := b.Signatures[0].PublicKey
	var cert *x509.Certificate
	if der := b.Signatures[0].Certificate; der != nil {
		if cert, err = x509.ParseCertificate(der); err != nil {
			return a
		}
	}
	a.signer(cert, key)
	return a
}

func (a *about) digest(d tlog.Digest) {
	a.Digest = algorithm.HashName(d.Hash) + ":" + hex.EncodeToString(d.Sum)
}

// signer fills in what the certificate says, or else the key alone in PKIX DER.
func (a *about) signer(cert *x509.Certificate, key []byte) {
	if cert != nil {
		read, err := identity.FromX509(cert)
		if err != nil {
			return
		}
		a.Identities, a.Issuer = read.SANs[:min(len(read.SANs), maxIdentities)], read.Issuer
		key = cert.RawSubjectPublicKeyInfo
	}
	sum := sha256.Sum256(key)
	a.KeyID = "sha256:" + hex.EncodeToString(sum[:])
}

// terms are the keys of the index. They begin with the query's parameter, so that none can pass for another.
func (a about) terms() []string {
	var terms []string
	if a.Digest != "" {
		terms = append(terms, term("digest", a.Digest))
	}
	if a.KeyID != "" {
		terms = append(terms, term("publicKey", a.KeyID))
	}
	for _, san := range a.Identities {
		terms = append(terms, term("subject", san.Value))
		if san.Kind == identity.Email {
			terms = append(terms, term("email", san.Value))
		}
	}
	return terms
}

// term forms a key. E-mail addresses are looked for without regard to case.
func term(parameter, value string) string {
	if parameter == "email" {
		value = strings.ToLower(value)
	}
	return parameter + "\x00" + value
}
