package sign

import (
	"slices"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// Check verifies a bundle as those are that this package makes, for whoever writes one in another form than it was made in.
func Check(b *bundle.Bundle, artifact algorithm.Message, opts Options) error {
	return opts.check(b, artifact)
}

// check verifies what was just made, twice over: the signature under the signer's own key, and the whole under the
// trusted root, where there is one that can judge it.
//
// What is verified of a Sigstore bundle is what will be written: the bundle as it reads back from its own JSON.
func (o *Options) check(made *bundle.Bundle, artifact algorithm.Message) error {
	policy, err := o.Policy()
	if err != nil {
		return err
	}
	return o.checkBy(policy, o.Root, made, artifact)
}

// checkUnlogged verifies what was just made as far as that can be done before a log is asked, which keeps for ever what it
// takes: what the verifier would refuse anyway does not become public. What is to be revoked later counts later. Where
// only the log will say when a certificate was used nothing can be said before: this computer's clock may be wrong.
func (o *Options) checkUnlogged(made *bundle.Bundle, artifact algorithm.Message) error {
	if o.ShortLived && len(made.Material.Timestamps) == 0 {
		return nil
	}
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return err
	}
	bare := *o
	bare.Algorithm, bare.Loggers = alg, nil
	policy, err := bare.Policy()
	if err != nil {
		return err
	}
	if o.Root == nil {
		return bare.checkBy(policy, nil, made, artifact)
	}
	root, now := *o.Root, o.now()
	root.Revocations = slices.DeleteFunc(slices.Clone(root.Revocations), func(r trust.Revocation) bool { return !r.At(now) })
	return bare.checkBy(policy, &root, made, artifact)
}

func (o *Options) checkBy(policy verify.Policy, root *trust.Root, made *bundle.Bundle, artifact algorithm.Message) error {
	b := made
	if b.Version != bundle.Cosign {
		data, err := b.Encode()
		if err != nil {
			return err
		}
		if b, err = bundle.Decode(data); err != nil {
			return err
		}
	}
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return err
	}
	bare := *b
	bare.Material = bundle.Material{KeyHint: new(string)}
	key := trust.Key{Name: "the signing key", Public: o.Signer.Public(), Details: alg.Details()}
	if err := o.verify(&bare, artifact, verify.Policy{Keys: []trust.Key{key}, IgnoreLog: true}, nil); err != nil {
		return err
	}
	if root == nil || (len(b.Material.Certificates) > 0 && len(root.CAs) == 0) {
		return nil
	}
	return o.verify(b, artifact, policy, root)
}

// Policy is what a signature that is made with the options meets: so many logs and timestamp authorities, and the signer's
// key, or with a certificate one of a trusted authority. Whose certificate that is the caller has to compare, and which
// claims are accepted to say.
func (o *Options) Policy() (verify.Policy, error) {
	p := verify.Policy{
		IgnoreLog: len(o.Loggers) == 0 || o.Defer, CurrentTime: !o.ShortLived, AllowCertificateChain: true,
	}
	if !p.IgnoreLog {
		p.Logs = len(o.Loggers)
	}
	if o.Root != nil {
		p.IgnoreSCT = !o.ShortLived || len(o.Root.CTLogs) == 0
		// Where a timestamp was asked for, as many authorities of the root must vouch for it as there can be.
		p.Timestamps = min(len(o.Timestampers), len(o.Root.TSAs))
	} else {
		p.IgnoreSCT = !o.ShortLived
	}
	if o.ShortLived || len(o.Certificates) > 0 {
		p.AnyIdentityUnsafe = true
		return p, nil
	}
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return p, err
	}
	p.Keys = []trust.Key{{Name: "the signing key", Public: o.Signer.Public(), Details: alg.Details()}}
	return p, nil
}

func (o *Options) verify(b *bundle.Bundle, artifact algorithm.Message, p verify.Policy, root *trust.Root) error {
	p.Claims = verify.Claims{Message: true, SimpleSigning: true, AnyPredicate: true}
	p.NoArtifactUnsafe, p.NoImageUnsafe = artifact == nil, artifact == nil
	return verify.Verify(&verify.Request{
		Candidates: []verify.Candidate{{Name: "the new signature", Bundle: b}},
		Artifact:   verify.Artifact{Message: artifact, Image: b.Version == bundle.Cosign},
		Root:       root, Policy: p, Now: o.now(),
	}).Err()
}
