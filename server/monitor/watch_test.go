package monitor

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
)

// person has a key and a certificate.
type person struct {
	key  crypto.PublicKey
	cert []byte
	tbs  []byte
}

func newPerson(t testing.TB, ca *mint.CA, mail, issuer string) person {
	t.Helper()
	key := mint.NewKey(t, algorithm.ECDSAP256SHA256).Public()
	der := ca.Issue(t, mint.LeafOptions{Public: key, SANs: []identity.SAN{{Kind: identity.Email, Value: mail}}, Issuer: issuer})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return person{key, der, cert.RawTBSCertificate}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func TestWatches(t *testing.T) {
	ca := mint.NewCA(t, mint.CAOptions{})
	alice, mallory := newPerson(t, ca, "alice@bulla.test", "https://a.test"), newPerson(t, ca, "malice@bulla.test.evil.test", "https://m.test")
	issuerKey := make([]byte, 32)
	people := []person{alice, mallory}
	for name, form := range map[string]struct {
		kind  Kind
		entry func(person) []byte
	}{
		"Rekor, certificate": {Rekor, func(p person) []byte { return rekorBody(t, p.cert, nil) }},
		"Rekor, key":         {Rekor, func(p person) []byte { return rekorBody(t, nil, p.key) }},
		"CT, certificate":    {CT, func(p person) []byte { return leafOf(0, nil, p.cert) }},
		"CT, precertificate": {CT, func(p person) []byte { return leafOf(1, issuerKey, p.tbs) }},
	} {
		hasCert, hasSum := name != "Rekor, key", name != "Rekor, key" && name != "CT, precertificate"
		for _, test := range []struct {
			watch Watch
			want  bool // that it finds alice
		}{
			{Watch{Subject: "alice@bulla.test"}, hasCert},
			{Watch{Subject: "Alice@bulla.test"}, false},
			{Watch{SubjectRegexp: ".*@bulla\\.test"}, hasCert},
			{Watch{SubjectRegexp: "alice"}, false}, // must match the whole
			{Watch{SubjectRegexp: "lice@bulla.test"}, false},
			{Watch{Issuer: "https://a.test"}, hasCert},
			{Watch{IssuerRegexp: "https://[ab]\\.test"}, hasCert},
			{Watch{Subject: "alice@bulla.test", Issuer: "https://m.test"}, false},
			{Watch{Key: sum(mint.SPKI(t, alice.key))}, true},
			{Watch{Key: strings.ToUpper(sum(mint.SPKI(t, alice.key)))}, true},
			{Watch{Key: sum([]byte("x"))}, false},
			{Watch{Certificate: "sha256:" + sum(alice.cert)}, hasSum},
			{Watch{Certificate: sum(alice.cert), Key: sum(mint.SPKI(t, mallory.key))}, false},
			{Watch{Subject: "alice@bulla.test", Key: sum(mint.SPKI(t, alice.key))}, hasCert},
		} {
			test.watch.Name = "w"
			l := newTreeLog(t, form.kind)
			l.fill(3)
			for _, p := range people {
				l.entries = append(l.entries, form.entry(p))
			}
			b := watchLog(t, l, test.watch)
			b.want()
			found := b.follower.status().Found
			if !test.want {
				if len(found) != 0 {
					t.Errorf("%s: %+v found %+v", name, test.watch, found)
				}
				continue
			}
			if len(found) != 1 || found[0].Index != 3 || found[0].Watch != "w" || found[0].Key != sum(mint.SPKI(t, alice.key)) {
				t.Errorf("%s: %+v found %+v", name, test.watch, found)
				continue
			}
			if hasCert && (fmt.Sprint(found[0].Subjects) != "[alice@bulla.test]" || found[0].Issuer != "https://a.test" || found[0].Signed == "") {
				t.Errorf("%s: %+v", name, found[0])
			}
			if !strings.Contains(b.logged.String(), `msg="watched identity" log=log watch=w index=3`) {
				t.Errorf("%s: %s", name, b.logged.String())
			}
		}
	}
}

// Findings are told of only when the entry is known to be the tree's, and told again rather than not at all.
func TestFindingsAreGenuine(t *testing.T) {
	ca := mint.NewCA(t, mint.CAOptions{})
	alice := newPerson(t, ca, "alice@bulla.test", "https://a.test")
	l := newTreeLog(t, Rekor)
	l.fill(10)
	b := watchLog(t, l, Watch{Name: "w", Subject: "alice@bulla.test"})
	body := rekorBody(t, alice.cert, nil)
	l.tamper = func(path string, data []byte) []byte {
		if path != "tile/entries/000.p/10" {
			return data
		}
		whole := l.entries
		l.entries = append([][]byte{body}, whole[1:]...)
		defer func() { l.entries = whole }()
		return l.tile(path)
	}
	b.want(Tiles)
	if found := b.follower.status().Found; len(found) != 0 || strings.Contains(b.logged.String(), "watched identity") {
		t.Errorf("found in what is not the log's: %+v", found)
	}
	l.set(func() { l.tamper = nil; l.entries = append(l.entries, body) })
	b.want()
	b.reopen()
	if found := b.follower.status().Found; len(found) != 1 || found[0].Index != 10 {
		t.Errorf("%+v", found)
	}
	// The state keeps the last ones; the first ones are in the log file and counted.
	l.set(func() {
		for range 2 * maxFindings {
			l.entries = append(l.entries, body)
		}
	})
	b.want()
	if found := b.follower.status().Found; len(found) != maxFindings || found[maxFindings-1].Index != 10+2*maxFindings {
		t.Errorf("%d findings", len(found))
	}
	if n := strings.Count(b.logged.String(), "watched identity"); n != 1+2*maxFindings {
		t.Errorf("%d lines", n)
	}
}

// What cannot be read is counted and said: it could be a name that somebody hides.
func TestUnreadableEntries(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.entries = [][]byte{[]byte("{}"), []byte("\x00"), {}}
	b := watchLog(t, l)
	b.want()
	b.wantRead(3)
	if !strings.Contains(b.logged.String(), "count=3 first=0") {
		t.Error(b.logged.String())
	}
}

func TestConfigRefused(t *testing.T) {
	l := newTreeLog(t, Rekor)
	good := Log{Name: "log", Kind: Rekor, URL: "http://127.0.0.1:1", Origin: "o", Key: l.key.Public()}
	logWith := func(change func(*Log)) Config {
		l := good
		change(&l)
		return Config{Logs: []Log{l}}
	}
	watchWith := func(w Watch) Config { return Config{Logs: []Log{good}, Watches: []Watch{w}} }
	for name, cfg := range map[string]Config{
		"no log":            {},
		"two of a name":     {Logs: []Log{good, good}},
		"no name":           logWith(func(l *Log) { l.Name = "" }),
		"path as name":      logWith(func(l *Log) { l.Name = "../x" }),
		"hidden name":       logWith(func(l *Log) { l.Name = ".x" }),
		"long name":         logWith(func(l *Log) { l.Name = strings.Repeat("a", maxName+1) }),
		"no kind":           logWith(func(l *Log) { l.Kind = 0 }),
		"file URL":          logWith(func(l *Log) { l.URL = "file:///etc/passwd" }),
		"URL with query":    logWith(func(l *Log) { l.URL += "?x" }),
		"URL with user":     logWith(func(l *Log) { l.URL = "http://a:b@127.0.0.1" }),
		"no host":           logWith(func(l *Log) { l.URL = "http://" }),
		"no origin":         logWith(func(l *Log) { l.Origin = "" }),
		"no key":            logWith(func(l *Log) { l.Key = nil }),
		"foreign key":       logWith(func(l *Log) { l.Key = "key" }),
		"negative stall":    logWith(func(l *Log) { l.Stall = -1 }),
		"short interval":    {Logs: []Log{good}, Interval: 1},
		"watch for nothing": watchWith(Watch{Name: "w"}),
		"watch, no name":    watchWith(Watch{Subject: "x"}),
		"watch, two ways":   watchWith(Watch{Name: "w", Subject: "x", SubjectRegexp: "x"}),
		"watch, bad regexp": watchWith(Watch{Name: "w", IssuerRegexp: "("}),
		"watch, short key":  watchWith(Watch{Name: "w", Key: "abcd"}),
		"watch, no hex":     watchWith(Watch{Name: "w", Certificate: strings.Repeat("z", 64)}),
		"watch twice":       {Logs: []Log{good}, Watches: []Watch{{Name: "w", Subject: "x"}, {Name: "w", Subject: "y"}}},
		"too many watches":  {Logs: []Log{good}, Watches: make([]Watch, maxWatches+1)},
	} {
		cfg.Dir = t.TempDir()
		if m, err := New(t.Context(), cfg); err == nil {
			_ = m.Close(t.Context())
			t.Errorf("%s: no error", name)
		}
	}
	if m, err := New(t.Context(), Config{Logs: []Log{good}}); err == nil {
		_ = m.Close(t.Context())
		t.Error("no directory: no error")
	}
}

// Whatever stands in an entry: no panic, and a precertificate reads as the certificate with the same content does.
func FuzzSignatures(f *testing.F) {
	ca := mint.NewCA(f, mint.CAOptions{})
	p := newPerson(f, ca, "alice@bulla.test", "https://a.test")
	f.Add(true, leafOf(0, nil, p.cert))
	f.Add(true, leafOf(1, make([]byte, 32), p.tbs))
	f.Add(false, rekorBody(f, p.cert, nil))
	f.Add(false, rekorBody(f, nil, p.key))
	f.Add(true, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, ct bool, entry []byte) {
		kind := Rekor
		if ct {
			kind = CT
		}
		found, err := kind.signatures(entry)
		if ct && (err == nil) != (len(found) == 1) {
			t.Fatalf("%d signatures, %v", len(found), err)
		}
		for _, s := range found {
			_ = s.finding("log", "w", 0, mint.Epoch)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"origin":"o","key":"k","head":"","grown":"2026-03-01T12:00:00Z","read":0,"frontier":[],"found":[]}`))
	f.Add([]byte(`{"version":1,"read":3,"frontier":["00","00"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeState(bytes.NewReader(data))
		if err != nil {
			return
		}
		if front, err := decodeFrontier(s.Read, s.Frontier); err == nil {
			if err := front.check(); err != nil {
				t.Fatal(err)
			}
			front.root()
		}
	})
}

// Tiles that somebody else wrote never lead to another frontier than the signed tree's.
func FuzzPrefix(f *testing.F) {
	l := newTreeLog(f, Rekor)
	l.fill(600)
	root := l.mth(0, 600)
	f.Add(uint16(300), uint16(0), []byte{})
	f.Add(uint16(600), uint16(700), []byte{1})
	f.Add(uint16(257), uint16(8000), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, n, at uint16, change []byte) {
		size := int64(n)%600 + 1
		got, err := prefix(size, 600, root, tamperedTiles(l, int(at), change))
		if err != nil {
			return
		}
		want := frontier{}
		for i := range int(size) {
			want.add(l.leaf(i))
		}
		if !got.equal(want) {
			t.Fatalf("another frontier of %d", size)
		}
	})
}
