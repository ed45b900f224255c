package verify

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/verify/reason"
)

// algorithms lists what a signature of this key may be, in the order of trial: what the trust material or a verified log
// entry states; else what the user says; else the key's default in the registry followed by the listed alternatives. The
// untrusted bundle has no say. hash narrows the last list to what a verified log entry says was hashed.
func algorithms(p *Policy, pub crypto.PublicKey, stated algorithm.Details, hash crypto.Hash) ([]algorithm.Algorithm, error) {
	if stated != algorithm.Unspecified {
		a, err := algorithm.ForDetails(stated)
		if err != nil {
			return nil, err
		}
		return []algorithm.Algorithm{a}, a.CheckKey(pub)
	}
	if p.Hash != 0 {
		a, err := algorithm.WithHash(pub, p.Hash)
		if err != nil {
			return nil, err
		}
		return []algorithm.Algorithm{a}, nil
	}
	algs := algorithm.Alternatives(pub)
	if hash != 0 {
		algs = slices.DeleteFunc(slices.Clone(algs), func(a algorithm.Algorithm) bool { return a.Hash() != hash })
	}
	if len(algs) == 0 {
		return nil, errors.New("no signature algorithm of this key is accepted")
	}
	return algs, algs[0].CheckKey(pub)
}

// firstThatVerifies tries the algorithms in order.
func firstThatVerifies(algs []algorithm.Algorithm, pub crypto.PublicKey, m algorithm.Message, sig []byte) (algorithm.Algorithm, error) {
	var first error
	for _, a := range algs {
		err := a.Verify(pub, m, sig)
		if err == nil {
			return a, nil
		}
		// A digest that cannot be had outranks a mismatch: the signature may be good and could not be checked.
		if first == nil || (errors.Is(err, algorithm.ErrDigestUnavailable) && !errors.Is(first, algorithm.ErrDigestUnavailable)) {
			first = err
		}
	}
	return algorithm.Algorithm{}, first
}

// verifySignature checks the signature over the artifact, the payload or the DSSE pre-authentication encoding.
func (e *evaluation) verifySignature() {
	spec := "client specification, signature verification"
	if e.pae != nil {
		spec = "DSSE 1.0, signature over the pre-authentication encoding"
	}
	stated := e.stated
	if e.key != nil && e.key.Details != algorithm.Unspecified {
		stated = e.key.Details
	}
	algs, err := algorithms(e.policy, e.pub, stated, e.hash)
	if err != nil {
		e.fail(CheckSignature, reason.UnsupportedKey, spec, "%v", err)
		return
	}
	used, err := firstThatVerifies(algs, e.pub, e.message, e.signature)
	switch {
	case errors.Is(err, algorithm.ErrDigestUnavailable):
		e.fail(CheckSignature, reason.DigestUnknown, spec, "%v; give the artifact itself instead of a digest", err)
		return
	case err != nil && !errors.Is(err, algorithm.ErrSignature):
		e.fail(CheckSignature, reason.Signature, spec, "reading the artifact: %v", err)
		return
	case err != nil:
		e.fail(CheckSignature, reason.Signature, spec, "the signature is not one of this %s over %s (tried %s)", e.holder(), e.over(), names(algs))
		return
	}
	e.out.Algorithm = used.Name()
	e.pass(CheckSignature, spec, Fact{"algorithm", used.Name()}, Fact{"over", e.over()})
	// Plain Ed25519 is what signers of this key write, for cosign reads nothing else; nobody need be warned of it.
	if len(algs) > 1 && used != algs[0] && used.Details() != algorithm.Ed25519 {
		e.warn("the signature algorithm is %s, not the key's default %s", used.Name(), algs[0].Name())
	}
}

func (e *evaluation) holder() string {
	if e.leaf != nil {
		return "certificate's key"
	}
	return "key"
}

// over words what the signature is over.
func (e *evaluation) over() string {
	switch {
	case e.pae != nil:
		return "the statement in the envelope"
	case e.b.Message.Payload != nil:
		return "the simple-signing payload"
	}
	return "the artifact"
}

func names(algs []algorithm.Algorithm) string {
	out := make([]string, len(algs))
	for i, a := range algs {
		out[i] = a.Name()
	}
	return strings.Join(out, ", ")
}

func describeDigest(h crypto.Hash, sum []byte) string {
	return fmt.Sprintf("%s:%x", algorithm.HashName(h), sum)
}
