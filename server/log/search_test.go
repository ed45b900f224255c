package log

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
)

// settle waits until all that is published is indexed.
func settle(t testing.TB, l *Log) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		next, _, err := l.index.progress()
		if err != nil {
			t.Fatal(err)
		}
		if size, _, _ := l.Head(); next == size {
			return
		}
	}
	t.Fatal("the index does not reach the log")
}

func search(t testing.TB, srv *httptest.Server, query string) searchAnswer {
	t.Helper()
	status, _, body := get(t, srv, "/api/v2/search?"+query)
	var page searchAnswer
	if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d, %v: %s", query, status, err, body)
	}
	return page
}

func positions(page searchAnswer) string {
	var all []string
	for _, e := range page.Entries {
		all = append(all, e.LogIndex)
	}
	return strings.Join(all, " ")
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t)
	ca := mint.NewCA(t, mint.CAOptions{})
	s := ecdsaSigner(t)
	send := func(names []identity.SAN, message string) {
		t.Helper()
		s.cert = nil
		if names != nil {
			s.cert = ca.Issue(t, mint.LeafOptions{Public: s.key.Public(), SANs: names})
		}
		if status, _, answer := post(t, srv, s.upload(t, message)); status != http.StatusCreated {
			t.Fatalf("%d: %s", status, answer)
		}
	}
	const workflow = "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main"
	send([]identity.SAN{{Kind: identity.Email, Value: "Alice@example.com"}}, "one")
	send([]identity.SAN{{Kind: identity.URI, Value: workflow}}, "one")
	send(nil, "two")
	send([]identity.SAN{{Kind: identity.Email, Value: "bob@example.com"}}, "three")
	settle(t, l)

	sum := sha256.Sum256([]byte("one"))
	key := sha256.Sum256(mint.SPKI(t, s.key.Public()))
	check := func() {
		t.Helper()
		for query, want := range map[string]string{
			"email=alice@example.com": "0", "email=ALICE@EXAMPLE.COM": "0", "email=carol@example.com": "",
			"subject=Alice@example.com": "0", "subject=alice@example.com": "", "subject=" + url.QueryEscape(workflow): "1",
			"email=" + url.QueryEscape(workflow): "", "digest=sha256:" + hex.EncodeToString(sum[:]): "0 1",
			"digest=sha256:" + strings.ToUpper(hex.EncodeToString(sum[:])):   "0 1",
			"publicKey=sha256:" + hex.EncodeToString(key[:]):                 "0 1 2 3",
			"publicKey=sha256:" + hex.EncodeToString(key[:]) + "&limit=2":    "0 1",
			"after=1&publicKey=sha256:" + hex.EncodeToString(key[:]):         "2 3",
			"after=1&limit=1&publicKey=sha256:" + hex.EncodeToString(key[:]): "2",
			"after=3&publicKey=sha256:" + hex.EncodeToString(key[:]):         "",
		} {
			if got := positions(search(t, srv, query)); got != want {
				t.Errorf("%s finds %q, want %q", query, got, want)
			}
		}
	}
	check()
	page := search(t, srv, "limit=3&publicKey=sha256:"+hex.EncodeToString(key[:]))
	if page.Next != "2" || page.Indexed != "4" {
		t.Errorf("the page's next is %q, indexed %q", page.Next, page.Indexed)
	}
	e := search(t, srv, "email=alice@example.com").Entries[0]
	if len(e.Identities) != 1 || e.Identities[0] != (name{"email", "Alice@example.com"}) || e.Issuer != mint.Issuer {
		t.Errorf("the entry is %+v", e)
	}
	if status, _, answer := get(t, srv, e.Links.Entry); status != http.StatusOK {
		t.Errorf("%s: %d: %s", e.Links.Entry, status, answer)
	} else {
		entry(t, l, answer)
	}
	if status, _, _ := get(t, srv, e.Links.Tile); status != http.StatusOK {
		t.Errorf("%s: %d", e.Links.Tile, status)
	}

	if err := l.RebuildIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	// Without the index, with one of another log, and with a damaged one.
	for _, damage := range []func(path string) error{
		os.Remove,
		func(path string) error { return os.WriteFile(path, []byte("not an index"), 0o600) },
		func(path string) error { return os.Truncate(path, 5000) },
		func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		shut(t, l, srv)
		if err := damage(w.config(t).IndexFile); err != nil {
			t.Fatal(err)
		}
		l, srv = w.open(t)
		check()
	}
}

// TestIndexOfAnotherTree puts the index of one log beside another.
func TestIndexOfAnotherTree(t *testing.T) {
	a, b := newWorld(t), newWorld(t)
	la, sa := a.open(t)
	post(t, sa, ecdsaSigner(t).upload(t, "a"))
	post(t, sa, ecdsaSigner(t).upload(t, "b"))
	settle(t, la)
	shut(t, la, sa)
	lb, sb := b.open(t)
	s := ecdsaSigner(t)
	post(t, sb, s.upload(t, "c"))
	shut(t, lb, sb)
	data, err := os.ReadFile(a.config(t).IndexFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.config(t).IndexFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	lb, sb = b.open(t)
	settle(t, lb)
	sum := sha256.Sum256([]byte("a"))
	if got := positions(search(t, sb, "digest=sha256:"+hex.EncodeToString(sum[:]))); got != "" {
		t.Errorf("found %q", got)
	}
	key := sha256.Sum256(mint.SPKI(t, s.key.Public()))
	if got := positions(search(t, sb, "publicKey=sha256:"+hex.EncodeToString(key[:]))); got != "0" {
		t.Errorf("found %q", got)
	}
}

// TestLyingIndex: what the index says is looked up in the tree.
func TestLyingIndex(t *testing.T) {
	l, srv := newWorld(t).open(t)
	post(t, srv, ecdsaSigner(t).upload(t, "a"))
	request := ecdsaSigner(t).upload(t, "b")
	e, err := parseRequest(edit(t, request, func(map[string]any) {}))
	if err != nil {
		t.Fatal(err)
	}
	settle(t, l)
	lie := indexed{leaf: sha256.Sum256(append([]byte{0}, e.body...)), terms: []string{term("email", "x@example.com")}}
	if err := l.index.add(0, []indexed{lie}); err != nil {
		t.Fatal(err)
	}
	if got := positions(search(t, srv, "email=x@example.com")); got != "" {
		t.Errorf("found %q", got)
	}
	_, _, answer := post(t, srv, request)
	if got := entry(t, l, answer); got.LogIndex != 1 {
		t.Errorf("the upload is entry %d", got.LogIndex)
	}
}

func TestRefusedSearches(t *testing.T) {
	_, srv := newWorld(t).open(t)
	for _, query := range []string{
		"", "email=", "name=x", "email=a&email=b", "email=a&subject=b", "email=a&limit=0", "email=a&limit=101", "email=a&limit=x",
		"email=a&after=x", "email=a&after=-1", "email=a&after=9223372036854775807", "digest=abc", "digest=sha256:abcd",
		"digest=md5:d41d8cd98f00b204e9800998ecf8427e", "publicKey=x", "email=a&extra=1", "email=%zz", "email=a;b",
		"email=" + strings.Repeat("a", maxValue+1), "email=a&after=1&after=2", "email=a&" + strings.Repeat("a", 5*maxValue),
	} {
		status, _, answer := get(t, srv, "/api/v2/search?"+query)
		checkStatus(t, answer, 3)
		if status != http.StatusBadRequest {
			t.Errorf("%.40s: %d: %s", query, status, answer)
		}
	}
}

func TestTooManySearches(t *testing.T) {
	l, srv := newWorld(t).open(t)
	for range maxSearches {
		l.searches <- struct{}{}
	}
	status, header, answer := get(t, srv, "/api/v2/search?email=a")
	checkStatus(t, answer, 14)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d: %s", status, answer)
	}
	<-l.searches
	search(t, srv, "email=a")
}

// TestManyNames: a certificate with many names costs the index little.
func TestManyNames(t *testing.T) {
	s := ecdsaSigner(t)
	var names []identity.SAN
	for i := range 40 {
		names = append(names, identity.SAN{Kind: identity.Email, Value: fmt.Sprintf("u%d@example.com", i)})
	}
	s.cert = mint.NewCA(t, mint.CAOptions{}).Issue(t, mint.LeafOptions{Public: s.key.Public(), SANs: names})
	e, err := parseRequest(edit(t, s.upload(t, "m"), func(map[string]any) {}))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(e.terms); n > 2+2*maxIdentities || !slices.Equal(e.terms, describe(e.body).terms()) {
		t.Errorf("%d terms", n)
	}
}

func TestFrozenShard(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t)
	s := ecdsaSigner(t)
	for i := range 3 {
		post(t, srv, s.upload(t, strconv.Itoa(i)))
	}
	if err := l.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		resp, err := http.Post(srv.URL+l.cfg.Prefix+pathEntries, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer [200]byte
		n, _ := resp.Body.Read(answer[:])
		if resp.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(string(answer[:n]), frozenMessage) {
			t.Errorf("%d: %s", resp.StatusCode, answer[:n])
		}
	}
	refused()
	shut(t, l, srv)

	l, srv = w.open(t, func(c *Config) {
		c.PublicKey, c.Key, c.Lock, c.Frozen, c.Prefix = c.Key.Public(), nil, nil, true, "/log/2026"
	})
	refused()
	if err := l.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"checkpoint", "api/v2/checkpoint", "tile/0/000.p/3", "api/v2/tile/0/000.p/3", "tile/entries/000.p/3"} {
		if status, _, body := get(t, srv, "/log/2026/"+path); status != http.StatusOK {
			t.Errorf("%s: %d: %s", path, status, body)
		}
	}
	if status, _, _ := get(t, srv, "/checkpoint"); status != http.StatusNotFound {
		t.Errorf("the root is answered with %d", status)
	}
	_, _, answer := get(t, srv, "/log/2026/api/v2/log/entries/2")
	entry(t, l, answer)
	key := sha256.Sum256(mint.SPKI(t, s.key.Public()))
	status, _, body := get(t, srv, "/log/2026/api/v2/search?publicKey=sha256:"+hex.EncodeToString(key[:]))
	if status != http.StatusOK || !strings.Contains(string(body), `"/log/2026/tile/entries/000.p/3"`) {
		t.Errorf("%d: %s", status, body)
	}
}

func TestReadsAtBothPlaces(t *testing.T) {
	l, srv := newWorld(t).open(t)
	post(t, srv, ecdsaSigner(t).upload(t, "m"))
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/1", "/tile/entries/000.p/1"} {
		a, _, one := get(t, srv, path)
		b, _, two := get(t, srv, "/api/v2"+path)
		if a != http.StatusOK || b != http.StatusOK || !slices.Equal(one, two) {
			t.Errorf("%s: %d and %d", path, a, b)
		}
	}
	for _, path := range []string{"/tile/0/001", "/tile/x", "/tile/0/..%2f..%2fcheckpoint", "/tile/entries/%2e%2e/000"} {
		if status, _, _ := get(t, srv, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if _, err := Fsck(context.Background(), l.cfg, nil); err != nil {
		t.Error(err)
	}
}
