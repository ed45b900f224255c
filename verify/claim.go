package verify

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/verify/reason"
)

// claim checks what the signed content says: the kind of claim, the artifact it names, and its annotations.
func (e *evaluation) claim() {
	switch {
	case e.pae != nil:
		e.statement()
	case e.b.Message.Payload != nil:
		e.simpleSigning()
	default:
		e.messageClaim()
	}
}

// noClaim records why the content cannot be read; the checks that need it are failures too.
func (e *evaluation) noClaim(code reason.Code, spec, format string, args ...any) {
	e.fail(CheckPredicate, code, spec, format, args...)
	for _, name := range []CheckName{CheckArtifact, CheckAnnotations} {
		e.out.Checks = append(e.out.Checks, Check{Name: name, Outcome: NotReached, Reason: "the claim was not accepted"})
	}
}

// messageClaim covers signatures over the artifact itself. The signature binds the artifact; the digest that the bundle
// states beside it is held against the artifact too, so that no two parts of a bundle disagree.
func (e *evaluation) messageClaim() {
	const spec = "Sigstore bundle format, MessageSignature"
	if !e.policy.Claims.Message {
		e.noClaim(reason.Claim, spec, "signed is the artifact itself, and the policy demands %s", e.policy.Claims)
		return
	}
	e.pass(CheckPredicate, spec, Fact{"claim", "signature over the artifact"})
	switch err := e.statedDigest(); {
	case errors.Is(err, algorithm.ErrDigestUnavailable):
		e.fail(CheckArtifact, reason.DigestUnknown, spec, "%v; give the artifact itself instead of a digest", err)
	case err != nil:
		e.fail(CheckArtifact, reason.Artifact, spec, "%v", err)
	default:
		e.pass(CheckArtifact, spec, Fact{"digest", e.artifactDigest()})
	}
	e.annotations(nil)
}

// statedDigest compares messageDigest with the artifact. Absent, it says nothing.
func (e *evaluation) statedDigest() error {
	m := e.b.Message
	if m.Hash == 0 && len(m.Digest) == 0 {
		return nil
	}
	got, err := e.message.Digest(m.Hash, nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, m.Digest) {
		return fmt.Errorf("the bundle is of another artifact: its messageDigest is %s, the artifact's is %s",
			describeDigest(m.Hash, m.Digest), describeDigest(m.Hash, got))
	}
	return nil
}

func (e *evaluation) artifactDigest() string {
	for _, h := range [...]crypto.Hash{crypto.SHA256, crypto.SHA512, crypto.SHA384} {
		if e.req.Artifact.Message == nil {
			break
		}
		if sum, err := e.req.Artifact.Message.Digest(h, nil); err == nil {
			return describeDigest(h, sum)
		}
	}
	return "unknown"
}

// simpleSigning covers cosign's older image signatures: the signed document names the image's digest.
func (e *evaluation) simpleSigning() {
	const spec = "cosign signature specification, simple signing"
	if !e.policy.Claims.SimpleSigning {
		e.noClaim(reason.Claim, spec, "signed is a simple-signing document, and the policy demands %s", e.policy.Claims)
		return
	}
	doc, err := bundle.ParseSimpleSigning(e.b.Message.Payload)
	if err != nil {
		e.noClaim(reason.Malformed, spec, "the simple-signing document: %v", err)
		return
	}
	e.out.Payload = e.b.Message.Payload
	e.pass(CheckPredicate, spec, Fact{"claim", doc.Type})
	if err := e.statedDigest(); err != nil {
		e.fail(CheckArtifact, reason.Artifact, spec, "%v", err)
	} else {
		e.namedImage(doc, spec)
	}
	e.annotations(texts(doc.Optional))
}

func (e *evaluation) namedImage(doc *bundle.SimpleSigning, spec string) {
	if e.policy.NoImageUnsafe {
		e.notRequired(CheckArtifact, "the policy does not compare the claim with the artifact")
		return
	}
	name, want, ok := strings.Cut(doc.ManifestDigest, ":")
	hash, known := algorithm.Hash(name)
	switch {
	case e.req.Artifact.Message == nil:
		e.fail(CheckArtifact, reason.Artifact, spec, "no image was given to compare the claim with")
	case !e.req.Artifact.Image:
		e.fail(CheckArtifact, reason.Artifact, spec, "signed is a claim about an image, and the artifact is none")
	case !ok || !known:
		e.fail(CheckArtifact, reason.Malformed, spec, "the signed image digest %q is not one", doc.ManifestDigest)
	default:
		got, err := e.req.Artifact.Message.Digest(hash, nil)
		switch {
		case err != nil:
			e.fail(CheckArtifact, reason.DigestUnknown, spec, "%v", err)
		case hex.EncodeToString(got) != want:
			e.fail(CheckArtifact, reason.Artifact, spec, "signed is the image %s, not %s", doc.ManifestDigest, describeDigest(hash, got))
		default:
			e.pass(CheckArtifact, spec, Fact{"digest", doc.ManifestDigest})
		}
	}
}

// statement covers in-toto statements in a DSSE envelope.
func (e *evaluation) statement() {
	const spec = "in-toto attestation framework, statement"
	env := e.b.Envelope
	if env.PayloadType != bundle.StatementPayloadType {
		e.noClaim(reason.Claim, spec, "the envelope's payload type is %q; only in-toto statements (%s) are understood", env.PayloadType, bundle.StatementPayloadType)
		return
	}
	st, err := bundle.ParseStatement(env.Payload)
	if err != nil {
		e.noClaim(reason.Malformed, spec, "the statement: %v", err)
		return
	}
	e.out.Payload, e.out.PredicateType = env.Payload, st.PredicateType
	if c := e.policy.Claims; !c.AnyPredicate && !slices.Contains(c.Predicates, st.PredicateType) {
		code := reason.Predicate
		if len(c.Predicates) == 0 {
			code = reason.Claim
		}
		e.noClaim(code, spec, "the statement's predicate type is %q, and the policy demands %s", st.PredicateType, c)
		return
	}
	e.pass(CheckPredicate, spec, Fact{"predicate type", st.PredicateType})
	if e.policy.NoArtifactUnsafe {
		e.notRequired(CheckArtifact, "the policy does not compare the statement's subject with an artifact")
		e.annotations(nil)
		return
	}
	subject, err := e.matchingSubject(st)
	if err != nil {
		code := reason.Artifact
		if errors.Is(err, algorithm.ErrDigestUnavailable) {
			code = reason.DigestUnknown
		}
		e.fail(CheckArtifact, code, spec, "%v", err)
		e.annotations(nil)
		return
	}
	facts := []Fact{{"digest", e.artifactDigest()}}
	if subject.Name != "" {
		facts = append([]Fact{{"subject", subject.Name}}, facts...)
	}
	e.pass(CheckArtifact, spec, facts...)
	e.annotations(subject.texts)
}

// namedSubject is a subject that names the artifact, with those of its annotations that are texts.
type namedSubject struct {
	Name  string
	texts map[string]string
}

// texts keeps the annotations that are JSON strings: only those can equal what a user typed.
func texts(raw map[string][]byte) map[string]string {
	if len(raw) == 0 {
		return nil
	}
	out := make(map[string]string, len(raw))
	s := bundle.Subject{Annotations: raw}
	for name := range raw {
		if value, ok := s.Annotation(name); ok {
			out[name] = value
		}
	}
	return out
}

// matchingSubject finds the subject that names the artifact. One digest in a known algorithm must be equal and none in a
// known algorithm may differ. Of several subjects that match, one that has the demanded annotations is preferred.
func (e *evaluation) matchingSubject(st *bundle.Statement) (*namedSubject, error) {
	if e.req.Artifact.Message == nil {
		return nil, errors.New("no artifact was given to compare the statement's subject with")
	}
	var found *namedSubject
	var unavailable error
	for i := range st.Subjects {
		s := &st.Subjects[i]
		ok, err := e.names(s)
		if err != nil && unavailable == nil {
			unavailable = err
		}
		if !ok {
			continue
		}
		named := &namedSubject{s.Name, texts(s.Annotations)}
		if found == nil || (!e.annotated(found.texts) && e.annotated(named.texts)) {
			found = named
		}
	}
	switch {
	case found != nil:
		return found, nil
	case unavailable != nil:
		return nil, unavailable
	}
	return nil, fmt.Errorf("the statement is about another artifact: its subjects are %s, and the artifact is %s", describeSubjects(st), e.artifactDigest())
}

// names says whether a subject's digests are the artifact's.
func (e *evaluation) names(s *bundle.Subject) (bool, error) {
	matched := false
	var unavailable error
	for name, want := range s.Digests {
		hash, known := algorithm.Hash(name)
		if !known {
			continue
		}
		got, err := e.req.Artifact.Message.Digest(hash, nil)
		if err != nil {
			unavailable = err
			continue
		}
		if hex.EncodeToString(got) != want {
			return false, nil
		}
		matched = true
	}
	if matched {
		return true, nil
	}
	return false, unavailable
}

// annotations checks the demanded annotations against those of the signed claim.
func (e *evaluation) annotations(have map[string]string) {
	const spec = "cosign, -a/--annotations"
	e.out.Annotations = have
	if len(e.policy.Annotations) == 0 {
		e.notRequired(CheckAnnotations, "the policy demands none")
		return
	}
	for _, k := range sortedKeys(e.policy.Annotations) {
		want := e.policy.Annotations[k]
		if got, ok := have[k]; !ok {
			e.fail(CheckAnnotations, reason.Annotation, spec, "the annotation %q is missing (demanded: %q)", k, want)
			return
		} else if got != want {
			e.fail(CheckAnnotations, reason.Annotation, spec, "the annotation %q is %q, not %q", k, got, want)
			return
		}
	}
	e.pass(CheckAnnotations, spec)
}

func (e *evaluation) annotated(have map[string]string) bool {
	for k, want := range e.policy.Annotations {
		if got, ok := have[k]; !ok || got != want {
			return false
		}
	}
	return true
}

// String words what is accepted, for messages.
func (c Claims) String() string {
	var out []string
	if c.Message {
		out = append(out, "a signature over the artifact itself")
	}
	if c.SimpleSigning {
		out = append(out, "a simple-signing document")
	}
	if c.AnyPredicate {
		out = append(out, "a statement of any type")
	} else if len(c.Predicates) > 0 {
		out = append(out, "a statement of type "+strings.Join(c.Predicates, " or "))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " or ")
}

// describeSubjects lists the first few digests of the subjects.
func describeSubjects(st *bundle.Statement) string {
	const most, longest = 3, len("sha3_512:") + 128 // of a digest that is understood
	var out []string
	for i := range st.Subjects {
		for _, alg := range sortedKeys(st.Subjects[i].Digests) {
			if len(out) == most {
				return strings.Join(out, ", ") + fmt.Sprintf(" and more (of %d subjects)", len(st.Subjects))
			}
			text := alg + ":" + st.Subjects[i].Digests[alg]
			if len(text) > longest {
				text = strings.ToValidUTF8(text[:longest], "") + "…"
			}
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
