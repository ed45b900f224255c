package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/web"
)

// What was logged before a rotation is found on the pages, too, and proved with the key of its own shard.
func TestFrozenShards(t *testing.T) {
	now, old := newLog(t), newLog(t)
	now.add(&mint.LeafOptions{})
	old.add(&mint.LeafOptions{})
	old.add(&mint.LeafOptions{})
	s := now.site(func(c *web.Config) {
		c.Frozen = []web.TransparencyLog{{Name: "2026-1", URL: old.http.URL, Key: old.Key.Public()}}
	})
	old.found = []int64{first, first + 1}

	_, _, body := get(t, s, "/ui/log?by=email&q=alice@bulla.test")
	contains(t, body, "Nothing was found in this shard", `href="/ui/log?by=email&amp;q=alice%40bulla.test&amp;shard=2026-1">2026-1`)
	code, _, body := get(t, s, "/ui/log?"+url.Values{"by": {"email"}, "q": {"alice@bulla.test"}, "shard": {"2026-1"}}.Encode())
	if code != http.StatusOK || old.query.Get("email") != "alice@bulla.test" {
		t.Errorf("status %d, the frozen shard is asked for %v", code, old.query)
	}
	contains(t, body, `"/ui/log/11?shard=2026-1"`, "alice@bulla.test", `type="hidden" name="shard" value="2026-1"`, "after=7", `aria-current="page">2026-1`)
	_, _, body = get(t, s, "/ui/log?shard=2026-1&before=12")
	contains(t, body, `"/ui/log/11?shard=2026-1"`, `href="/ui/log?shard=2026-1">Newest`)
	code, _, body = get(t, s, "/ui/log/12?shard=2026-1")
	if code != http.StatusOK {
		t.Fatalf("an entry of the frozen shard: status %d:\n%s", code, body)
	}
	contains(t, body, "In the tree", `href="/ui/log/11?shard=2026-1"`)
	if code, _, _ := get(t, s, "/ui/log/12"); code != http.StatusNotFound {
		t.Errorf("the log in use has entries of the frozen one: status %d", code)
	}
	for _, path := range []string{"/ui/log?shard=2026-2", "/ui/log/11?shard=2026-2", "/ui/log?shard=..%2f"} {
		if code, _, body := get(t, s, path); code != http.StatusNotFound || !strings.Contains(body, "There is no such shard") {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

func TestFrozenShardsRefused(t *testing.T) {
	l := newLog(t)
	one := web.TransparencyLog{Name: "a", URL: l.http.URL, Key: l.Key.Public()}
	unnamed, keyless := one, one
	unnamed.Name, keyless.Key = "", nil
	for name, frozen := range map[string][]web.TransparencyLog{
		"twice": {one, one}, "no name": {unnamed}, "no key": {keyless}, "too many": make([]web.TransparencyLog, 101),
	} {
		if _, err := web.New(t.Context(), web.Config{TransparencyLog: &one, Frozen: frozen}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := web.New(t.Context(), web.Config{Frozen: []web.TransparencyLog{one}}); err == nil {
		t.Error("frozen logs without one in use: no error")
	}
}
