package verify

import (
	"fmt"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify/reason"
)

// certificateTransparency checks the signed certificate timestamps: the embedded ones, and the detached one of cosign's
// older formats. One of a log that the root knows must verify, or the candidate is refused; those of others are not
// counted. Distinct logs are counted.
func (e *evaluation) certificateTransparency() {
	const spec = "RFC 6962 3.2 and 3.3; client specification, certificate"
	need := e.policy.scts()
	switch {
	case e.leaf == nil:
		e.notRequired(CheckSCT, "signed with a key")
		return
	case e.issuer == nil:
		e.out.Checks = append(e.out.Checks, Check{Name: CheckSCT, Outcome: NotReached, Reason: "the certificate's issuer is not known"})
		return
	}
	embedded, err := e.leaf.EmbeddedSCTs()
	if err != nil {
		e.fail(CheckSCT, reason.SCT, spec, "%v", err)
		return
	}
	var vouching []*trust.Log
	var facts []Fact
	check := func(s identity.SCT, verify func(log *trust.Log) (time.Time, error)) error {
		log, at, err := e.sctBy(s, verify)
		if log != nil && !slices.Contains(vouching, log) {
			vouching = append(vouching, log)
			facts = append(facts, Fact{"certificate log", log.BaseURL + " at " + stamp(at)})
		}
		return err
	}
	for _, s := range embedded {
		if err := check(s, func(l *trust.Log) (time.Time, error) { return e.leaf.VerifyEmbeddedSCT(s, e.issuer, l.Key) }); err != nil {
			e.fail(CheckSCT, reason.SCT, spec, "%v", err)
			return
		}
	}
	if raw := e.b.Material.SCT; len(raw) > 0 {
		s, err := identity.ParseSCT(raw)
		if err == nil {
			err = check(s, func(l *trust.Log) (time.Time, error) { return e.leaf.VerifyDetachedSCT(s, l.Key) })
		}
		if err != nil {
			e.fail(CheckSCT, reason.SCT, spec, "detached: %v", err)
			return
		}
	}
	switch have := len(distinct(vouching, sameLog)); {
	case have >= need && have > 0:
		e.pass(CheckSCT, spec, facts...)
	case need == 0:
		e.notRequired(CheckSCT, "no timestamp of a trusted certificate log, and the policy demands none")
	default:
		e.fail(CheckSCT, reason.NoSCT, spec, "trusted certificate transparency logs: %d demanded, %d verified (the certificate carries %d timestamps)", need, have, len(embedded))
	}
}

// sctBy finds the log that a certificate timestamp is of and verifies it. No log and no error means that the root does
// not know it.
func (e *evaluation) sctBy(s identity.SCT, verify func(log *trust.Log) (time.Time, error)) (*trust.Log, time.Time, error) {
	var first error
	for i := range e.root.CTLogs {
		log := &e.root.CTLogs[i]
		if string(log.ID) != string(s.LogID[:]) {
			continue
		}
		at, err := verifySCT(log, verify)
		if err == nil {
			return log, at, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, time.Time{}, first
}

func verifySCT(log *trust.Log, verify func(log *trust.Log) (time.Time, error)) (time.Time, error) {
	if err := log.Usable(); err != nil {
		return time.Time{}, fmt.Errorf("the key of certificate log %s cannot be used: %s", log.BaseURL, err)
	}
	at, err := verify(log)
	if err != nil {
		return time.Time{}, err
	}
	if !log.Window.Contains(at) {
		return time.Time{}, fmt.Errorf("a timestamp of %s, when the key of certificate log %s was not valid", stamp(at), log.BaseURL)
	}
	return at, nil
}
