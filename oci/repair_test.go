package oci

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/repair"
)

// states shows what a repair found, in the order of the list.
func states(r *repair.Result) string {
	var out []string
	for _, e := range r.Entries {
		out = append(out, e.State)
	}
	return strings.Join(out, " ")
}

func mustRepair(t *testing.T, c *Client, img *Image, o repair.Options, want string, written bool) {
	t.Helper()
	r, err := c.RepairReferrers(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := states(r); got != want || r.Written != written {
		t.Errorf("repaired %q, written %t, want %q and %t: %+v", got, r.Written, want, written, r.Entries)
	}
}

func TestRepair(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	first := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	second := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	mustRepair(t, c, img, repair.Options{}, "kept kept", false)

	// Another program has replaced the list with its own: one entry that says little, one that leads to nothing, and one
	// about something else.
	_, other, _ := strings.Cut(reg.PushImage(t, "app:v2"), "@")
	_, gone, _ := strings.Cut(reg.PushImage(t, "app:"), "@")
	size := len(reg.ReadManifest("app", first))
	entries := func(list string) string {
		return strings.NewReplacer("TYPE", typeOCIManifest, "FIRST", first, "SECOND", second, "OTHER", other, "GONE", gone,
			"SIZE", itoa(size)).Replace(list)
	}
	damaged := entries(index(`{"mediaType":"TYPE","digest":"FIRST","size":SIZE}`, `{"mediaType":"TYPE","digest":"GONE","size":2}`, `{"mediaType":"TYPE","digest":"OTHER","size":2}`))
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIIndex, []byte(damaged))
	reg.DeleteManifest(t, "app", gone)
	mustRepair(t, c, img, repair.Options{DryRun: true, Referrers: []string{second}}, "mended missing foreign added", false)
	if string(reg.ReadManifest("app", referrersTag(img.Digest))) != damaged {
		t.Error("a dry run has written")
	}
	mustRepair(t, c, img, repair.Options{Referrers: []string{second}, Prune: true}, "mended pruned pruned added", true)
	found := mustFind(t, c, img, FindOptions{Bundles: true, PredicateType: "https://sigstore.dev/cosign/sign/v1"})
	if len(found.Items) != 2 || found.Items[0].Digest != first || found.Items[1].Digest != second {
		t.Errorf("got %s", summary(found))
	}
	mustRepair(t, c, img, repair.Options{}, "kept kept", false)
	if _, err := c.RepairReferrers(t.Context(), img, repair.Options{Referrers: []string{"sha256:x"}}); err == nil {
		t.Error("something that is no digest was accepted")
	}
}

// What a tag leads to is found again without its digest.
func TestRepairScan(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	digest := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.PushManifest(t, "app", "kept-by-somebody", typeOCIManifest, reg.ReadManifest("app", digest))
	reg.DeleteManifest(t, "app", referrersTag(img.Digest))
	mustRepair(t, c, img, repair.Options{}, "", false)
	mustRepair(t, c, img, repair.Options{Scan: true}, "added", true)
	if found := mustFind(t, c, img, FindOptions{Bundles: true}); len(found.Items) != 1 || found.Items[0].Digest != digest {
		t.Errorf("got %s", summary(found))
	}
}

// A registry that got the API later does not list what the tag lists, until it is pushed once more.
func TestRepairBehindAPI(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 404, Code: "NOT_FOUND"})
	digest := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Heal()
	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 200, Times: 1, Body: index(), Header: map[string]string{"Content-Type": typeOCIIndex}})
	mustRepair(t, c, img, repair.Options{}, "added", true)
	if n := reg.Count("PUT manifests"); n != 3 {
		t.Errorf("%d manifests were written, want the referrer, the tag, and the referrer again:\n%s", n, reg.Log())
	}
	l, err := c.referrers(t.Context(), mustConnect(t, c, img), img)
	if err != nil || !l.api || !l.has(digest) {
		t.Errorf("got %+v, %v", l, err)
	}
}

// Unknown is not repaired: a list that could not be read is not replaced.
func TestRepairUnknown(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	for _, fault := range []testenv.Fault{
		{Method: "GET", Path: "/manifests/sha256-", Status: 429},
		{Method: "GET", Path: "/manifests/sha256:", Status: 500},
		{Method: "GET", Path: "/tags/list", Status: 200, Body: "<html>"},
	} {
		reg.Fail(fault)
		before := reg.Count("PUT manifests")
		if _, err := c.RepairReferrers(t.Context(), img, repair.Options{Prune: true, Scan: true}); !isUnknown(err) {
			t.Errorf("%+v: error %v", fault, err)
		}
		if reg.Count("PUT manifests") != before {
			t.Errorf("%+v: something was written", fault)
		}
		reg.Heal()
	}
}

// Where tags are written once, the list is the last of its continuations, and what was taken out of it stays out.
func TestRepairContinued(t *testing.T) {
	for _, kind := range []string{"ecr", "harbor", "conflict"} {
		t.Run(kind, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: kind}})
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			var digests []string
			for range 3 {
				digests = append(digests, mustAttach(t, c, img, bundleOptions(newBundle(t))))
			}
			tag := referrersTag(img.Digest)
			mustRepair(t, c, img, repair.Options{}, "kept kept kept", false)

			reg.DeleteManifest(t, "app", digests[0])
			mustRepair(t, c, img, repair.Options{}, "missing kept kept", false)
			mustRepair(t, c, img, repair.Options{Prune: true}, "pruned kept kept", true)
			mustRepair(t, c, img, repair.Options{Prune: true}, "kept kept", false)
			mustSeeTwo(t, c, img)

			// A hole in the numbers hides what follows it.
			reg.DeleteManifest(t, "app", continuation(tag, 1))
			mustRepair(t, c, img, repair.Options{}, "missing", false)
			mustRepair(t, c, img, repair.Options{Scan: true, Prune: true}, "pruned added added", true)
			mustRepair(t, c, img, repair.Options{}, "kept kept", false)
			mustSeeTwo(t, c, img)
			// A tag that is gone hides all of it, and is looked behind without a scan.
			reg.DeleteManifest(t, "app", tag)
			mustRepair(t, c, img, repair.Options{}, "added added", true)
			mustSeeTwo(t, c, img)
			reg.DeleteManifest(t, "app", tag)
			mustRepair(t, c, img, repair.Options{Scan: true}, "added added missing", true)
			mustSeeTwo(t, c, img)
		})
	}
}

func mustSeeTwo(t *testing.T, c *Client, img *Image) {
	t.Helper()
	found, err := c.Find(t.Context(), img, FindOptions{Bundles: true, Every: true})
	if err != nil || len(found.Items) != 2 || found.Items[0].Err != nil || found.Items[1].Err != nil {
		t.Errorf("found %v and %s", err, summary(found))
	}
	nodes, _, err := c.Tree(t.Context(), img)
	if err != nil || len(nodes) != 2 || nodes[0].Err != nil || nodes[1].Err != nil {
		t.Errorf("the tree shows %v and %+v", err, nodes)
	}
}

// A continuation that cannot be read leaves open what is listed: nothing is repaired.
func TestRepairContinuedUnknown(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "harbor"}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	for range 2 {
		mustAttach(t, c, img, bundleOptions(newBundle(t)))
	}
	for _, fault := range []testenv.Fault{
		{Method: "GET", Path: ".1", Status: 429},
		{Method: "GET", Path: ".1", Status: 404, Body: "<html>"},
		{Method: "GET", Path: ".1", Status: 200, Body: "{}", Header: map[string]string{"Content-Type": typeOCIManifest}},
	} {
		reg.Fail(fault)
		before := reg.Count("PUT manifests")
		if r, err := c.RepairReferrers(t.Context(), img, repair.Options{Prune: true}); !isUnknown(err) {
			t.Errorf("%+v: got %+v, %v", fault, r, err)
		}
		if reg.Count("PUT manifests") != before {
			t.Errorf("%+v: something was written", fault)
		}
		reg.Heal()
	}
}

// A registry may refuse a list of what it does not have: the error says what helps, and what that takes away.
func TestRepairRefused(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	var digests []string
	for range 3 {
		digests = append(digests, mustAttach(t, c, img, bundleOptions(newBundle(t))))
	}
	tag := referrersTag(img.Digest)
	size := itoa(len(reg.ReadManifest("app", digests[0])))
	entry := `{"mediaType":"` + typeOCIManifest + `","size":` + size + `,"digest":"`
	reg.PushManifest(t, "app", tag, typeOCIIndex, []byte(index(entry+digests[0]+`"}`, entry+digests[1]+`"}`)))
	reg.DeleteManifest(t, "app", digests[0])
	// The registry of the test refuses, as it is; with another status it is not that.
	_, err := c.RepairReferrers(t.Context(), img, repair.Options{Referrers: digests})
	if err == nil || !strings.Contains(err.Error(), "--prune takes them out of the list") || !strings.Contains(err.Error(), digests[0]) {
		t.Errorf("error %v", err)
	}
	reg.Fail(testenv.Fault{Method: "PUT", Path: tag, Status: 403, Code: "DENIED"})
	if _, err := c.RepairReferrers(t.Context(), img, repair.Options{Referrers: digests}); err == nil || strings.Contains(err.Error(), "--prune") {
		t.Errorf("not allowed: error %v", err)
	}
	reg.Heal()
	mustRepair(t, c, img, repair.Options{Referrers: digests, Prune: true}, "pruned mended added", true)
	mustSeeTwo(t, c, img)
	// Nothing is missing: it must be something else.
	reg.DeleteManifest(t, "app", tag)
	reg.Fail(testenv.Fault{Method: "PUT", Path: tag, Status: 400, Code: "MANIFEST_INVALID"})
	if _, err := c.RepairReferrers(t.Context(), img, repair.Options{Referrers: digests[1:]}); err == nil || strings.Contains(err.Error(), "--prune") {
		t.Errorf("nothing is missing: error %v", err)
	}
}

func TestIsContinuation(t *testing.T) {
	base := referrersTag("sha256:" + strings.Repeat("ab", 32))
	for tag, want := range map[string]bool{
		base + ".1": true, base + ".4096": true, base: false, base + ".": false, base + ".0": false, base + ".01": false,
		base + ".4097": false, base + ".-1": false, base + ".+1": false, base + ".1.sig": false, "x" + base + ".1": false,
	} {
		if got := isContinuation(tag, base); got != want {
			t.Errorf("%s: %t", tag, got)
		}
	}
	for tag, want := range map[string]int{
		base + ".1.sig": 1, base + ".12.sig": 12, base + ".sig": 0, base + ".1.att": 0, base + ".1": 0, base + ".01.sig": 0, base + ".1.sig.sig": 0, "x" + base + ".1.sig": 0,
	} {
		if got := continues(tag, base+".sig"); got != want {
			t.Errorf("%s: %d", tag, got)
		}
	}
}

// What a registry says in a list of its own making cannot be mended, and is not said to be.
func TestRepairOwnList(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, Quirks: testenv.Quirks{NoArtifactType: true}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	mustRepair(t, c, img, repair.Options{}, "kept", false)
}
