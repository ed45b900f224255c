package verify

import (
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/verify/reason"
)

// identity checks the signer against the policy: one of its identities for a certificate, one of its keys otherwise.
func (e *evaluation) identity() {
	const spec = "client specification, certificate identity policy"
	if e.key != nil {
		// The key was chosen from the policy's own; its signature is what proves it.
		if e.out.outcome(CheckSignature) != Passed {
			e.out.Checks = append(e.out.Checks, Check{Name: CheckIdentity, Outcome: NotReached, Reason: "only its signature proves a key"})
			return
		}
		e.pass(CheckIdentity, spec, Fact{"key", e.key.Name})
		return
	}
	if e.policy.AnyIdentityUnsafe {
		e.pass(CheckIdentity, spec, Fact{"identity", "any accepted"})
		return
	}
	var nearest string
	best := -1
	for _, m := range e.policy.Identities {
		got := m.Match(e.leaf)
		if got.OK {
			for _, note := range got.Notes {
				e.warn("%s", note)
			}
			e.pass(CheckIdentity, spec, Fact{"subject", got.SAN.Value}, Fact{"issuer", e.leaf.Issuer})
			return
		}
		if best < 0 || got.Score > best {
			best = got.Score
			var misses []string
			for _, miss := range got.Misses {
				misses = append(misses, fmt.Sprintf("%s is %q, demanded is %s", miss.Field, miss.Got, miss.Want))
			}
			nearest = strings.Join(misses, "; ")
		}
	}
	e.fail(CheckIdentity, reason.Identity, spec, "the signer is somebody else: %s", nearest)
}
