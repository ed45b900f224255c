package oci

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/repair"
)

// chainOf attaches so many older signatures, each in a continuation of its own where tags are written once.
func chainOf(t *testing.T, c *Client, img *Image, n int) {
	t.Helper()
	for i := range n {
		o := LayerOptions{Suffix: "sig", Payload: []byte("payload " + strconv.Itoa(i)), MediaType: "x/y", Annotations: map[string]string{"n": strconv.Itoa(i)}}
		if _, err := c.AttachLayer(t.Context(), img, o); err != nil {
			t.Fatal(err)
		}
	}
}

func mustRepairOlder(t *testing.T, c *Client, img *Image, o repair.Options, want string, written bool) {
	t.Helper()
	r, err := c.RepairReferrers(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Older) != 1 || r.Older[0].Place != PlaceSignatures {
		t.Fatalf("older tags: %+v", r.Older)
	}
	if got := states(r.Older[0]); got != want || r.Older[0].Written != written {
		t.Errorf("repaired %q, written %t, want %q and %t: %+v", got, r.Older[0].Written, want, written, r.Older[0].Entries)
	}
}

func mustSeeLayers(t *testing.T, c *Client, img *Image, want int) {
	t.Helper()
	found, err := c.Find(t.Context(), img, FindOptions{Signatures: true, Every: true})
	if len(found.Items) != want {
		t.Errorf("found %v and %s, want %d", err, summary(found), want)
	}
}

// Where tags are written once, the tag .sig that is gone hides what its continuations hold, and a hole in the numbers what
// follows it. Both are put right.
func TestRepairOlder(t *testing.T) {
	for _, kind := range []string{"ecr", "harbor", "conflict"} {
		t.Run(kind, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: kind}})
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			chainOf(t, c, img, 4)
			tag := c.legacyTag(img, "sig")
			mustRepairOlder(t, c, img, repair.Options{Scan: true}, "kept kept kept kept", false)
			mustSeeLayers(t, c, img, 4)

			reg.DeleteManifest(t, "app", tag)
			mustSeeLayers(t, c, img, 0)
			mustRepairOlder(t, c, img, repair.Options{DryRun: true}, "added added added added", false)
			if reg.ReadManifest("app", tag) != nil {
				t.Error("a dry run has written")
			}
			mustRepairOlder(t, c, img, repair.Options{}, "added added added added", true)
			mustRepairOlder(t, c, img, repair.Options{}, "kept kept kept kept", false)
			mustSeeLayers(t, c, img, 4)

			// The tag and its first continuation are gone: only the list of tags leads to the rest.
			reg.DeleteManifest(t, "app", tag)
			reg.DeleteManifest(t, "app", continuation(tag, 1))
			if r, err := c.RepairReferrers(t.Context(), img, repair.Options{}); err != nil || len(r.Older) != 0 {
				t.Errorf("without a scan: %+v, %v", r, err)
			}
			mustRepairOlder(t, c, img, repair.Options{Scan: true}, "added added added added", true)
			mustSeeLayers(t, c, img, 4)
		})
	}
}

// A hole behind the tag hides what was signed since.
func TestRepairOlderHole(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "harbor"}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	chainOf(t, c, img, 3)
	reg.DeleteManifest(t, "app", continuation(c.legacyTag(img, "sig"), 1))
	mustSeeLayers(t, c, img, 1)
	mustRepairOlder(t, c, img, repair.Options{}, "kept", false)
	mustRepairOlder(t, c, img, repair.Options{Scan: true}, "kept added added", true)
	mustSeeLayers(t, c, img, 3)
	mustRepairOlder(t, c, img, repair.Options{Scan: true}, "kept kept kept", false)
}

// What the registry does not have any more is not put into a list, and said.
func TestRepairOlderBlobGone(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "harbor"}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	chainOf(t, c, img, 2)
	reg.DeleteManifest(t, "app", c.legacyTag(img, "sig"))
	reg.Fail(testenv.Fault{Method: "HEAD", Path: "/blobs/" + digestOf([]byte("payload 0")), Status: 404, Code: "BLOB_UNKNOWN"})
	mustRepairOlder(t, c, img, repair.Options{}, "missing added", true)
	mustSeeLayers(t, c, img, 2) // of the tag one, and of its continuation, which is written once, the other
}

// A registry may refuse a tag that once was there. Nobody looks behind a tag that is missing: that is not called repaired.
func TestRepairOlderTombstone(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "ecr"}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	chainOf(t, c, img, 2)
	for range 2 {
		mustAttach(t, c, img, bundleOptions(newBundle(t)))
	}
	for _, tag := range []string{c.legacyTag(img, "sig"), referrersTag(img.Digest)} {
		body := reg.ReadManifest("app", tag)
		reg.DeleteManifest(t, "app", tag)
		reg.Fail(testenv.Fault{Method: "PUT", Path: "/manifests/" + tag, Not: ".1", Status: 400, Code: "TAG_INVALID"})
		_, err := c.RepairReferrers(t.Context(), img, repair.Options{})
		var lost *LostError
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), "refuses to have it written again") || len(lost.Lost) != 2 {
			t.Errorf("%s: error %v", tag, err)
		}
		reg.Heal()
		reg.PushManifest(t, "app", tag, typeOf(t, body), body)
	}
}

func typeOf(t *testing.T, manifest []byte) string {
	t.Helper()
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(manifest, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.MediaType
}

// What cannot be read is not repaired.
func TestRepairOlderUnknown(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "harbor"}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	chainOf(t, c, img, 3)
	reg.DeleteManifest(t, "app", c.legacyTag(img, "sig"))
	for _, fault := range []testenv.Fault{
		{Method: "GET", Path: ".sig", Status: 429},
		{Method: "GET", Path: ".1.sig", Status: 404, Body: "<html>"},
		{Method: "GET", Path: ".2.sig", Status: 200, Body: "{}", Header: map[string]string{"Content-Type": typeOCIIndex}},
		{Method: "HEAD", Path: "/blobs/", Status: 503},
	} {
		reg.Fail(fault)
		before := reg.Count("PUT manifests")
		if r, err := c.RepairReferrers(t.Context(), img, repair.Options{Scan: true}); !isUnknown(err) {
			t.Errorf("%+v: got %+v, %v", fault, r, err)
		}
		if reg.Count("PUT manifests") != before {
			t.Errorf("%+v: something was written", fault)
		}
		reg.Heal()
	}
}
