package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/verify"
)

// earlier looks among verified signatures for one by the signer that is about to sign, which makes another one
// unnecessary, and returns its index. It has to meet what the new one would: as many logs and authorities, the same root.
// -1 says that there is none.
func (s *signing) earlier(ctx context.Context, c *cli.Call, o *sign.Options, req *verify.Request) (int, *verify.CandidateReport, error) {
	if len(req.Candidates) == 0 {
		return -1, nil, nil
	}
	made := *o
	made.ShortLived = s.session != nil
	policy, err := made.Policy()
	if err != nil {
		return -1, nil, err
	}
	policy.Claims, policy.Annotations = req.Policy.Claims, req.Policy.Annotations
	req.Policy, req.Root, req.Now = policy, o.Root, c.Now()
	r := verify.Verify(req)
	for i := range r.Candidates {
		found := &r.Candidates[i]
		if !found.Verified || found.Signer == nil {
			continue
		}
		same, err := s.same(ctx, c, o, found.Signer)
		if err != nil {
			return -1, nil, err
		}
		if same {
			return i, found, nil
		}
	}
	return -1, nil, nil
}

// newSkipped is the outcome for an artifact that was signed before.
func newSkipped(o *sign.Options, b *bundle.Bundle, found *verify.CandidateReport) (*signed, error) {
	r, err := newSigned(o, b, "", "")
	if err != nil {
		return nil, err
	}
	r.Algorithm, r.KeySHA256, r.Skipped = found.Algorithm, found.Signer.KeySHA256, true
	return r, nil
}

// same says whether a verified signer is the one that is about to sign: the key, or the identity. A token's own name and
// issuer tell that of a person; those of CI jobs become names by the authority's rules, so only a certificate tells.
func (s *signing) same(ctx context.Context, c *cli.Call, o *sign.Options, who *verify.Signer) (bool, error) {
	if s.session == nil {
		own, err := keySum(o.Signer)
		return err == nil && own == who.KeySHA256, err
	}
	if cert, _ := s.session.Certificate(); cert == nil {
		token, err := s.bearer.token(ctx)
		if err != nil {
			return false, stop(err)
		}
		name, err := token.Challenge()
		if err != nil {
			return false, stop(cli.Errorf(cli.ExitInput, "%w", err))
		}
		if slices.Equal(who.Subjects, []string{name}) && who.Issuer == token.Issuer {
			return true, nil
		}
		used := *o
		if err := s.ready(ctx, c, &used); err != nil {
			return false, stop(err)
		}
	}
	der, _ := s.session.Certificate()
	cert, err := identity.ParseCertificate(der)
	if err != nil {
		return false, err
	}
	var names []string
	for _, san := range cert.SANs {
		names = append(names, san.Value)
	}
	return slices.Equal(names, who.Subjects) && cert.Issuer == who.Issuer, nil
}

// bundlesOf and layersOf are where earlier signatures of an image are looked for: in the format that is about to be written.
func bundlesOf(predicateType string) (oci.FindOptions, verify.Claims) {
	return oci.FindOptions{Bundles: true, PredicateType: predicateType}, verify.Claims{Predicates: []string{predicateType}}
}

func layersOf() (oci.FindOptions, verify.Claims) {
	return oci.FindOptions{Signatures: true}, verify.Claims{SimpleSigning: true}
}

// signedBefore looks for an earlier signature of an image.
func (o *signImages) signedBefore(ctx context.Context, c *cli.Call, to *storage, opts *sign.Options) (*signed, error) {
	where, claims := bundlesOf(to.predicateType)
	if to.older {
		where, claims = layersOf()
	}
	annotations, err := parseAnnotations(o.annotations)
	if err != nil {
		return nil, err
	}
	req := &verify.Request{Policy: verify.Policy{Claims: claims, Annotations: annotations}}
	counts := func(b *bundle.Bundle) bool {
		return o.skipSigned || to.older || sameAnnotations(b, to.img.Digest, annotations)
	}
	return o.foundBefore(ctx, c, opts, sought{to, where, req, counts, o.skipSigned})
}

// sought is what is looked for: where, what it must meet, and which of it counts.
type sought struct {
	*storage
	where  oci.FindOptions
	req    *verify.Request
	counts func(b *bundle.Bundle) bool
	all    bool // everything is looked at, and what cannot be is an error
}

// Bounds of looking where nobody has asked for it: a signature that was made before is among the first that there are, in
// most cases, and an image with many must not cost more than it does elsewhere. Each piece costs two requests.
const (
	firstPortion = 4
	maxPieces    = firstPortion + 4*firstPortion // two portions, see [oci.FindOptions]
)

// lookUntil are the options with which the search ends when one of the pieces suffices, or after the most that are looked at.
func lookUntil(where oci.FindOptions, most int, suffices func([]oci.Item) bool) oci.FindOptions {
	looked := 0
	where.Enough = func(found *oci.Evidence) bool {
		more := found.Items[looked:]
		looked = len(found.Items)
		return suffices(more) || looked >= most
	}
	return where
}

// firstPieces are the options of who looks at the first pieces only.
func firstPieces(where oci.FindOptions, suffices func([]oci.Item) bool) oci.FindOptions {
	where.Portion, where.Brief = firstPortion, true
	return lookUntil(where, maxPieces, suffices)
}

// foundBefore looks for earlier evidence by the signer that is about to sign, until it is found or, with --skip-signed, every
// place has answered. Without the flag, what could not be read is no error: whoever stores the signature meets the same registry.
func (s *imageSigning) foundBefore(ctx context.Context, c *cli.Call, opts *sign.Options, to sought) (earlier *signed, err error) {
	if to.req.Artifact, err = imageArtifact(to.img); err != nil {
		return nil, err
	}
	var failed error
	suffices := func(items []oci.Item) bool {
		earlier, failed = s.amongBefore(ctx, c, opts, to, items)
		return earlier != nil || failed != nil
	}
	var found *oci.Evidence
	switch e := s.ahead[to.img.Ref]; {
	case to.all:
		found, err = to.client.Find(ctx, to.img, lookUntil(to.where, math.MaxInt, suffices))
	case e != nil && !to.older:
		e.find(ctx, to.client, to.img.Ref, to.where)
		if found, err = e.found, e.notFound; err == nil {
			suffices(found.Items)
		}
	default:
		found, err = to.client.Find(ctx, to.img, firstPieces(to.where, suffices))
	}
	if err == nil {
		err = unansweredPlace(found.Places) // what was not seen may be what is looked for
	}
	switch {
	case failed != nil && (to.all || errors.As(failed, new(*stopError))):
		return nil, failed
	case earlier != nil:
		return earlier, nil
	case err == nil:
		to.bare = len(found.Items) == 0
	case to.all:
		return nil, signingRegistryError(c, err)
	}
	return nil, nil
}

// amongBefore looks for it among what was found.
func (s *imageSigning) amongBefore(ctx context.Context, c *cli.Call, opts *sign.Options, to sought, items []oci.Item) (*signed, error) {
	req := *to.req
	var digests []string
	for _, item := range items {
		if item.Bundle == nil || !to.counts(item.Bundle) || len(req.Candidates) == verify.MaxCandidates {
			continue
		}
		if _, ok := s.awaited(c, item.Bundle, spooled{Repository: to.img.Repository.Name(), Evidence: evidenceRepository(c, to.img)}); ok {
			req.Candidates = append(req.Candidates, verify.Candidate{Name: item.Digest, Bundle: item.Bundle})
			digests = append(digests, item.Digest)
		}
	}
	at, report, err := s.earlier(ctx, c, opts, &req)
	if at < 0 || err != nil {
		return nil, err
	}
	r, err := newSkipped(opts, req.Candidates[at].Bundle, report)
	if err != nil {
		return nil, err
	}
	r.Artifact, r.Digest, r.Reference = to.img.Ref, to.img.Digest, s.keptIn(c, to.img)+"@"+digests[at]
	s.stillWaits(c, r, req.Candidates[at].Bundle, spooled{Repository: to.img.Repository.Name(), Evidence: evidenceRepository(c, to.img)})
	if s.Bundle == "" {
		return r, nil
	}
	data, err := req.Candidates[at].Bundle.Encode()
	if err != nil {
		return nil, err
	}
	return r, stop(r.writeBundle(c, s.Bundle, data))
}

// sameAnnotations says whether a statement about an image has these annotations and no others.
func sameAnnotations(b *bundle.Bundle, digest string, want map[string]string) bool {
	if b.Envelope == nil {
		return false
	}
	st, err := bundle.ParseStatement(b.Envelope.Payload)
	if err != nil {
		return false
	}
	algorithm, value := splitDigest(digest)
	for i := range st.Subjects {
		subject := &st.Subjects[i]
		if subject.Digests[algorithm] != value || len(subject.Annotations) != len(want) {
			continue
		}
		same := true
		for name, said := range want {
			got, ok := subject.Annotation(name)
			same = same && ok && got == said
		}
		if same {
			return true
		}
	}
	return false
}

// bundleBefore looks whether a file's bundle is there already and verifies. One that does not is not replaced unasked.
func (o *signBlob) bundleBefore(ctx context.Context, c *cli.Call, to blobTarget, opts *sign.Options) (*signed, error) {
	data, err := readFileUpTo(ctx, to.path, bundle.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var r *signed
		if r, err = o.readBefore(ctx, c, to, opts, data); r != nil || errors.As(err, new(*stopError)) {
			return r, err
		}
	}
	if o.Yes {
		return nil, nil
	}
	return nil, cli.Usagef("file %s already exists and would be overwritten: %w", to.path, err).WithHint("--yes replaces it")
}

func (o *signBlob) readBefore(ctx context.Context, c *cli.Call, to blobTarget, opts *sign.Options, data []byte) (*signed, error) {
	b, err := bundle.Decode(data)
	if err != nil {
		return nil, err
	}
	at, report, err := o.earlier(ctx, c, opts, &verify.Request{
		Candidates: []verify.Candidate{{Name: to.path, Bundle: b}}, Artifact: to.artifact,
		Policy: verify.Policy{Claims: verify.Claims{Message: true}},
	})
	switch {
	case err != nil:
		return nil, err
	case at < 0 && len(b.Material.Entries) == 0 && len(opts.Loggers) > 0:
		return nil, errors.New("it has no log entry; \"flush\" logs what --log=defer left in the spool")
	case at < 0:
		return nil, errors.New("it is no signature of this file by this signer that verifies")
	}
	r, err := newSkipped(opts, b, report)
	if err != nil {
		return nil, err
	}
	if !o.stillWaits(c, r, b, spooled{File: to.path}) {
		return nil, errNotAwaited
	}
	r.Artifact, r.Digest, r.Bundle = blob.DisplayName(to.ref), to.digest, to.path
	if !o.both() {
		return r, nil
	}
	if there, err := o.olderBefore(ctx, c, to, *opts); err != nil || !there {
		return nil, cmp.Or(err, errNoOlder)
	}
	r.Legacy = olderPath(to.path)
	return r, nil
}

// statedBefore looks whether a file's bundle is there already, says the same and verifies. One that does not is not replaced
// unasked.
func (o *attestBlob) statedBefore(ctx context.Context, c *cli.Call, a blobStatement, opts *sign.Options, payload []byte) (*signed, error) {
	data, err := readFileUpTo(ctx, a.path, bundle.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var r *signed
		if r, err = o.readStated(ctx, c, a, opts, said{payload, data}); r != nil || errors.As(err, new(*stopError)) {
			return r, err
		}
	}
	if o.Yes {
		return nil, nil
	}
	return nil, cli.Usagef("file %s already exists and would be overwritten: %w", a.path, err).WithHint("--yes replaces it")
}

// said is a statement that is about to be signed, and the file that may hold it.
type said struct{ payload, data []byte }

func (o *attestBlob) readStated(ctx context.Context, c *cli.Call, a blobStatement, opts *sign.Options, before said) (*signed, error) {
	b, err := bundle.Decode(before.data)
	if err != nil {
		return nil, err
	}
	req := &verify.Request{
		Artifact: verify.Artifact{Name: a.artifact.Name, Message: a.artifact}, Policy: verify.Policy{Claims: verify.Claims{Predicates: []string{a.claim.kind}}},
	}
	if b.Envelope != nil && sameClaim(b.Envelope.Payload, before.payload) {
		req.Candidates = []verify.Candidate{{Name: a.path, Bundle: b}}
	}
	at, report, err := o.earlier(ctx, c, opts, req)
	switch {
	case err != nil:
		return nil, err
	case at < 0:
		return nil, errors.New("it is no such statement about this file by this signer that verifies")
	}
	r, err := newSkipped(opts, b, report)
	if err != nil {
		return nil, err
	}
	if !o.stillWaits(c, r, b, spooled{File: a.path}) {
		return nil, errNotAwaited
	}
	if o.both() {
		if _, err := os.Stat(olderPath(a.path)); err != nil {
			return nil, errNoOlder
		}
	}
	sum, err := sha256Of(a.artifact)
	r.Artifact, r.Digest, r.Bundle = a.artifact.Name, "sha256:"+sum, a.path
	return r, err
}

// errNotAwaited says that an earlier signature has no log entry, and that nothing will get it one.
var errNotAwaited = errors.New("it has no log entry, and does not wait in the spool for one")

// stillWaits notes of an earlier signature that it waits to be logged, and says whether it is logged or does.
func (s *signing) stillWaits(c *cli.Call, r *signed, b *bundle.Bundle, place spooled) bool {
	path, ok := s.awaited(c, b, place)
	if ok && path != "" {
		r.Deferred = path
		s.spool.note(path)
	}
	return ok
}

// errNoOlder says that half of what is to be written is there.
var errNoOlder = errors.New("cosign's own bundle is not beside it, or does not verify")

// olderBefore says whether cosign's own bundle lies beside a file's Sigstore bundle and verifies as that does.
func (o *signBlob) olderBefore(ctx context.Context, c *cli.Call, to blobTarget, opts sign.Options) (bool, error) {
	data, err := readFileUpTo(ctx, olderPath(to.path), bundle.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b, err := bundle.DecodeCosignBlob(data, bundle.Detached{})
	if err != nil {
		return false, err
	}
	opts.Timestampers = nil // for which that format has no place
	at, _, err := o.earlier(ctx, c, &opts, &verify.Request{
		Candidates: []verify.Candidate{{Name: olderPath(to.path), Bundle: b}}, Artifact: to.artifact,
		Policy: verify.Policy{Claims: verify.Claims{Message: true}},
	})
	return at >= 0, err
}

// blobTarget is a file that is signed: what it holds, and where its bundle goes.
type blobTarget struct {
	ref          string // as named
	artifact     verify.Artifact
	digest, path string
}

// skipped says that an artifact is signed already.
func (r *signed) skipped(c *cli.Call, output string) error {
	if output == "json" {
		return c.PrintJSON(r)
	}
	where := r.Reference
	if where == "" {
		where = r.Bundle
	}
	by := r.by()
	if r.Deferred != "" {
		by += ", and not logged yet"
	}
	c.Infof("%s is signed already, %s: %s", artifactName(r.Artifact), by, where)
	return nil
}

// by says who signed.
func (r *signed) by() string {
	if r.Identity == "" {
		return "key sha256:" + r.KeySHA256
	}
	who := "as " + describe.Printable(r.Identity)
	if r.Issuer != "" {
		who += " of " + describe.Printable(r.Issuer)
	}
	return who
}
