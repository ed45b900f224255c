package verify_test

import (
	"bytes"
	"crypto/x509"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/test/splice"
	"github.com/bulla-sign/bulla/verify"
)

// unsignedField is a field that may be changed, in some bundles, without changing the verdict.
type unsignedField struct {
	field string
	why   string
	// when limits the exception; nil: always.
	when func(a *evidence, sp splice.Spliced) bool
	// mask removes from a report what repeats the field; nil: the report must be the same.
	mask func(r *verify.Report)
	// rare says that only the pairs of a long run need it.
	rare bool
}

// unsignedFields is the whole list. Whatever is not here is refused.
var unsignedFields = []unsignedField{
	{field: "MediaType", why: "the spelling of the format's name; decoding takes the version from it", mask: maskFormat},
	{field: "Version", why: "says which rules of form hold; whichever is claimed, its rules are applied and all checks are the same", mask: maskFormat},
	{field: "Material.KeyHint", why: "orders the trial of the policy's keys and selects nothing"},
	{
		field: "Material.NoKey", why: "says that a hint is missing, which selects nothing where it is there", rare: true,
		when: func(_ *evidence, sp splice.Spliced) bool { return sp.Bundle.Material.KeyHint != nil },
	},
	{field: "Material.Chain", why: "the spelling of the certificate; v0.3 refuses the chain unless the policy allows it"},
	{field: "Material.Certificates", why: "certificates after the first are not used up to v0.2, and elsewhere only help to find a path", when: sameLeaf},
	{field: "Material.Certificates[]", why: "a certificate after the first is not used up to v0.2, and elsewhere only helps to find a path", when: sameLeaf},
	{field: "Material.Certificates[]", why: "without a log entry nothing ties a signature to one of two certificates of one key and identity", when: sameHolder, mask: maskCertificate},
	{field: "Material.SCT", why: "of no use to a key", when: func(a *evidence, _ splice.Spliced) bool { return len(a.bundle.Material.Certificates) == 0 }},
	{field: "Material.SCT", why: "less evidence, where the embedded timestamp suffices", mask: maskSCT, when: func(a *evidence, sp splice.Spliced) bool {
		return len(sp.Bundle.Material.SCT) == 0 && !a.spec.NoSCT
	}},
	{
		field: "Material.Timestamps", why: "tokens that do not verify are named and not counted beside enough that do", mask: maskWarnings,
		when: func(_ *evidence, sp splice.Spliced) bool { return sp.Kind == splice.Added },
	},
	{field: "Material.Entries[].IntegratedTime", why: "not looked at without a signed entry timestamp, which is what vouches for it", when: noPromise},
	{field: "Material.Entries[].LogIndex", why: "the index over all shards of a v1 log; the proof's index is what the proof is about", when: noPromise, mask: maskIndex},
	{
		field: "Material.Entries[].Promise", why: "less evidence: the inclusion proof still vouches for the entry, and something else for the time if one is needed", mask: maskProof,
		when: func(_ *evidence, sp splice.Spliced) bool { return noPromise(nil, sp) },
	},
	{
		field: "Material.Entries[].Proof", why: "less evidence: the signed entry timestamp still vouches for the entry", mask: maskProof,
		when: func(_ *evidence, sp splice.Spliced) bool {
			v := sp.Bundle.Version
			return sp.Bundle.Material.Entries[0].Proof == nil && (v == bundle.V01 || v == bundle.Cosign)
		},
	},
	{field: "Message.Signature", why: "another signature of the same signer over the same artifact, where nothing else is of one of them", when: onlySignature},
	{field: "Envelope.Signatures[].Sig", why: "another signature of the same signer over the same statement, where nothing else is of one of them", when: onlySignature},
	{field: "Envelope.Signatures[].KeyID", why: "unauthenticated by DSSE; keys come from the policy"},
	{field: "Envelope.Raw", why: "looked at only for intoto/0.0.1 entries, and then by hash", when: func(a *evidence, _ splice.Spliced) bool {
		return a.spec.EntryKind != "intoto/0.0.1"
	}},
}

// exception returns the rule under which a field may differ, or nil.
func exception(field string, a *evidence, sp splice.Spliced) *unsignedField {
	for i := range unsignedFields {
		if f := &unsignedFields[i]; f.field == field && (f.when == nil || f.when(a, sp)) {
			return f
		}
	}
	return nil
}

func sameLeaf(a *evidence, sp splice.Spliced) bool {
	was, is := a.bundle.Material.Certificates, sp.Bundle.Material.Certificates
	return len(was) > 0 && len(is) > 0 && bytes.Equal(was[0], is[0])
}

// sameHolder says that the certificate was changed for another of the same key, and that no log entry names it.
func sameHolder(a *evidence, sp splice.Spliced) bool {
	was, err1 := x509.ParseCertificate(a.bundle.Material.Certificates[0])
	is, err2 := x509.ParseCertificate(sp.Bundle.Material.Certificates[0])
	return err1 == nil && err2 == nil && len(a.bundle.Material.Entries) == 0 &&
		bytes.Equal(was.RawSubjectPublicKeyInfo, is.RawSubjectPublicKeyInfo)
}

// noPromise says that some entry of a v1 log comes without a signed entry timestamp, or any of a v2 log.
func noPromise(_ *evidence, sp splice.Spliced) bool {
	for i := range sp.Bundle.Material.Entries {
		if e := &sp.Bundle.Material.Entries[i]; len(e.Promise) == 0 && e.Proof != nil {
			return true
		}
	}
	return false
}

func onlySignature(a *evidence, _ splice.Spliced) bool {
	return len(a.bundle.Material.Entries) == 0 && len(a.bundle.Material.Timestamps) == 0
}

func maskFormat(r *verify.Report) {
	for i := range r.Candidates {
		r.Candidates[i].Format = ""
	}
	maskFacts(r, verify.CheckStructure)
}

func maskFacts(r *verify.Report, names ...verify.CheckName) {
	for i := range r.Candidates {
		for j := range r.Candidates[i].Checks {
			for _, name := range names {
				if c := &r.Candidates[i].Checks[j]; c.Name == name {
					c.Facts = nil
				}
			}
		}
	}
}

func maskCertificate(r *verify.Report) { maskFacts(r, verify.CheckPath, verify.CheckSCT) }
func maskSCT(r *verify.Report)         { maskFacts(r, verify.CheckSCT) }
func maskWarnings(r *verify.Report)    { r.Candidates[0].Warnings = nil }

func maskIndex(r *verify.Report) {
	maskFacts(r, verify.CheckLog)
	for i := range r.Candidates[0].Logs {
		r.Candidates[0].Logs[i].Index = 0
	}
}

// maskProof removes what less evidence for an entry makes shorter: how it is proved, and the time of its timestamp.
func maskProof(r *verify.Report) {
	c := &r.Candidates[0]
	for i := range c.Logs {
		c.Logs[i].Proof = ""
	}
	c.Times = nil
	for i := range c.Checks {
		if c.Checks[i].Name == verify.CheckTime {
			c.Checks[i] = verify.Check{}
		}
	}
}
