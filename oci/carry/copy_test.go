package carry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/carry"
)

// abilities are the kinds of registries that images are carried between.
var abilities = map[string]testenv.RegistryOptions{
	"referrers":       {Referrers: true},
	"subject header":  {Referrers: true, OCISubject: true},
	"fallback":        {},
	"fallback + etag": {ETag: true},
	"lagging":         {Lag: 1},
	// Lists are continued in further tags: sha256-<hex>.1, sha256-<hex>.1.sig.
	"immutable, ECR":    {Quirks: testenv.Quirks{Immutable: "ecr"}},
	"immutable, Harbor": {Quirks: testenv.Quirks{Immutable: "harbor"}},
	"immutable + etag":  {ETag: true, Quirks: testenv.Quirks{Immutable: "conflict"}},
}

func client(t *testing.T) *oci.Client {
	t.Helper()
	c, err := oci.New(oci.Options{Settle: time.Millisecond, Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// place is a repository in a registry, or a layout.
type place struct {
	client *oci.Client
	store  carry.Store
	repo   string // with the registry
}

func at(t *testing.T, c *oci.Client, repo string) *place {
	t.Helper()
	img, err := c.Parse(repo + ":x")
	if err != nil {
		t.Fatal(err)
	}
	return &place{c, c.Store(img.Repository), repo}
}

const sbomManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]%s}`

// source is a repository with everything: an index of two images; two bundles and a foreign referrer on the index; a bundle on
// a child; .sig on the index, .att on a child, .sbom on the index; and a signature of that SBOM.
func source(t *testing.T, o testenv.RegistryOptions) (*place, string) {
	t.Helper()
	reg := testenv.NewRegistry(t, o)
	index, images := reg.PushIndex(t, "app:v1", 2)
	c := client(t)
	ctx := t.Context()
	attach := func(name, content string) {
		img, err := c.Resolve(ctx, name)
		if err == nil {
			_, err = c.AttachBundle(ctx, img, oci.AttachOptions{
				Bundle: []byte(content), ContentKind: oci.ContentDSSE, PredicateType: "https://sigstore.dev/cosign/sign/v1", Created: time.Unix(1, 0),
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	layer := func(name, suffix, content string) {
		img, err := c.Resolve(ctx, name)
		if err == nil {
			_, err = c.AttachLayer(ctx, img, oci.LayerOptions{
				Suffix: suffix, Payload: []byte(content), MediaType: "x/y", Annotations: map[string]string{"a": content},
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	attach(index, `{"on":"index"}`)
	attach(index, `{"on":"index","too":1}`)
	attach(images[0], `{"on":"child"}`)
	layer(index, "sig", "one")
	layer(index, "sig", "two")
	layer(images[1], "att", "three")
	_, digest, _ := strings.Cut(index, "@")
	d := reg.PushBlob(t, "app", "text/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3"}`))
	blob := fmt.Sprintf(`{"mediaType":"text/spdx+json","digest":%q,"size":%d}`, d["digest"], d["size"])
	sbom := reg.PushManifest(t, "app", strings.Replace(digest, ":", "-", 1)+".sbom", "application/vnd.oci.image.manifest.v1+json",
		fmt.Appendf(nil, sbomManifest, blob, blob, ""))
	layer(sbom, "sig", "of the sbom")
	return at(t, c, reg.Host+"/app"), digest
}

func copyAll(t *testing.T, from, to *place, o carry.Options, digest string) (*carry.Report, error) {
	t.Helper()
	m, err := from.store.Manifest(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	o.From, o.To, o.Image = from.store, to.store, m
	return carry.Copy(t.Context(), o)
}

// want is how many pieces of each kind source has.
var want = map[string]int{"index": 1, "image": 2, "referrer": 3, "sig": 2, "att": 1, "sbom": 1}

func checkWhole(t *testing.T, r *carry.Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, it := range r.Items {
		if it.State != carry.StateEqual {
			t.Errorf("%s %s: %s (%s)", it.Kind, it.Digest, it.State, it.Note)
		}
		got[it.Kind]++
	}
	for kind, n := range want {
		if got[kind] != n {
			t.Errorf("%d of %s, want %d", got[kind], kind, n)
		}
	}
}

// TestCopyAgain: a second copy writes no blob, and what others attached at the target stays.
func TestCopyAgain(t *testing.T) {
	for name, o := range abilities {
		t.Run(name, func(t *testing.T) {
			src, digest := source(t, testenv.RegistryOptions{Referrers: true})
			reg := testenv.NewRegistry(t, o)
			dst := at(t, client(t), reg.Host+"/app")
			if _, err := copyAll(t, src, dst, carry.Options{Tag: "v1"}, digest); err != nil {
				t.Fatal(err)
			}
			img, err := dst.client.Resolve(t.Context(), dst.repo+"@"+digest)
			if err != nil {
				t.Fatal(err)
			}
			own := oci.LayerOptions{Suffix: "sig", Payload: []byte("ours"), MediaType: "x/y"}
			if _, err := dst.client.AttachLayer(t.Context(), img, own); err != nil {
				t.Fatal(err)
			}
			mine, err := dst.client.AttachBundle(t.Context(), img, oci.AttachOptions{Bundle: []byte(`{"my":1}`), ContentKind: oci.ContentDSSE, Created: time.Unix(1, 0)})
			if err != nil {
				t.Fatal(err)
			}
			reg.Reset()
			r, err := copyAll(t, src, dst, carry.Options{Tag: "v1"}, digest)
			if err != nil {
				t.Fatal(err)
			}
			if n := reg.Count("POST uploads"); n != 0 {
				t.Errorf("%d uploads", n)
			}
			if r.Count(carry.StateMerged) != 1 {
				t.Errorf("the signatures are not merged: %+v", r.Items)
			}
			pieces, err := dst.store.Attached(t.Context(), &carry.Manifest{Descriptor: carry.Descriptor{Digest: digest}})
			if err != nil {
				t.Fatal(err)
			}
			layers := 0
			for _, p := range pieces {
				if p.Suffix == "sig" {
					layers = strings.Count(string(p.Body), `"x/y"`)
				}
			}
			if layers != 3 || !slices.ContainsFunc(pieces, func(p carry.Piece) bool { return p.Digest == mine }) {
				t.Errorf("%d signatures, want 3; or the bundle is gone", layers)
			}
		})
	}
}

// TestCopyNeverHidesALoss: the registry says yes and stores nothing, for each kind of request.
func TestCopyNeverHidesALoss(t *testing.T) {
	src, digest := source(t, testenv.RegistryOptions{Referrers: true})
	for name, f := range map[string]testenv.Fault{
		"manifests lost": {Method: "PUT", Path: "/manifests/sha256:", LoseWrite: true},
		"lists lost":     {Method: "PUT", Path: "/manifests/sha256-", LoseWrite: true},
		"blobs lost":     {Method: "POST", Path: "/blobs/", LoseWrite: true},
		"one blob lost":  {Method: "POST", Path: "/blobs/", LoseWrite: true, Times: 1},
		"blobs refused":  {Method: "POST", Path: "/blobs/", Status: 403, Code: "DENIED"},
		"reads fail":     {Method: "GET", Path: "/manifests/", Status: 500},
		"lists fail":     {Method: "GET", Path: "/manifests/sha256-", Status: 429, Code: "TOOMANYREQUESTS"},
		"tag lost":       {Method: "PUT", Path: "/manifests/v1", Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
			reg.Fail(f)
			dst := at(t, client(t), reg.Host+"/app")
			r, err := copyAll(t, src, dst, carry.Options{Tag: "v1"}, digest)
			if err == nil {
				t.Fatalf("reported as a success: %+v", r.Items)
			}
			reg.Heal()
			r, err = copyAll(t, src, dst, carry.Options{Tag: "v1"}, digest)
			checkWhole(t, r, err)
		})
	}
}

// TestCopySourceFails: what the source does not deliver is no success either.
func TestCopySourceFails(t *testing.T) {
	for name, f := range map[string]testenv.Fault{
		"referrers throttled":  {Path: "/referrers/", Status: 429, Code: "TOOMANYREQUESTS"},
		"older tag broken":     {Path: ".sig", Status: 500},
		"older tag in HTML":    {Path: ".att", Status: 404, Body: "<html>"},
		"blob corrupt":         {Method: "GET", Path: "/blobs/", Corrupt: true},
		"blob cut off":         {Method: "GET", Path: "/blobs/", Truncate: true},
		"manifest cut off":     {Method: "GET", Path: "/manifests/sha256:", Truncate: true, Skip: 2},
		"manifest not there":   {Method: "GET", Path: "/manifests/sha256:", Status: 404, Code: "MANIFEST_UNKNOWN", Skip: 1, Times: 1},
		"listed and not there": {Method: "GET", Path: "/manifests/sha256:", Status: 404, Code: "MANIFEST_UNKNOWN", Skip: 2},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
			index, _ := reg.PushIndex(t, "app:v1", 2)
			c := client(t)
			img, err := c.Resolve(t.Context(), index)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.AttachBundle(t.Context(), img, oci.AttachOptions{Bundle: []byte(`{"my":1}`), ContentKind: oci.ContentDSSE, Created: time.Unix(1, 0)}); err != nil {
				t.Fatal(err)
			}
			src := at(t, c, reg.Host+"/app")
			m, err := src.store.Manifest(t.Context(), "v1")
			if err != nil {
				t.Fatal(err)
			}
			reg.Fail(f)
			target := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
			dst := at(t, client(t), target.Host+"/app")
			o := carry.Options{From: src.store, To: dst.store, Image: m, Tag: "v1"}
			if r, err := carry.Copy(t.Context(), o); err == nil {
				t.Fatalf("reported as a success: %+v", r.Items)
			}
			reg.Heal()
			if _, err := carry.Copy(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCopyTaken: a tag that holds something else is not replaced unasked, and nothing was written before that was said.
func TestCopyTaken(t *testing.T) {
	src, digest := source(t, testenv.RegistryOptions{Referrers: true})
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	reg.PushImage(t, "app:v1")
	dst := at(t, client(t), reg.Host+"/app")
	if _, err := copyAll(t, src, dst, carry.Options{Tag: "v1"}, digest); !errors.Is(err, carry.ErrTaken) {
		t.Fatalf("got %v", err)
	}
	if n := reg.Count("POST uploads") + reg.Count("PUT manifests"); n != 0 {
		t.Errorf("%d writes", n)
	}
	r, err := copyAll(t, src, dst, carry.Options{Tag: "v1", Force: true}, digest)
	checkWhole(t, r, err)
}

// TestCopyOnly takes one kind of evidence.
func TestCopyOnly(t *testing.T) {
	src, digest := source(t, testenv.RegistryOptions{Referrers: true})
	for only, kinds := range map[string]map[string]int{
		"sig":  {"sig": 1, "att": 0, "sbom": 0, "referrer": 3},
		"att":  {"sig": 0, "att": 1, "sbom": 0, "referrer": 0},
		"sbom": {"sig": 0, "att": 0, "sbom": 1, "referrer": 0},
	} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
		r, err := copyAll(t, src, at(t, client(t), reg.Host+"/app"), carry.Options{Only: []string{only}}, digest)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, it := range r.Items {
			got[it.Kind]++
		}
		for kind, n := range kinds {
			if got[kind] != n {
				t.Errorf("--only=%s: %d of %s, want %d", only, got[kind], kind, n)
			}
		}
	}
	if _, err := copyAll(t, src, src, carry.Options{Only: []string{"all"}}, digest); err == nil {
		t.Error("an unknown kind was taken")
	}
}
