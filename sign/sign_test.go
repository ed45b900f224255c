package sign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

var (
	artifact = []byte("what was shipped\n")
	now      = mint.Epoch.Add(time.Minute)
)

func signer(t *testing.T, d algorithm.Details) keys.Signer {
	t.Helper()
	s, err := keys.FromSigner(mint.NewKey(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func statement(t *testing.T, about []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(about)
	st := bundle.Statement{
		Type: bundle.StatementV1, PredicateType: "https://example.com/p", Predicate: []byte(`{"n":1.50}`),
		Subjects: []bundle.Subject{{Name: "a", Digests: map[string]string{"sha256": hex.EncodeToString(sum[:])}}},
	}
	data, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func simpleSigning(t *testing.T, about []byte) []byte {
	t.Helper()
	doc := bundle.SimpleSigning{DockerReference: "r.example/a", ManifestDigest: fmt.Sprintf("sha256:%x", sha256.Sum256(about))}
	data, err := doc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// content is a kind of thing that is signed.
type content struct {
	name string
	sign func(t *testing.T, about []byte, m algorithm.Message, o sign.Options) (*bundle.Bundle, error)
}

func contents() []content {
	ctx := context.Background()
	return []content{
		{"blob", func(_ *testing.T, _ []byte, m algorithm.Message, o sign.Options) (*bundle.Bundle, error) {
			return sign.Blob(ctx, m, o)
		}},
		{"statement", func(t *testing.T, about []byte, m algorithm.Message, o sign.Options) (*bundle.Bundle, error) {
			return sign.Statement(ctx, statement(t, about), m, o)
		}},
		{"simple signing", func(t *testing.T, about []byte, m algorithm.Message, o sign.Options) (*bundle.Bundle, error) {
			return sign.SimpleSigning(ctx, simpleSigning(t, about), m, o)
		}},
	}
}

// verified verifies what was made as a stranger does, who has the key and the artifact.
func verified(t *testing.T, b *bundle.Bundle, pub crypto.PublicKey) *verify.Report {
	t.Helper()
	key, err := trust.NewKey("k", pub, algorithm.Unspecified, trust.Window{})
	if err != nil {
		t.Fatal(err)
	}
	return verify.Verify(&verify.Request{
		Candidates: []verify.Candidate{{Name: "b", Bundle: b}}, Now: now,
		Artifact: verify.Artifact{Name: "a", Message: algorithm.Bytes(artifact), Image: b.Version == bundle.Cosign},
		Policy: verify.Policy{
			Keys: []trust.Key{key}, IgnoreLog: true,
			Claims: verify.Claims{Message: true, SimpleSigning: true, AnyPredicate: true},
		},
	})
}

func TestEveryAlgorithm(t *testing.T) {
	// What is chosen when nothing is said, by key.
	chosen := map[algorithm.Details]algorithm.Details{
		algorithm.ECDSAP256SHA256: algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384: algorithm.ECDSAP384SHA384,
		algorithm.ECDSAP521SHA512: algorithm.ECDSAP521SHA512, algorithm.Ed25519: algorithm.Ed25519,
		algorithm.Ed25519ph:              algorithm.Ed25519,
		algorithm.RSAPKCS1v15x2048SHA256: algorithm.RSAPKCS1v15x2048SHA256, algorithm.RSAPSSx2048SHA256: algorithm.RSAPKCS1v15x2048SHA256,
		algorithm.RSAPKCS1v15x3072SHA256: algorithm.RSAPKCS1v15x3072SHA256, algorithm.RSAPKCS1v15x4096SHA256: algorithm.RSAPKCS1v15x4096SHA256,
	}
	for _, details := range world.Algorithms {
		s := signer(t, details)
		named, err := algorithm.ForDetails(details)
		if err != nil {
			t.Fatal(err)
		}
		usual, err := algorithm.ForDetails(chosen[details])
		if err != nil {
			t.Fatal(err)
		}
		for _, alg := range []algorithm.Algorithm{{}, named} {
			want := usual
			if alg == named {
				want = named
			}
			for _, c := range contents() {
				t.Run(details.String()+"/"+c.name+"/"+alg.Name(), func(t *testing.T) {
					b, err := c.sign(t, artifact, algorithm.Bytes(artifact), sign.Options{Signer: s, Algorithm: alg, Now: now})
					if err != nil {
						t.Fatal(err)
					}
					r := verified(t, b, s.Public())
					if !r.Verified {
						t.Fatalf("refused: %s", r.Reason)
					}
					if got := r.Candidates[0].Algorithm; got != want.Name() {
						t.Errorf("signed with %s, want %s", got, want)
					}
					if b.Message != nil && b.Version == bundle.V03 && !bytes.Equal(b.Message.Digest, mint.Sum(b.Message.Hash, artifact)) {
						t.Error("the digest beside the signature is not the artifact's")
					}
					if r := verified(t, b, signer(t, details).Public()); r.Verified && !strings.Contains(details.String(), "RSA") {
						t.Error("another key verifies it too")
					}
				})
			}
		}
	}
}

// once is an artifact of which only the digests are known that were asked for beforehand.
type once map[crypto.Hash][]byte

func (o once) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	if sum, ok := o[h]; ok && len(prefix) == 0 {
		return sum, nil
	}
	return nil, algorithm.ErrDigestUnavailable
}

func TestNeedsSufficeForStreams(t *testing.T) {
	for _, details := range world.Algorithms {
		alg, err := algorithm.ForDetails(details)
		if err != nil {
			t.Fatal(err)
		}
		o := sign.Options{Signer: signer(t, details), Algorithm: alg, Now: now}
		needs, rereads, err := o.Needs()
		if err != nil {
			t.Fatal(err)
		}
		m := once{}
		for _, n := range needs {
			m[n.Hash] = mint.Sum(n.Hash, artifact)
		}
		_, err = sign.Blob(context.Background(), m, o)
		if rereads != (details == algorithm.Ed25519) {
			t.Errorf("%s: rereads is %v", details, rereads)
		}
		if rereads != errors.Is(err, algorithm.ErrDigestUnavailable) || (!rereads && err != nil) {
			t.Errorf("%s: signing a stream gave %v", details, err)
		}
	}
}

// broken is a signer whose signatures are not what they should be.
type broken struct {
	keys.Signer
	spoil func([]byte) []byte
}

func (b broken) Sign(ctx context.Context, alg algorithm.Algorithm, m algorithm.Message) ([]byte, error) {
	sig, err := b.Signer.Sign(ctx, alg, m)
	if err != nil {
		return nil, err
	}
	return b.spoil(sig), nil
}

// wrongAlgorithm signs with another algorithm of the same key.
type wrongAlgorithm struct {
	keys.Signer
	alg algorithm.Algorithm
}

func (w wrongAlgorithm) Sign(ctx context.Context, _ algorithm.Algorithm, m algorithm.Message) ([]byte, error) {
	return w.Signer.Sign(ctx, w.alg, m)
}

func TestBrokenSignerIsCaught(t *testing.T) {
	good := signer(t, algorithm.ECDSAP256SHA256)
	other := signer(t, algorithm.ECDSAP256SHA256)
	ph, err := algorithm.ForDetails(algorithm.Ed25519ph)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]sign.Signer{
		"flipped bit": broken{good, func(sig []byte) []byte { sig[len(sig)-1] ^= 1; return sig }},
		"nothing":     broken{good, func([]byte) []byte { return nil }},
		"trailing":    broken{good, func(sig []byte) []byte { return append(sig, 0) }},
		"other key": broken{good, func([]byte) []byte {
			alg, err := algorithm.Default(other.Public())
			if err != nil {
				t.Fatal(err)
			}
			sig, err := other.Sign(context.Background(), alg, algorithm.Bytes(artifact))
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}},
		"other algorithm": wrongAlgorithm{signer(t, algorithm.Ed25519), ph},
	} {
		for _, c := range contents() {
			b, err := c.sign(t, artifact, algorithm.Bytes(artifact), sign.Options{Signer: s, Now: now})
			if b != nil || err == nil || !strings.Contains(err.Error(), "nothing was written") {
				t.Errorf("%s, %s: got %v, %v", name, c.name, b, err)
			}
		}
	}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), sign.Options{}); err == nil {
		t.Error("signed without a key")
	}
}

func TestClaimsMustBeAboutTheArtifact(t *testing.T) {
	o := sign.Options{Signer: signer(t, algorithm.ECDSAP256SHA256), Now: now}
	for _, c := range contents()[1:] {
		if _, err := c.sign(t, []byte("another"), algorithm.Bytes(artifact), o); err == nil {
			t.Errorf("%s about another artifact was signed", c.name)
		}
	}
	ctx := context.Background()
	if _, err := sign.Statement(ctx, statement(t, []byte("another")), nil, o); err != nil {
		t.Errorf("without an artifact: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"_type":"https://in-toto.io/Statement/v1","subject":[]}`, "x"} {
		if _, err := sign.Statement(ctx, []byte(bad), algorithm.Bytes(artifact), o); err == nil {
			t.Errorf("signed the statement %q", bad)
		}
		if _, err := sign.SimpleSigning(ctx, []byte(bad), algorithm.Bytes(artifact), o); err == nil {
			t.Errorf("signed the document %q", bad)
		}
	}
}

func TestStatementIsSignedByteForByte(t *testing.T) {
	sum := sha256.Sum256(artifact)
	payload := fmt.Appendf(nil, "{ \"predicate\": {\"n\": 1.0, \"b\": 1234567890123456789},\n\"predicateType\":\"https://e.x/p\",\"_type\":%q, \"extra\": null, \"subject\":[{\"digest\":{\"sha256\":\"%x\"}}] }\n", bundle.StatementV01, sum)
	b, err := sign.Statement(context.Background(), payload, algorithm.Bytes(artifact), sign.Options{Signer: signer(t, algorithm.Ed25519), Now: now})
	if err != nil || !bytes.Equal(b.Envelope.Payload, payload) {
		t.Errorf("got %v, %v", b, err)
	}
}

func TestCertificates(t *testing.T) {
	w := world.New(t)
	root := w.Root(t)
	s := signer(t, algorithm.ECDSAP256SHA256)
	leaf := w.CA.Issue(t, mint.LeafOptions{Public: s.Public()})
	foreign := w.CA.Issue(t, mint.LeafOptions{Public: signer(t, algorithm.ECDSAP256SHA256).Public()})
	untrusted := mint.NewCA(t, mint.CAOptions{}).Issue(t, mint.LeafOptions{Public: s.Public()})
	late := w.CA.Issue(t, mint.LeafOptions{Public: s.Public(), NotBefore: now.Add(time.Hour)})
	chain := [][]byte{leaf, w.CA.Intermediate.Raw, w.CA.Root.Raw}
	for _, c := range []struct {
		name  string
		certs [][]byte
		root  *trust.Root
		want  [][]byte // nil: refused
		error error
	}{
		{name: "leaf", certs: chain[:1], root: root, want: chain[:1]},
		{name: "root left out", certs: chain, root: root, want: chain[:2]},
		{name: "no root to check", certs: [][]byte{untrusted}, want: [][]byte{untrusted}},
		{name: "other key", certs: [][]byte{foreign}, error: sign.ErrOtherKey},
		{name: "other authority", certs: [][]byte{untrusted}, root: root},
		{name: "not valid yet", certs: [][]byte{late}, root: root},
		{name: "not a certificate", certs: [][]byte{{0x30}}},
		{name: "garbage above", certs: [][]byte{leaf, {0x30}}},
	} {
		for _, kind := range contents() {
			b, err := kind.sign(t, artifact, algorithm.Bytes(artifact), sign.Options{Signer: s, Certificates: c.certs, Root: c.root, Now: now})
			switch {
			case c.want == nil && err == nil:
				t.Errorf("%s, %s: signed", c.name, kind.name)
			case c.error != nil && !errors.Is(err, c.error):
				t.Errorf("%s, %s: %v", c.name, kind.name, err)
			case c.want == nil:
			case err != nil:
				t.Errorf("%s, %s: %v", c.name, kind.name, err)
			case !slices.EqualFunc(b.Material.Certificates, c.want, bytes.Equal) || b.Material.Chain != (len(c.want) > 1) || b.Material.KeyHint != nil:
				t.Errorf("%s, %s: the bundle has %d certificates", c.name, kind.name, len(b.Material.Certificates))
			}
		}
	}
}

// stamper is a timestamp authority.
type stamper struct {
	t    *testing.T
	w    *world.World
	over func([]byte) []byte
}

func (s stamper) Timestamp(_ context.Context, signature []byte) ([]byte, error) {
	return s.w.Stamp(s.t, s.over(signature), now), nil
}

// logger is a log that answers what it is told to.
type logger struct{ entry *tlog.Entry }

func (l logger) Log(context.Context, *sign.Signature) (*tlog.Entry, error) {
	return l.entry, nil
}

// honest is a Rekor v2 log.
type honest struct {
	t   *testing.T
	log *mint.Log
}

func (h honest) Log(_ context.Context, s *sign.Signature) (*tlog.Entry, error) {
	e := h.log.Add(h.t, mint.HashedRekordV2, mint.Body(h.t, mint.HashedRekordV2, mint.Signed{
		Message: artifact, Signature: s.Bytes, Public: s.Public, Certificate: s.Certificate, Details: s.Algorithm.Details(),
	}), now)
	return &e, nil
}

func TestLogged(t *testing.T) {
	w := world.New(t)
	for _, details := range []algorithm.Details{algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.Ed25519} {
		o := sign.Options{Signer: signer(t, details), Root: w.Root(t), Now: now, Loggers: []sign.Logger{logger{}}}
		o.Loggers = []sign.Logger{honest{t, w.V2}}
		b, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o)
		if err != nil || len(b.Material.Entries) != 1 {
			t.Errorf("%s: %v", details, err)
		}
		// A log that the root does not know.
		o.Loggers = []sign.Logger{honest{t, world.New(t).V2}}
		if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err == nil {
			t.Errorf("%s: an entry of a foreign log was accepted", details)
		}
	}
}

func TestServicesAreNotBelieved(t *testing.T) {
	w := world.New(t)
	o := sign.Options{Signer: signer(t, algorithm.ECDSAP256SHA256), Root: w.Root(t), Now: now}
	same := func(sig []byte) []byte { return sig }
	o.Timestampers = []sign.Timestamper{stamper{t, w, same}}
	b, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o)
	if err != nil || len(b.Material.Timestamps) != 1 {
		t.Errorf("a good timestamp: %v", err)
	}
	o.Timestampers = []sign.Timestamper{stamper{t, w, func([]byte) []byte { return artifact }}}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err == nil {
		t.Error("a timestamp over something else was accepted")
	}
	o.Timestampers = []sign.Timestamper{stamper{t, world.New(t), same}}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err == nil {
		t.Error("a timestamp of somebody else was accepted")
	}
	o.Timestampers = nil
	// The world's own log, and an entry that is sound in itself.
	other, _, _ := w.Bundle(t, world.Spec{Log: world.LogV1})
	o.Loggers = []sign.Logger{logger{&other.Material.Entries[0]}}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err == nil {
		t.Error("the entry of another signature was accepted")
	}
}

// What goes into a log is signed in the form that logs take.
func TestLoggedEd25519IsPrehashed(t *testing.T) {
	o := sign.Options{Signer: signer(t, algorithm.Ed25519), Loggers: []sign.Logger{logger{}}}
	alg, err := o.ChosenAlgorithm()
	if err != nil || alg.Details() != algorithm.Ed25519ph {
		t.Errorf("got %s, %v", alg, err)
	}
}
