package verify_test

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// counted runs a request whose threshold is n-1, n and n+1 of what there is, n being the number that must be counted.
func counted(t *testing.T, n int, set func(threshold int), req *verify.Request, code reason.Code) {
	t.Helper()
	for threshold := 1; threshold <= n; threshold++ {
		set(threshold)
		if r := verify.Verify(req); !r.Verified {
			t.Errorf("threshold %d: refused: %s: %s", threshold, r.Code, r.Reason)
		}
	}
	set(n + 1)
	r := verify.Verify(req)
	wellRefused(t, r)
	if r.Verified || r.Code != code {
		t.Errorf("threshold %d: verified %v, %s (%s)", n+1, r.Verified, r.Code, r.Reason)
	}
}

// TestDistinctLogs counts transparency logs (GHSA-9vcr-p3rj-q5q6: a threshold counted entries).
func TestDistinctLogs(t *testing.T) {
	sc := newScene(t)
	v1, v2 := sc.w.V1, sc.w.V2
	const url = "https://second.test"
	tests := []struct {
		name string
		want int
		make func(e *evidence, root *trust.Root)
	}{
		{"one entry", 1, func(*evidence, *trust.Root) {}},
		{"two logs", 2, func(e *evidence, _ *trust.Root) { e.logAgain(t, v2, mint.HashedRekordV2) }},
		{"three logs", 3, func(e *evidence, root *trust.Root) {
			e.logAgain(t, v2, mint.HashedRekordV2)
			e.logAgain(t, sc.other.V1, mint.HashedRekordV1)
			root.Logs[2].BaseURL = url
		}},
		{"same log, another index", 1, func(e *evidence, _ *trust.Root) { e.logAgain(t, v1, mint.HashedRekordV1) }},
		{"same log, another kind", 1, func(e *evidence, _ *trust.Root) { e.logAgain(t, v1, mint.RekordV1) }},
		{"same v2 log, another index", 2, func(e *evidence, _ *trust.Root) {
			e.logAgain(t, v2, mint.HashedRekordV2)
			e.logAgain(t, v2, mint.HashedRekordV2)
		}},
		{"an entry of a stranger's log", 1, func(e *evidence, _ *trust.Root) {
			e.logAgain(t, mint.NewLogV1(t, mint.LogOptions{}), mint.HashedRekordV1)
		}},
		{"one key under two IDs and addresses", 1, func(e *evidence, root *trust.Root) {
			// The second ID is made up: of v1 logs nothing but the root ties ID to key.
			alias := root.Logs[0]
			alias.BaseURL, alias.ID, alias.CheckpointID = url, sum("alias"), alias.ID
			root.Logs = append(root.Logs, alias)
			entry := e.entry(t, v1, mint.HashedRekordV1)
			entry.LogID = alias.ID
			entry.Promise = v1.SignEntry(t, &entry)
			e.bundle.Material.Entries = append(e.bundle.Material.Entries, entry)
		}},
		{"one v2 key under two host names", 1, func(e *evidence, root *trust.Root) {
			twin := mint.NewLogV2(t, mint.LogOptions{Host: "twin.test", Key: v2.Key})
			log := root.Logs[1]
			log.BaseURL, log.ID = twin.URL, twin.ID(t)
			root.Logs = append(root.Logs, log)
			e.bundle.Material.Entries = nil
			e.logAgain(t, v2, mint.HashedRekordV2)
			e.logAgain(t, twin, mint.HashedRekordV2)
		}},
		{"one address with two keys", 1, func(e *evidence, root *trust.Root) {
			rotated := mint.NewLogV2(t, mint.LogOptions{Host: v2.Host})
			log := root.Logs[1]
			log.Key, log.ID = rotated.Key.Public(), rotated.ID(t)
			root.Logs = append(root.Logs, log)
			e.bundle.Material.Entries = nil
			e.logAgain(t, v2, mint.HashedRekordV2)
			e.logAgain(t, rotated, mint.HashedRekordV2)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := makeEvidence(t, sc.w, world.Spec{Log: world.LogV1, Timestamp: true})
			root := bothRoots(t, sc.w, sc.other)
			tt.make(e, root)
			req := e.request(t, root)
			counted(t, tt.want, func(n int) { req.Policy.Logs = n }, req, reason.NoLog)
		})
	}
}

func sum(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// TestDistinctCTLogs counts certificate transparency logs, of embedded and of detached timestamps.
func TestDistinctCTLogs(t *testing.T) {
	sc := newScene(t)
	a, b := sc.w.CTLog, sc.other.CTLog
	tests := []struct {
		name     string
		want     int
		embedded []*mint.CTLog
		detached *mint.CTLog
		root     func(r *trust.Root)
	}{
		{"one", 1, []*mint.CTLog{a}, nil, nil},
		{"two", 2, []*mint.CTLog{a, b}, nil, nil},
		{"the same twice", 1, []*mint.CTLog{a, a}, nil, nil},
		{"the same embedded and detached", 1, []*mint.CTLog{a}, a, nil},
		{"another detached", 2, []*mint.CTLog{a}, b, nil},
		{"a stranger's beside", 1, []*mint.CTLog{a, mint.NewCTLog(t, nil)}, nil, nil},
		{"one address with two keys", 1, []*mint.CTLog{a, b}, nil, func(r *trust.Root) { r.CTLogs[1].BaseURL = r.CTLogs[0].BaseURL }},
		{"listed twice", 1, []*mint.CTLog{a, a}, nil, func(r *trust.Root) {
			twin := r.CTLogs[0]
			twin.BaseURL = "https://twin.test"
			r.CTLogs = append(r.CTLogs, twin)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := makeEvidence(t, sc.w, world.Spec{
				Signer: world.Cert, Content: world.SimpleSigning, Log: world.LogV1SET, Leaf: mint.LeafOptions{CTLogs: tt.embedded},
			})
			if tt.detached != nil {
				e.bundle.Material.SCT = tt.detached.Detached(t, e.bundle.Material.Certificates[0], e.spec.Time)
			}
			root := bothRoots(t, sc.w, sc.other)
			root.CTLogs[1].BaseURL = "https://second.test"
			if tt.root != nil {
				tt.root(root)
			}
			req := e.request(t, root)
			counted(t, tt.want, func(n int) { req.Policy.SCTs = n }, req, reason.NoSCT)
		})
	}
}

// TestDistinctAuthorities counts timestamp authorities, never tokens.
func TestDistinctAuthorities(t *testing.T) {
	sc := newScene(t)
	at := world.SigningTime
	tests := []struct {
		name   string
		want   int
		stamps func(e *evidence)
		root   func(r *trust.Root)
	}{
		{"one", 1, func(*evidence) {}, nil},
		{"two", 2, func(e *evidence) { e.stampAgain(t, sc.other, at) }, nil},
		{"the same authority twice", 1, func(e *evidence) { e.stampAgain(t, sc.w, at.Add(time.Second)) }, nil},
		{"one address", 1, func(e *evidence) { e.stampAgain(t, sc.other, at) }, func(r *trust.Root) { r.TSAs[1].URI = r.TSAs[0].URI }},
		{"one operator", 1, func(e *evidence) { e.stampAgain(t, sc.other, at) }, func(r *trust.Root) {
			r.TSAs[0].Operator, r.TSAs[1].Operator = "tsa.test", "tsa.test"
		}},
		{"two operators", 2, func(e *evidence) { e.stampAgain(t, sc.other, at) }, func(r *trust.Root) {
			r.TSAs[0].Operator, r.TSAs[1].Operator = "a.test", "b.test"
		}},
		{"listed twice, each for its time", 1, func(e *evidence) { e.stampAgain(t, sc.w, at.Add(time.Second)) }, func(r *trust.Root) {
			r.TSAs = append(r.TSAs, r.TSAs[0])
			r.TSAs[2].URI = "https://third.test"
			r.TSAs[0].Window.End, r.TSAs[2].Window.Start = at, at.Add(time.Second)
		}},
		{"linked by a third", 1, func(e *evidence) {
			e.stampAgain(t, sc.other, at)
			e.stampAgain(t, sc.w, at.Add(time.Second))
		}, func(r *trust.Root) {
			// The third entry has the first's key and the second's operator, and is the only one for its second.
			r.TSAs = append(r.TSAs, r.TSAs[0])
			r.TSAs[2].URI = "https://third.test"
			r.TSAs[0].Window.End, r.TSAs[2].Window.Start = at, at.Add(time.Second)
			r.TSAs[1].Operator, r.TSAs[2].Operator = "b.test", "b.test"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := makeEvidence(t, sc.w, world.Spec{Timestamp: true})
			tt.stamps(e)
			root := bothRoots(t, sc.w, sc.other)
			if tt.root != nil {
				tt.root(root)
			}
			req := e.request(t, root)
			counted(t, tt.want, func(n int) { req.Policy.Timestamps = n }, req, reason.NoTimestamp)
		})
	}
}

// TestDistinctAuthorityWithoutLeaf lists one authority with its leaf and once more without: the token then carries it.
func TestDistinctAuthorityWithoutLeaf(t *testing.T) {
	sc := newScene(t)
	at := world.SigningTime
	e := makeEvidence(t, sc.w, world.Spec{Timestamp: true})
	token, err := sc.w.TSA.StampWith(e.signed().Signature, at.Add(time.Second), testenv.TSAToken{Embed: [][]byte{sc.w.TSA.Leaf.Raw}})
	if err != nil {
		t.Fatal(err)
	}
	e.bundle.Material.Timestamps = append(e.bundle.Material.Timestamps, token)
	root := sc.w.Root(t)
	twin, err := trust.NewTSA(trust.AuthoritySpec{URI: "https://twin.test", ChainPEM: mint.PEM(sc.w.TSA.Intermediate.Raw, sc.w.TSA.Root.Raw)})
	if err != nil {
		t.Fatal(err)
	}
	root.TSAs[0].Window.End, twin.Window.Start = at, at.Add(time.Second)
	root.TSAs = append(root.TSAs, twin)
	req := e.request(t, root)
	counted(t, 1, func(n int) { req.Policy.Timestamps = n }, req, reason.NoTimestamp)
}

// TestDistinctSigners counts principals over several candidates.
func TestDistinctSigners(t *testing.T) {
	sc := newScene(t)
	key := func(s world.Spec) *evidence { return makeEvidence(t, sc.w, s) }
	cert := func(key *evidence, sans ...string) *evidence {
		s := world.Spec{Signer: world.Cert, Log: world.LogV1}
		if key != nil {
			s.Key = key.key
		}
		for _, san := range sans {
			s.Leaf.SANs = append(s.Leaf.SANs, identity.SAN{Kind: identity.Email, Value: san})
		}
		return makeEvidence(t, sc.w, s)
	}
	one := key(world.Spec{})
	again := key(world.Spec{Key: one.key, Artifact: one.artifact})
	rsa := key(world.Spec{Algorithm: algorithm.RSAPKCS1v15x2048SHA256})
	pss := key(world.Spec{Algorithm: algorithm.RSAPSSx2048SHA256})
	alice, bob := cert(nil, mint.Email), cert(nil, "bob@bulla.test")
	tests := []struct {
		name string
		all  []*evidence
		want int
	}{
		{"one key", []*evidence{one}, 1},
		{"one candidate twice", []*evidence{one, one}, 1},
		{"one key, two signatures", []*evidence{one, again}, 1},
		{"two keys", []*evidence{one, key(world.Spec{})}, 2},
		{"one RSA key, v1.5 and PSS", []*evidence{rsa, pss}, 1},
		{"two identities", []*evidence{alice, bob}, 2},
		{"one identity, two certificates", []*evidence{alice, cert(nil, mint.Email)}, 1},
		{"one identity, the names in another order", []*evidence{cert(nil, "a@x.test", "b@x.test"), cert(nil, "b@x.test", "a@x.test")}, 1},
		{"one name, two issuers", []*evidence{alice, makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Log: world.LogV1, Leaf: mint.LeafOptions{Issuer: "https://other.test"}})}, 2},
		{"a name shared", []*evidence{cert(nil, "a@x.test", "b@x.test"), cert(nil, "b@x.test", "c@x.test")}, 1},
		{"names linked by a third certificate", []*evidence{cert(nil, "a@x.test"), cert(nil, "b@x.test"), cert(nil, "b@x.test", "a@x.test")}, 1},
		{"a key and an identity", []*evidence{one, alice}, 2},
		{"a key, bare and certified", []*evidence{one, cert(one, mint.Email)}, 1},
		{"one key certified for two", []*evidence{cert(one, mint.Email), cert(one, "bob@bulla.test")}, 1},
		{"two keys and two identities", []*evidence{one, key(world.Spec{}), alice, bob, again, cert(nil, mint.Email)}, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := alice.request(t, sc.root)
			req.Candidates, req.Policy.Identities = nil, nil
			req.Policy.AnyIdentityUnsafe, req.Policy.IgnoreLog = true, true
			for i, e := range tt.all {
				req.Candidates = append(req.Candidates, verify.Candidate{Name: fmt.Sprint(i), Bundle: e.bundle})
				if e.spec.Signer == world.Key {
					// Every key under two names, the second read from another encoding of it.
					pub, err := x509.ParsePKIXPublicKey(mint.SPKI(t, e.pub))
					if err != nil {
						t.Fatal(err)
					}
					req.Policy.Keys = append(req.Policy.Keys,
						trust.Key{Name: fmt.Sprintf("key %d", i), Public: e.pub}, trust.Key{Name: fmt.Sprintf("key %d again", i), Public: pub})
				}
			}
			counted(t, tt.want, func(n int) { req.Policy.Signers = n }, req, reason.Threshold)
			slices.Reverse(req.Candidates)
			counted(t, tt.want, func(n int) { req.Policy.Signers = n }, req, reason.Threshold)
			req.Policy.Signers = tt.want
			if r := verify.Verify(req); len(r.Principals) != tt.want {
				t.Errorf("principals %q, want %d", r.Principals, tt.want)
			}
		})
	}
}
