package sign

import (
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
	if o.Root == nil || (len(b.Material.Certificates) > 0 && len(o.Root.CAs) == 0) {
		return nil
	}
	policy, err := o.Policy()
	if err != nil {
		return err
	}
	return o.verify(b, artifact, policy, o.Root)
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
