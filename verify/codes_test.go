package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// twin is a small change of good evidence, trust or policy, and what it must be refused for.
type twin struct {
	name   string
	check  verify.CheckName // "" where the report as a whole is refused
	code   reason.Code
	spec   world.Spec
	change func(t *testing.T, sc *scene, e *evidence, req *verify.Request)
}

// The kinds of evidence that twins start from.
var (
	keyBlob       = world.Spec{}
	keyLogged     = world.Spec{Log: world.LogV1}
	keyLoggedV2   = world.Spec{Log: world.LogV2}
	keyStamped    = world.Spec{Timestamp: true}
	keyStatement  = world.Spec{Content: world.Statement}
	keyImage      = world.Spec{Content: world.SimpleSigning}
	certLogged    = world.Spec{Signer: world.Cert, Log: world.LogV1}
	certLoggedV2  = world.Spec{Signer: world.Cert, Log: world.LogV2, Timestamp: true}
	certStatement = world.Spec{Signer: world.Cert, Content: world.Statement, Log: world.LogV1}
	certImage     = world.Spec{Signer: world.Cert, Content: world.SimpleSigning, Log: world.LogV1SET}
	keyEd25519    = world.Spec{Algorithm: algorithm.Ed25519}
	keyP384Logged = world.Spec{Algorithm: algorithm.ECDSAP384SHA384, Log: world.LogV2}
)

func material(e *evidence) *bundle.Material { return &e.bundle.Material }
func entry(e *evidence) *tlog.Entry         { return &e.bundle.Material.Entries[0] }

// stranger is another party of the same shape.
func stranger(t *testing.T, sc *scene, e *evidence) *evidence {
	s := e.spec
	s.Key, s.Artifact = nil, otherArtifact
	return makeEvidence(t, sc.w, s)
}

// flip changes the last byte.
func flip(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// onlySHA256 leaves of the artifact nothing but its SHA-256.
func onlySHA256(e *evidence, req *verify.Request) {
	req.Artifact.Message = algorithm.Precomputed(crypto.SHA256, mint.Sum(crypto.SHA256, e.artifact))
}

func p224(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func evidenceTwins() []twin {
	return []twin{
		{"could not be decoded", verify.CheckDecode, reason.Malformed, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Candidates[0].Bundle, req.Candidates[0].Err = nil, errors.New("bad JSON")
		}},
		{"nothing there", verify.CheckDecode, reason.Malformed, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Candidates[0].Bundle = nil
		}},
		{"no content", verify.CheckStructure, reason.Malformed, keyBlob, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Message = nil
		}},
		{"empty signature", verify.CheckStructure, reason.Malformed, keyBlob, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Message.Signature = nil
		}},
		{"no artifact", verify.CheckStructure, reason.DigestUnknown, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Artifact.Message = nil
		}},
		{"certificate for a key", verify.CheckMaterial, reason.WrongMaterial, certLogged, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			req.Policy.Keys, req.Policy.Identities = []trust.Key{{Name: "k", Public: e.pub}}, nil
		}},
		{"key for a certificate", verify.CheckMaterial, reason.WrongMaterial, keyBlob, func(t *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Keys, req.Policy.Identities = nil, []identity.Matcher{exactly(t, mint.Email, mint.Issuer)}
		}},
		{"no certificate", verify.CheckMaterial, reason.NoCertificate, keyImage, func(t *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Keys, req.Policy.Identities = nil, []identity.Matcher{exactly(t, mint.Email, mint.Issuer)}
		}},
		{"certificate is none", verify.CheckMaterial, reason.Malformed, certLogged, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			material(e).Certificates[0] = []byte{0x30, 0}
		}},
		{"certificate of an unsupported key", verify.CheckMaterial, reason.UnsupportedKey, certLogged, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Certificates[0] = sc.w.CA.Issue(t, mint.LeafOptions{Public: p224(t).Public()})
		}},
		{"unsupported key", verify.CheckMaterial, reason.UnsupportedKey, keyBlob, func(t *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Keys[0].Public = p224(t).Public()
		}},
		{"none of several keys", verify.CheckMaterial, reason.Signature, keyBlob, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			req.Policy.Keys = []trust.Key{{Name: "a", Public: stranger(t, sc, e).pub}, {Name: "b", Public: stranger(t, sc, e).pub}}
		}},
		{"timestamp is none", verify.CheckTimestamp, reason.Timestamp, keyStamped, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			material(e).Timestamps[0] = []byte{0x30, 0}
		}},
		{"broken timestamp, though none is demanded", verify.CheckTimestamp, reason.Timestamp, keyStamped, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			material(e).Timestamps[0], req.Policy.Timestamps = flip(material(e).Timestamps[0]), 0
		}},
		{"timestamp of another signature", verify.CheckTimestamp, reason.Timestamp, keyStamped, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Timestamps = stranger(t, sc, e).bundle.Material.Timestamps
		}},
		{"no timestamp", verify.CheckTimestamp, reason.NoTimestamp, keyStamped, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			material(e).Timestamps = nil
		}},
		{"timestamp, but no trusted root", verify.CheckTimestamp, reason.NoTimestamp, keyStamped, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Root = nil
		}},
		{"one timestamp of two", verify.CheckTimestamp, reason.NoTimestamp, keyStamped, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Timestamps = 2
		}},
		{"no time", verify.CheckTime, reason.NoTime, certLoggedV2, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			material(e).Timestamps, req.Policy.Timestamps = nil, 0
		}},
		{"time in the future", verify.CheckTime, reason.NoTime, keyStamped, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Now = time.Time{}
		}},
	}
}

func logTwins() []twin {
	broken := func(name string, spec world.Spec, change func(e *tlog.Entry)) twin {
		return twin{name, verify.CheckLog, reason.LogEntry, spec, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) { change(entry(e)) }}
	}
	return []twin{
		{"not logged", verify.CheckLog, reason.NoLog, keyLogged, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) { material(e).Entries = nil }},
		{"no root for the log", verify.CheckLog, reason.NoTrust, keyLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Root = nil }},
		{"unknown log", verify.CheckLog, reason.NoLog, keyLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Root = &trust.Root{} }},
		{"one log of two", verify.CheckLog, reason.NoLog, keyLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Policy.Logs = 2 }},
		{"log without a key", verify.CheckLog, reason.UnsupportedKey, keyLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			root := *req.Root
			root.Logs = []trust.Log{{BaseURL: root.Logs[0].BaseURL, ID: root.Logs[0].ID}}
			req.Root = &root
		}},
		{"waived, but wrong", verify.CheckLog, reason.LogEntry, keyLogged, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			req.Policy.IgnoreLog, entry(e).Promise = true, flip(entry(e).Promise)
		}},
		broken("promise", keyLogged, func(e *tlog.Entry) { e.Promise = flip(e.Promise) }),
		broken("integrated time", keyLogged, func(e *tlog.Entry) { e.IntegratedTime++ }),
		broken("index", keyLogged, func(e *tlog.Entry) { e.LogIndex++ }),
		broken("v2 index", keyLoggedV2, func(e *tlog.Entry) { e.LogIndex++ }),
		broken("kind", keyLogged, func(e *tlog.Entry) { e.Kind = "rekord" }),
		broken("version", keyLogged, func(e *tlog.Entry) { e.Version = "0.0.2" }),
		broken("body", keyLogged, func(e *tlog.Entry) { e.Body = []byte("{}") }),
		broken("kind unknown", keyLogged, func(e *tlog.Entry) {
			e.Kind, e.Body = "helm", []byte(`{"apiVersion":"0.0.1","kind":"helm","spec":{}}`)
		}),
		broken("root hash", keyLogged, func(e *tlog.Entry) { e.Proof.RootHash = flip(e.Proof.RootHash) }),
		broken("audit path", keyLogged, func(e *tlog.Entry) { e.Proof.Hashes[0] = flip(e.Proof.Hashes[0]) }),
		broken("tree size", keyLogged, func(e *tlog.Entry) { e.Proof.TreeSize++ }),
		broken("checkpoint", keyLoggedV2, func(e *tlog.Entry) { e.Proof.Checkpoint = "x" + e.Proof.Checkpoint }),
		broken("checkpoint's signature", keyLoggedV2, func(e *tlog.Entry) {
			line := strings.LastIndex(e.Proof.Checkpoint, " ")
			e.Proof.Checkpoint = e.Proof.Checkpoint[:line+20] + "AAAA" + e.Proof.Checkpoint[line+24:]
		}),
		{"entry of another signature", verify.CheckLog, reason.LogMismatch, keyLogged, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Entries = stranger(t, sc, e).bundle.Material.Entries
		}},
		{"entry of another certificate", verify.CheckLog, reason.LogMismatch, certLogged, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Certificates[0] = sc.w.CA.Issue(t, mint.LeafOptions{Public: e.pub, CTLogs: []*mint.CTLog{sc.w.CTLog}})
		}},
		{"good entry beside a wrong one", verify.CheckLog, reason.LogMismatch, keyLogged, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Entries = append(material(e).Entries, stranger(t, sc, e).bundle.Material.Entries...)
		}},
		{"attestation's entry for a blob", verify.CheckLog, reason.LogMismatch, keyLogged, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			s := certStatement
			s.Signer, s.Key = world.Key, e.key
			material(e).Entries = makeEvidence(t, sc.w, s).bundle.Material.Entries
		}},
		{"blob's entry for an attestation", verify.CheckLog, reason.LogMismatch, certStatement, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			s := certLogged
			s.Key = e.key
			material(e).Entries = makeEvidence(t, sc.w, s).bundle.Material.Entries
		}},
		{"dsse/0.0.2", verify.CheckLog, reason.LogEntry, world.Spec{Content: world.Statement, Log: world.LogV2, EntryKind: mint.DSSEV2}, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.AcceptLogDSSE = false
		}},
		{"logged by a digest that is not known", verify.CheckLog, reason.DigestUnknown, keyP384Logged, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			onlySHA256(e, req)
		}},
	}
}

func signerTwins() []twin {
	spoilSCT := func(list []byte) []byte { return flip(list) }
	return []twin{
		{"no root for the certificate", verify.CheckPath, reason.NoTrust, certLogged, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			req.Root, req.Policy.IgnoreLog, req.Policy.CurrentTime, material(e).Entries = nil, true, true, nil
		}},
		{"no authority", verify.CheckPath, reason.NoTrust, certLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			root := *req.Root
			root.CAs = nil
			req.Root = &root
		}},
		{"another authority", verify.CheckPath, reason.Certificate, certLogged, func(_ *testing.T, sc *scene, _ *evidence, req *verify.Request) {
			root := *req.Root
			root.CAs = root.CAs[1:]
			req.Root = &root
		}},
		{"expired", verify.CheckPath, reason.CertificateTime, world.Spec{Signer: world.Cert}, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			req.Now = e.spec.Time.Add(time.Hour)
		}},
		{"certificate timestamp", verify.CheckSCT, reason.SCT, world.Spec{Signer: world.Cert}, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Certificates[0] = sc.w.CA.Issue(t, mint.LeafOptions{Public: e.pub, CTLogs: []*mint.CTLog{sc.w.CTLog}, EditSCTs: spoilSCT})
		}},
		{"certificate timestamp, though waived", verify.CheckSCT, reason.SCT, world.Spec{Signer: world.Cert}, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			req.Policy.IgnoreSCT = true
			material(e).Certificates[0] = sc.w.CA.Issue(t, mint.LeafOptions{Public: e.pub, CTLogs: []*mint.CTLog{sc.w.CTLog}, EditSCTs: spoilSCT})
		}},
		{"detached certificate timestamp", verify.CheckSCT, reason.SCT, certImage, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).SCT = sc.w.CTLog.Detached(t, stranger(t, sc, e).bundle.Material.Certificates[0], e.spec.Time)
		}},
		{"certificate log's window over", verify.CheckSCT, reason.SCT, certLogged, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			root := *req.Root
			root.CTLogs = slices.Clone(root.CTLogs)
			root.CTLogs[0].Window.End = e.spec.Time.Add(-time.Hour)
			req.Root = &root
		}},
		{"no certificate timestamp", verify.CheckSCT, reason.NoSCT, world.Spec{Signer: world.Cert}, func(t *testing.T, sc *scene, e *evidence, _ *verify.Request) {
			material(e).Certificates[0] = sc.w.CA.Issue(t, mint.LeafOptions{Public: e.pub})
		}},
		{"unknown certificate log", verify.CheckSCT, reason.NoSCT, certLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			root := *req.Root
			root.CTLogs = nil
			req.Root = &root
		}},
		{"key's window over", verify.CheckKeyValidity, reason.KeyTime, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Keys[0].Window.End = req.Now.Add(-time.Second)
		}},
		{"another key", verify.CheckSignature, reason.Signature, keyBlob, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			req.Policy.Keys[0].Public = stranger(t, sc, e).pub
		}},
		{"another artifact", verify.CheckSignature, reason.Signature, keyBlob, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			req.Artifact.Message, e.bundle.Message.Digest, e.bundle.Message.Hash = algorithm.Bytes(otherArtifact), nil, 0
		}},
		{"signature", verify.CheckSignature, reason.Signature, keyStatement, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Envelope.Signatures[0].Sig = flip(e.bundle.Envelope.Signatures[0].Sig)
		}},
		{"hash that the key does not take", verify.CheckSignature, reason.UnsupportedKey, keyEd25519, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Hash = crypto.SHA256
		}},
		{"another hash demanded", verify.CheckSignature, reason.Signature, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Hash = crypto.SHA512
		}},
		{"algorithm stated with the key", verify.CheckSignature, reason.Signature, keyEd25519, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Keys[0].Details = algorithm.Ed25519ph
		}},
		{"digest alone for Ed25519", verify.CheckSignature, reason.DigestUnknown, keyEd25519, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			onlySHA256(e, req)
		}},
		{"somebody else", verify.CheckIdentity, reason.Identity, certLogged, func(t *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Identities = []identity.Matcher{exactly(t, "bob@bulla.test", mint.Issuer)}
		}},
		{"another issuer", verify.CheckIdentity, reason.Identity, certLogged, func(t *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Identities = []identity.Matcher{exactly(t, mint.Email, "https://issuer.example.org")}
		}},
		{"identity that was not made", verify.CheckIdentity, reason.Identity, certLogged, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Identities = []identity.Matcher{{}}
		}},
	}
}

func claimTwins() []twin {
	resign := func(t *testing.T, e *evidence) { // after a change of the envelope
		env := e.bundle.Envelope
		env.Signatures[0].Sig = mint.Sign(t, e.key, detailsOf(e.spec), bundle.PAE(env.PayloadType, env.Payload))
	}
	document := func(t *testing.T, e *evidence, payload string) {
		m := e.bundle.Message
		m.Payload = []byte(payload)
		m.Signature = mint.Sign(t, e.key, detailsOf(e.spec), m.Payload)
	}
	claims := func(c verify.Claims) func(*testing.T, *scene, *evidence, *verify.Request) {
		return func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Policy.Claims = c }
	}
	sha512Subject := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha512":"` + strings.Repeat("0", 128) + `"}}],"predicateType":"t","predicate":{}}`
	return []twin{
		{"message not accepted", verify.CheckPredicate, reason.Claim, keyBlob, claims(verify.Claims{SimpleSigning: true, AnyPredicate: true})},
		{"document not accepted", verify.CheckPredicate, reason.Claim, keyImage, claims(verify.Claims{Message: true, AnyPredicate: true})},
		{"statement not accepted", verify.CheckPredicate, reason.Claim, keyStatement, claims(verify.Claims{Message: true, SimpleSigning: true})},
		{"predicate type", verify.CheckPredicate, reason.Predicate, keyStatement, claims(verify.Claims{Predicates: []string{"https://slsa.dev/provenance/v1"}})},
		{"payload type", verify.CheckPredicate, reason.Claim, keyStatement, func(t *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Envelope.PayloadType = "text/plain"
			resign(t, e)
		}},
		{"statement is none", verify.CheckPredicate, reason.Malformed, keyStatement, func(t *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Envelope.Payload = []byte("[]")
			resign(t, e)
		}},
		{"document is none", verify.CheckPredicate, reason.Malformed, keyImage, func(t *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			document(t, e, "[]")
		}},
		{"messageDigest", verify.CheckArtifact, reason.Artifact, keyBlob, func(_ *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Message.Digest = flip(e.bundle.Message.Digest)
		}},
		{"messageDigest of another hash", verify.CheckArtifact, reason.DigestUnknown, keyBlob, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			m := e.bundle.Message
			m.Hash, m.Digest = crypto.SHA512, mint.Sum(crypto.SHA512, e.artifact)
			onlySHA256(e, req)
		}},
		{"subject", verify.CheckArtifact, reason.Artifact, keyStatement, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Artifact.Message = algorithm.Bytes(otherArtifact)
		}},
		{"no artifact for the subject", verify.CheckArtifact, reason.Artifact, keyStatement, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Artifact.Message = nil
		}},
		{"subject by an unknown digest", verify.CheckArtifact, reason.DigestUnknown, keyStatement, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			e.bundle.Envelope.Payload = []byte(sha512Subject)
			resign(t, e)
			onlySHA256(e, req)
		}},
		{"one digest of two differs", verify.CheckArtifact, reason.Artifact, keyStatement, func(t *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			e.bundle.Envelope.Payload = []byte(strings.Replace(string(e.bundle.Envelope.Payload), `"digest":{`, `"digest":{"sha512":"`+strings.Repeat("0", 128)+`",`, 1))
			resign(t, e)
		}},
		{"image", verify.CheckArtifact, reason.Artifact, keyImage, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Artifact.Message = algorithm.Bytes(otherArtifact)
		}},
		{"no image at all", verify.CheckArtifact, reason.Artifact, keyImage, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Artifact.Message = nil
		}},
		{"not an image", verify.CheckArtifact, reason.Artifact, keyImage, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Artifact.Image = false
		}},
		{"image's digest is none", verify.CheckPredicate, reason.Malformed, keyImage, func(t *testing.T, _ *scene, e *evidence, _ *verify.Request) {
			document(t, e, strings.Replace(string(e.bundle.Message.Payload), "sha256:", "md5:", 1))
		}},
		{"image of which another digest is known", verify.CheckArtifact, reason.DigestUnknown, keyImage, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			req.Artifact.Message = algorithm.Precomputed(crypto.SHA512, mint.Sum(crypto.SHA512, e.artifact))
		}},
		{"annotation missing", verify.CheckAnnotations, reason.Annotation, keyImage, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Annotations = map[string]string{"env": "prod"}
		}},
		{"annotation on a blob", verify.CheckAnnotations, reason.Annotation, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Policy.Annotations = map[string]string{"env": ""}
		}},
		{"annotation differs", verify.CheckAnnotations, reason.Annotation, keyImage, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			document(t, e, strings.Replace(string(e.bundle.Message.Payload), `"optional":null`, `"optional":{"env":"test"}`, 1))
			req.Policy.Annotations = map[string]string{"env": "prod"}
		}},
		{"annotation is no text", verify.CheckAnnotations, reason.Annotation, keyImage, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			document(t, e, strings.Replace(string(e.bundle.Message.Payload), `"optional":null`, `"optional":{"n":1}`, 1))
			req.Policy.Annotations = map[string]string{"n": "1"}
		}},
		{"nothing found", "", reason.NoEvidence, keyStatement, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Candidates = nil }},
		{"one signer of two", "", reason.Threshold, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Policy.Signers = 2 }},
		{"empty policy", "", reason.EmptyPolicy, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) { req.Policy = verify.Policy{} }},
		{"too many candidates", "", reason.Malformed, keyBlob, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			req.Candidates = slices.Repeat(req.Candidates, verify.MaxCandidates+1)
		}},
	}
}

// TestNegativeTwins breaks good evidence in one place at a time. Every code and every check must be there.
func TestNegativeTwins(t *testing.T) {
	sc := newScene(t)
	codes, checks := map[string]bool{}, map[string]bool{}
	all := slices.Concat(evidenceTwins(), logTwins(), signerTwins(), claimTwins(), revocationTwins())
	for _, tt := range all {
		codes[string(tt.code)], checks[string(tt.check)] = true, true
		t.Run(tt.name, func(t *testing.T) {
			e := makeEvidence(t, sc.w, tt.spec)
			req := e.request(t, sc.root)
			accepted(t, req)
			tt.change(t, sc, e, req)
			r := refused(t, req, tt.check, tt.code)
			if err, ok := errors.AsType[*verify.Error](r.Err()); !ok || err.Code != tt.code || err.Error() != r.Reason {
				t.Errorf("error %v", r.Err())
			}
			if tt.check != "" && (r.Nearest != 0 || r.Reason != r.Candidates[0].Reason) {
				t.Errorf("nearest %d, reason %q", r.Nearest, r.Reason)
			}
		})
	}
	for kind, seen := range map[string]map[string]bool{"Code": codes, "CheckName": checks} {
		for name, value := range constants(t, kind) {
			if name == "NoImage" || name == "Unknown" {
				continue // who looks for evidence says those, where there is nothing to verify
			}
			if !seen[value] {
				t.Errorf("no negative twin for %s", name)
			}
		}
	}
	t.Logf("%d twins", len(all))
}

// constants reads the string constants of a type, Code or CheckName, from the source.
func constants(t *testing.T, typeName string) map[string]string {
	t.Helper()
	source := "report.go"
	if typeName == "Code" {
		source = filepath.Join("reason", "reason.go")
	}
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typeName {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out[spec.Names[0].Name] = value
		}
		return true
	})
	if len(out) < 10 {
		t.Fatalf("%d constants of type %s found", len(out), typeName)
	}
	return out
}
