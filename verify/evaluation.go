package verify

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify/reason"
)

// evaluation is the state of one candidate's verification. Each step reads what earlier steps established and appends
// exactly the checks of its own to the report, in the order of [order].
type evaluation struct {
	req    *Request
	root   *trust.Root
	policy *Policy
	b      *bundle.Bundle
	out    *CandidateReport

	signature []byte            // the one signature that everything is about
	message   algorithm.Message // what it is said to be over: the artifact, the payload or the PAE
	pae       []byte            // the DSSE pre-authentication encoding, nil for message signatures

	leaf   *identity.Certificate // nil when a key signed
	key    *trust.Key            // nil when a certificate signed
	pub    crypto.PublicKey      // the signer's key
	pubDER []byte                // its PKIX form

	times  []VerifiedTime
	issuer *x509.Certificate // who issued the leaf, once its path is verified
	stated algorithm.Details // the algorithm that a verified log entry names
	hash   crypto.Hash       // the hash that a verified log entry names
}

// run takes the steps in order. Steps that need what an earlier one failed to establish say "not reached".
func (e *evaluation) run() {
	if !e.structure() || !e.material() {
		e.notReached()
		return
	}
	e.timestamps()
	e.logEntries()
	e.time()
	e.certificatePath()
	e.certificateTransparency()
	e.keyValidity()
	e.verifySignature()
	e.claim()
	e.identity()
	e.revocation()
}

// notReached fills the rest of the list after a failure that leaves nothing to check.
func (e *evaluation) notReached() {
	for _, name := range order[len(e.out.Checks):] {
		e.out.Checks = append(e.out.Checks, Check{Name: name, Outcome: NotReached, Reason: "an earlier check failed"})
	}
}

func (e *evaluation) pass(name CheckName, spec string, facts ...Fact) {
	e.out.Checks = append(e.out.Checks, Check{Name: name, Outcome: Passed, Facts: facts, Spec: spec})
}

func (e *evaluation) fail(name CheckName, code reason.Code, spec, format string, args ...any) {
	e.out.Checks = append(e.out.Checks, Check{
		Name: name, Outcome: Failed, Code: code, Reason: told(format, args), Spec: spec,
	})
}

func (e *evaluation) notRequired(name CheckName, reason string, facts ...Fact) {
	e.out.Checks = append(e.out.Checks, Check{Name: name, Outcome: NotRequired, Reason: reason, Facts: facts})
}

func (e *evaluation) warn(format string, args ...any) {
	e.out.Warnings = append(e.out.Warnings, told(format, args))
}

// structure checks the rules of the bundle's version, and finds the signature and what it is over.
func (e *evaluation) structure() bool {
	const spec = "Sigstore bundle format, per-version rules"
	if err := e.b.Validate(bundle.ValidateOptions{AllowCertificateChain: e.policy.AllowCertificateChain}); err != nil {
		e.fail(CheckStructure, reason.Malformed, spec, "%v", err)
		return false
	}
	switch m, env := e.b.Message, e.b.Envelope; {
	case m != nil && m.Payload != nil:
		e.signature, e.message = m.Signature, algorithm.Bytes(m.Payload)
	case m != nil:
		e.signature, e.message = m.Signature, e.req.Artifact.Message
	default:
		e.pae = bundle.PAE(env.PayloadType, env.Payload)
		e.signature, e.message = env.Signatures[0].Sig, algorithm.Bytes(e.pae)
	}
	if e.message == nil {
		e.fail(CheckStructure, reason.DigestUnknown, spec, "the signature is over the artifact itself, and no artifact was given")
		return false
	}
	if len(e.signature) == 0 {
		e.fail(CheckStructure, reason.Malformed, spec, "the signature is empty")
		return false
	}
	e.pass(CheckStructure, spec, Fact{"format", e.out.Format})
	return true
}

// material settles who is said to have signed: a certificate, or one of the policy's keys.
func (e *evaluation) material() bool {
	const spec = "client specification, verification material"
	certs := e.b.Material.Certificates
	if len(certs) > 0 && !e.keySignsBesideCertificate() {
		if !e.policy.wantsCertificate() {
			e.fail(CheckMaterial, reason.WrongMaterial, spec, "signed with a certificate, but the policy names only keys; give a certificate identity and issuer instead of a key")
			return false
		}
		leaf, err := identity.ParseCertificate(certs[0])
		if err != nil {
			e.fail(CheckMaterial, reason.Malformed, spec, "the signing certificate: %v", err)
			return false
		}
		return e.withCertificate(leaf, spec)
	}
	if len(e.policy.Keys) == 0 {
		if e.b.Version == bundle.Cosign {
			e.fail(CheckMaterial, reason.NoCertificate, spec, "no certificate found on the signature, and the policy names no key; verify it with the signer's public key")
		} else {
			e.fail(CheckMaterial, reason.WrongMaterial, spec, "signed with a key, but the policy names only certificate identities; verify it with the signer's public key")
		}
		return false
	}
	return e.withKey(spec)
}

func (e *evaluation) withCertificate(leaf *identity.Certificate, spec string) bool {
	e.leaf, e.pub, e.pubDER = leaf, leaf.X509.PublicKey, leaf.X509.RawSubjectPublicKeyInfo
	if _, err := algorithm.Default(e.pub); err != nil {
		e.fail(CheckMaterial, reason.UnsupportedKey, spec, "the signing certificate's key: %v", err)
		return false
	}
	subjects := make([]string, len(leaf.SANs))
	for i, s := range leaf.SANs {
		subjects[i] = s.Value
	}
	keySum := sha256.Sum256(e.pubDER)
	e.out.Signer = &Signer{
		// Issuer and names, not the certificate: two certificates of one person are one principal.
		Principal: fmt.Sprintf("%q certified by %q", strings.Join(subjects, ","), leaf.Issuer),
		KeySHA256: hex.EncodeToString(keySum[:]), Subjects: subjects, Issuer: leaf.Issuer, Extensions: leaf.Extensions,
	}
	e.pass(CheckMaterial, spec, Fact{"signed with", "certificate"}, Fact{"subject", strings.Join(subjects, ", ")}, Fact{"issuer", leaf.Issuer})
	return true
}

// keySignsBesideCertificate covers cosign's older signatures made with a key and a certificate for it: the key signs, the
// certificate rides along. Only the policy's keys are then asked, and the certificate must be one of the same key.
func (e *evaluation) keySignsBesideCertificate() bool {
	if e.b.Version != bundle.Cosign || e.policy.wantsCertificate() || len(e.policy.Keys) == 0 {
		return false
	}
	leaf, err := identity.ParseCertificate(e.b.Material.Certificates[0])
	if err != nil {
		return false
	}
	for i := range e.policy.Keys {
		der, err := algorithm.MarshalPublicKey(e.policy.Keys[i].Public)
		if err == nil && string(der) == string(leaf.X509.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

// withKey picks the policy's key: the only one, the one whose hint the bundle names, or else the one whose signature it
// is. The bundle's hint is not trusted: it only orders the trials.
func (e *evaluation) withKey(spec string) bool {
	keys := e.policy.Keys
	chosen := -1
	for i := range keys {
		if len(keys) == 1 || e.hinted(&keys[i]) {
			chosen = i
			break
		}
	}
	if chosen < 0 || (len(keys) > 1 && e.trySignature(&keys[chosen]) != nil) {
		for i := range keys {
			if e.trySignature(&keys[i]) == nil {
				chosen = i
				break
			}
		}
	}
	if chosen < 0 {
		e.fail(CheckMaterial, reason.Signature, spec, "the signature is not one of any of the %d keys of the policy", len(keys))
		return false
	}
	key := &keys[chosen]
	der, err := algorithm.MarshalPublicKey(key.Public)
	if err != nil {
		e.fail(CheckMaterial, reason.UnsupportedKey, spec, "the key %s: %v", key.Name, err)
		return false
	}
	if _, err := algorithm.Default(key.Public); err != nil {
		e.fail(CheckMaterial, reason.UnsupportedKey, spec, "the key %s: %v", key.Name, err)
		return false
	}
	sum := sha256.Sum256(der)
	e.key, e.pub, e.pubDER = key, key.Public, der
	fingerprint := hex.EncodeToString(sum[:])
	e.out.Signer = &Signer{Principal: "key sha256:" + fingerprint, KeySHA256: fingerprint, KeyName: key.Name}
	e.pass(CheckMaterial, spec, Fact{"signed with", "key"}, Fact{"key", key.Name}, Fact{"key sha256", fingerprint})
	return true
}

func (e *evaluation) hinted(k *trust.Key) bool {
	return e.b.Material.KeyHint != nil && *e.b.Material.KeyHint != "" && *e.b.Material.KeyHint == k.Hint
}

// trySignature says whether the signature is one of this key, without recording anything.
func (e *evaluation) trySignature(k *trust.Key) error {
	algs, err := algorithms(e.policy, k.Public, k.Details, 0)
	if err != nil {
		return err
	}
	_, err = firstThatVerifies(algs, k.Public, e.message, e.signature)
	return err
}
