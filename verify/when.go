package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify/reason"
)

const timestampSpec = "RFC 3161 2.3 and 2.4.2; client specification, time stamping service"

// timestamps verifies every RFC 3161 token over the signature's bytes and counts distinct authorities, never tokens. A
// token that cannot be read is a refusal. A token of an authority that the root knows and that does not verify is one too
// ("if verification or timestamp parsing fails, the verifier must abort"), unless another token verifies: bundles exist
// that carry a good token beside a foreign one. Tokens of other authorities are not counted.
func (e *evaluation) timestamps() {
	var vouching []stamper
	var facts []Fact
	var failed error
	for i, der := range e.b.Material.Timestamps {
		token, err := timestamp.Parse(der)
		if err != nil {
			e.fail(CheckTimestamp, reason.Timestamp, timestampSpec, "timestamp %d: %v", i, err)
			return
		}
		authority, result, err := e.stampedBy(token)
		switch {
		case err != nil:
			e.warn("timestamp %d was not counted: %v", i, err)
			if failed == nil {
				failed = fmt.Errorf("timestamp %d: %w", i, err)
			}
			continue
		case authority == nil:
			e.warn("timestamp %d was not counted: the trusted root does not know its authority", i)
			continue
		}
		facts = append(facts, Fact{"timestamp", fmt.Sprintf("%s by %s", stamp(result.Time), authorityName(authority))})
		e.times = append(e.times, VerifiedTime{Time: result.Time, Source: "timestamp authority", By: authorityName(authority)})
		vouching = append(vouching, stamper{authority, result.Signer})
	}
	e.countTimestamps(len(distinct(vouching, sameStamper)), failed, facts)
}

func (e *evaluation) countTimestamps(have int, failed error, facts []Fact) {
	switch need := e.policy.Timestamps; {
	case have >= need && have > 0:
		e.pass(CheckTimestamp, timestampSpec, facts...)
	case have == 0 && failed != nil:
		e.fail(CheckTimestamp, reason.Timestamp, timestampSpec, "%v", failed)
	case need == 0:
		e.notRequired(CheckTimestamp, "no timestamp of a trusted authority, and none is demanded")
	case len(e.b.Material.Timestamps) == 0:
		e.fail(CheckTimestamp, reason.NoTimestamp, timestampSpec, "there is no signed timestamp, and %d are demanded", need)
	default:
		e.fail(CheckTimestamp, reason.NoTimestamp, timestampSpec, "distinct timestamp authorities: %d demanded, %d verified", need, have)
	}
}

// stampedBy finds the authority whose token it is. No authority and no error means that the root does not know it.
func (e *evaluation) stampedBy(token *timestamp.Token) (*trust.Authority, *timestamp.Result, error) {
	if e.root == nil {
		return nil, nil, nil
	}
	var first error
	for i := range e.root.TSAs {
		a := &e.root.TSAs[i]
		for _, stamped := range e.stamped() {
			result, err := token.Verify(algorithm.Bytes(stamped), stampingAuthority(a))
			if err == nil {
				return a, result, nil
			}
			if first == nil && !errors.Is(err, timestamp.ErrOtherSigner) {
				first = err
			}
		}
	}
	return nil, nil, first
}

// stamped is what a timestamp may be over: the signature. Until version 3.1 cosign had the whole envelope of an
// attestation stamped, in which the signature lies.
func (e *evaluation) stamped() [][]byte {
	if env := e.b.Envelope; e.b.Version == bundle.Cosign && env != nil && len(env.Raw) > 0 {
		return [][]byte{e.signature, env.Raw}
	}
	return [][]byte{e.signature}
}

// stampingAuthority presents an authority of the trusted root to package timestamp.
func stampingAuthority(a *trust.Authority) timestamp.Authority {
	// The chain is not empty in a root that was decoded; an empty authority is refused by Verify.
	t, _ := timestamp.NewAuthority(a.Chain)
	t.Start, t.End, t.Linked = a.Window.Start, a.Window.End, a.Linked()
	return t
}

// time settles when the signature was made: every verified time counts, and all must suit the certificate or the key.
func (e *evaluation) time() {
	const spec = "client specification, establishing a time for the signature"
	facts := make([]Fact, 0, len(e.times)+1)
	for _, t := range e.times {
		if t.Time.After(e.req.Now.Add(clockSkew)) {
			e.fail(CheckTime, reason.NoTime, spec, "the %s %s vouches for %s, which is in the future (it is %s here)", t.Source, t.By, stamp(t.Time), stamp(e.req.Now))
			return
		}
		facts = append(facts, Fact{t.Source, stamp(t.Time)})
	}
	switch {
	case len(e.times) > 0:
		e.pass(CheckTime, spec, facts...)
	case e.leaf == nil:
		e.notRequired(CheckTime, "nothing trusted says when the key signed, and no time is demanded of a key")
	case e.policy.CurrentTime:
		e.times = append(e.times, VerifiedTime{Time: e.req.Now, Source: presentTime, By: "this computer's clock"})
		e.notRequired(CheckTime, "nothing trusted says when the certificate was used; the present time stands in", Fact{"current time", stamp(e.req.Now)})
	default:
		e.fail(CheckTime, reason.NoTime, spec, "nothing trusted says when the certificate was used: a signed timestamp is needed, or a v1 log entry with a signed entry timestamp")
		return
	}
	e.out.Times = e.times
}

// presentTime is the source of a time that is the present, because the policy lets it stand in.
const presentTime = "current time"

// clockSkew is how far a verified time may lie ahead of this computer's clock before it is taken for a forgery rather
// than for a clock that is slow.
const clockSkew = 10 * time.Minute

// keyValidity holds a key's window against every verified time, or against the present where there is none. Windows are
// inclusive at both ends.
func (e *evaluation) keyValidity() {
	const spec = "trusted root, PublicKey.valid_for"
	if e.key == nil {
		e.notRequired(CheckKeyValidity, "signed with a certificate")
		return
	}
	if e.key.Window.Start.IsZero() && e.key.Window.End.IsZero() {
		e.notRequired(CheckKeyValidity, "the key has no validity window")
		return
	}
	if len(e.times) == 0 {
		e.keyAt(e.req.Now, "now", spec)
		return
	}
	for _, t := range e.times {
		if !e.key.Window.Contains(t.Time) {
			e.keyAt(t.Time, "at "+stamp(t.Time), spec)
			return
		}
	}
	e.pass(CheckKeyValidity, spec)
}

func (e *evaluation) keyAt(t time.Time, when, spec string) {
	if e.key.Window.Contains(t) {
		e.pass(CheckKeyValidity, spec, Fact{"valid", when})
		return
	}
	e.fail(CheckKeyValidity, reason.KeyTime, spec, "the key %s is not valid %s (its window is %s)", e.key.Name, when, window(e.key.Window))
}
