package oci

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/cache"
)

func itoa(n int) string { return strconv.Itoa(n) }

func mustConnect(t *testing.T, c *Client, img *Image) *session {
	t.Helper()
	s, err := c.connect(t.Context(), c.evidenceRepository(img), false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Requests, published in the documentation: n bundles that must all be seen cost 2n+2 with the older tag .sig asked as well,
// and one more without the referrers API. The ping, the exchange of tokens and redirects go apart.
func TestRequestBudget(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		for _, n := range []int{1, 10, 40} {
			t.Run(fmt.Sprintf("API %t, %d", referrers, n), func(t *testing.T) { budget(t, referrers, n) })
		}
	}
}

func budget(t *testing.T, referrers bool, n int) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{
		Referrers: referrers, User: "user", Password: "password", Bearer: true, Quirks: testenv.Quirks{RedirectBlobs: true},
	})
	ref := reg.PushImage(t, "app:v1")
	options := Options{Username: "user", Password: "password", Settle: 1}
	c := newClient(t, options)
	img := mustResolve(t, c, ref)
	for range n {
		mustAttach(t, c, img, bundleOptions(newBundle(t)))
	}
	extra := map[bool]int{true: 0, false: 1}[referrers]
	look := func(o FindOptions, items, most int) {
		t.Helper()
		reg.Reset()
		c := newClient(t, options)
		img, err := c.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		found := mustFind(t, c, img, o)
		if len(found.Items) != items || reg.Total() > most {
			t.Errorf("%d found with %d requests, want %d with at most %d\n%s", len(found.Items), reg.Total(), items, most, reg.Log())
		}
		t.Logf("%d found with %d requests; apart: %d pings, %d tokens, %d redirects",
			len(found.Items), reg.Total(), reg.Apart("ping"), reg.Apart("token"), reg.Apart("redirect"))
		if reg.Apart("ping") > 2 || reg.Apart("token") != 1 || reg.Apart("redirect") != items {
			t.Errorf("apart: %d pings, %d tokens, %d redirects", reg.Apart("ping"), reg.Apart("token"), reg.Apart("redirect"))
		}
	}
	// The first suffices.
	look(FindOptions{Bundles: true, Signatures: true, Portion: 1, Enough: func(*Evidence) bool { return true }}, 1, 3+extra)
	// All of them are needed, and suffice.
	look(FindOptions{Bundles: true, Signatures: true, Enough: func(e *Evidence) bool { return len(e.Items) == n }}, n, 2*n+1+extra)
	// All of the places that usually have something.
	look(FindOptions{Bundles: true, Signatures: true}, n, 2*n+2+extra)
	// The referrers tag beside the API, or the tags that continue it where there is no API, as well.
	look(FindOptions{Bundles: true, Signatures: true, Every: true}, n, 2*n+3+extra)
}

// With a cache that has seen the evidence before, only the lists are asked: one request with the referrers API, however many
// there are; two without it, for the API that is not there and the tag.
func TestRequestBudgetWarm(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: referrers, User: "user", Password: "password", Bearer: true})
		ref := reg.PushImage(t, "app:v1")
		dir := t.TempDir()
		options := Options{Username: "user", Password: "password", Settle: 1, Cache: openCache(t, dir)}
		for n := 1; n <= 5; n++ {
			img := mustResolve(t, newClient(t, options), ref)
			mustAttach(t, newClient(t, options), img, bundleOptions(newBundle(t)))
			for _, want := range []int{2*n + 1, 1} { // what was read the last time is warm already
				reg.Reset()
				options.Cache = openCache(t, dir) // as another process has it
				c := newClient(t, options)
				img, err := c.Parse(ref)
				if err != nil {
					t.Fatal(err)
				}
				found := mustFind(t, c, img, FindOptions{Bundles: true, Enough: func(e *Evidence) bool { return len(e.Items) == n }})
				if !referrers {
					want++
				}
				if len(found.Items) != n || reg.Total() > want {
					t.Errorf("API %t: %d found with %d requests, want %d with at most %d\n%s", referrers, len(found.Items), reg.Total(), n, want, reg.Log())
				}
			}
		}
	}
}

// The list is asked each time: what was taken off it, or put on it, counts at once. What the cache says is hashed.
func TestCacheIsNotBelieved(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	dir := t.TempDir()
	c := newClient(t, Options{Cache: openCache(t, dir)})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	attached := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	look := func() *Evidence { return mustFind(t, c, img, FindOptions{Bundles: true}) }
	if found := look(); len(found.Items) != 1 {
		t.Fatalf("got %s", summary(found))
	}
	tampered := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		tampered++
		return os.WriteFile(path, []byte(typeOCIManifest+"\n{}"), 0o600)
	})
	if found := look(); err != nil || tampered != 2 || len(found.Items) != 1 || found.Items[0].Err != nil {
		t.Errorf("error %v, %d tampered with, got %s", err, tampered, summary(found))
	}
	reg.DeleteManifest(t, "app", attached)
	if found := look(); len(found.Items) != 0 {
		t.Errorf("it was taken away, got %s", summary(found))
	}
	// Writing does not look into the cache: what is there only is attached again.
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 503})
	if found, err := c.Find(t.Context(), img, FindOptions{Bundles: true}); !isUnknown(err) {
		t.Errorf("without an answer of the registry: %v, got %s", err, summary(found))
	}
}

func openCache(t *testing.T, dir string) *cache.Cache {
	t.Helper()
	c, err := cache.Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Attaching one costs 8 requests, or 11 without the referrers API, read-back included, where an upload takes two requests, as
// with most registries. Who knows that it is not attached yet saves a question, and who looks
// whether the image is signed already, as sign and attest do, spends it on that.
func TestRequestBudgetOfWriting(t *testing.T) {
	for _, test := range []struct {
		referrers, look, fresh, subject, brief bool
		want                                   int
	}{
		{referrers: true, subject: true, want: 8},
		{referrers: true, want: 8},
		{referrers: true, fresh: true, subject: true, want: 7},
		{referrers: true, fresh: true, want: 8},
		{referrers: true, look: true, fresh: true, want: 9},
		{referrers: true, look: true, fresh: true, brief: true, want: 8},
		{referrers: true, look: true, fresh: true, brief: true, subject: true, want: 8},
		{want: 11},
		{fresh: true, want: 10},
		{look: true, fresh: true, want: 11},
		{look: true, fresh: true, brief: true, want: 11},
	} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{
			Referrers: test.referrers, OCISubject: test.subject, User: "user", Password: "password", Bearer: true, Quirks: testenv.Quirks{TwoStepUploads: true},
		})
		ref := reg.PushImage(t, "app:v1")
		// However busy this machine is, the list was not read so long ago that it must be read again.
		c := newClient(t, Options{
			Username: "user", Password: "password", Settle: time.Minute,
			Sleep: func(context.Context, time.Duration) error { return nil },
		})
		img := mustResolve(t, c, ref)
		o := bundleOptions(newBundle(t))
		if test.look {
			mustFind(t, c, img, FindOptions{Bundles: true, Brief: test.brief})
		}
		o.Fresh = test.fresh
		mustAttach(t, c, img, o)
		if reg.Total() > test.want {
			t.Errorf("%+v: %d requests\n%s", test, reg.Total(), reg.Log())
		}
		t.Logf("%+v: %d requests", test, reg.Total())
	}
}

// Looking goes on while there is not enough, to the last place, and in the stated order.
func TestFindOrder(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 404, Code: "NOT_FOUND"})
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Heal()
	if _, err := c.AttachLayer(t.Context(), img, signature); err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 4; want++ {
		asked := 0
		found, err := c.Find(t.Context(), img, FindOptions{Bundles: true, Signatures: true, Attestations: true, Portion: 1, Enough: func(e *Evidence) bool {
			asked++
			return len(e.Items) == want
		}})
		if err != nil || len(found.Items) != min(want, 3) || asked == 0 {
			t.Fatalf("%d wanted, error %v, got %s", want, err, summary(found))
		}
		if last := found.Items[len(found.Items)-1]; want == 3 && last.Place != PlaceSignatures {
			t.Errorf("got %s", summary(found))
		}
		if want == 4 {
			names := ""
			for _, p := range found.Places {
				names += p.Name + ", "
			}
			if names != "referrers API, fallback tag, signature tag, attestation tag, continuation tags, continuation tags, " {
				t.Errorf("asked %s", names)
			}
		}
	}
}

// A list that lies about one place is not the end of looking in others: what is unknown is said.
func TestFindNotEnoughAndUnknown(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Fail(testenv.Fault{Path: "/manifests/sha256-", Not: ".", Status: 429})
	found, err := c.Find(t.Context(), img, FindOptions{Bundles: true, Enough: func(*Evidence) bool { return false }})
	if err != nil || len(found.Items) != 1 || len(found.Places) != 2 || found.Places[1].Outcome != Unknown {
		t.Errorf("error %v, got %s", err, summary(found))
	}
}

// Where tags cannot be written twice, what follows the first is found all the same, by the last of the further tags.
func TestContinued(t *testing.T) {
	for kind := range map[string]bool{"ecr": true, "harbor": true, "conflict": true} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: kind}})
		c := newClient(t, Options{})
		img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
		for i := range 6 {
			mustAttach(t, c, img, bundleOptions(newBundle(t)))
			o := signature
			o.Annotations = map[string]string{annotationSignature: "MEUCIQ==", "n": itoa(i)}
			for range 2 { // once is enough
				if _, err := c.AttachLayer(t.Context(), img, o); err != nil {
					t.Fatal(err)
				}
			}
		}
		found := mustFind(t, c, img, FindOptions{Bundles: true, Signatures: true, Every: true})
		if len(found.Items) != 12 {
			t.Errorf("%s: got %s", kind, summary(found))
		}
		if reg.ReadManifest("app", referrersTag(img.Digest)+".5") == nil || reg.ReadManifest("app", referrersTag(img.Digest)+".6") != nil ||
			reg.ReadManifest("app", c.legacyTag(img, "5.sig")) == nil || reg.ReadManifest("app", c.legacyTag(img, "6.sig")) != nil {
			t.Errorf("%s: the tags are not numbered from 1 to 5:\n%s", kind, reg.Log())
		}
		nodes, places, err := c.Tree(t.Context(), img)
		if err != nil || len(nodes) != 8 || len(places) != 6 { // six bundles, the tag .sig and its continuation
			t.Errorf("%s: error %v, %d nodes, places %+v", kind, err, len(nodes), places)
		}
	}
}

// The last continuation is found with few requests, wherever it is.
func TestLastOf(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 9, 30, 100} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
		c := newClient(t, Options{})
		img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
		for i := range n {
			reg.PushManifest(t, "app", continuation("list", i+1), typeOCIManifest, img.Manifest())
		}
		reg.Reset()
		got, m, err := c.lastOf(context.Background(), mustConnect(t, c, img), placeContinued, "list", 0)
		if err != nil || got != n || (m != nil) != (n > 0) || reg.Total() > 16 {
			t.Errorf("%d: got %d, %v, with %d requests", n, got, err, reg.Total())
		}
	}
}
