package world

import (
	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
)

// Algorithms are those that a bundle can be made with.
var Algorithms = []algorithm.Details{
	algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.ECDSAP521SHA512,
	algorithm.Ed25519, algorithm.Ed25519ph,
	algorithm.RSAPKCS1v15x2048SHA256, algorithm.RSAPKCS1v15x3072SHA256, algorithm.RSAPKCS1v15x4096SHA256,
	algorithm.RSAPSSx2048SHA256,
}

// Specs returns the bundles that clients make in practice: every signer, content and log with P-256 keys, every
// algorithm with one of them, and the versions that only differ in form. Entries of the kind intoto/0.0.1 are not among
// them: they name no signature, so nothing can be bound to them.
func Specs() []Spec {
	var specs []Spec
	for _, signer := range []Signer{Key, Cert} {
		for _, content := range []Content{Blob, Statement, SimpleSigning} {
			for _, log := range []Logged{NoLog, LogV1SET, LogV1, LogV2} {
				for _, stamped := range []bool{false, true} {
					specs = append(specs, Spec{Signer: signer, Content: content, Log: log, Timestamp: stamped})
				}
			}
			if content != SimpleSigning {
				specs = append(specs,
					Spec{Signer: signer, Content: content, Log: LogV1, Version: bundle.V01},
					Spec{Signer: signer, Content: content, Log: LogV1, Version: bundle.V02})
			}
		}
		for _, kind := range []string{mint.IntotoV2, mint.DSSEV1} {
			specs = append(specs, Spec{Signer: signer, Content: Statement, Log: LogV1, EntryKind: kind})
		}
		specs = append(specs,
			Spec{Signer: signer, Content: Statement, Log: LogV2, EntryKind: mint.DSSEV2, Timestamp: true},
			Spec{Signer: signer, Content: Blob, Log: LogV1, EntryKind: mint.RekordV1})
		for _, details := range Algorithms {
			log := LogV2
			if details == algorithm.Ed25519 || details == algorithm.RSAPSSx2048SHA256 {
				log = LogV1 // Rekor v2 takes neither
			}
			specs = append(specs, Spec{Signer: signer, Algorithm: details, Log: log, Timestamp: true})
		}
	}
	return specs
}

// HasTime reports whether the bundle carries a time that somebody trusted vouches for. Without one a signature with a
// certificate cannot be verified.
func (s Spec) HasTime() bool { return s.Timestamp || s.Log == LogV1SET || s.Log == LogV1 }
