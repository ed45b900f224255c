package oci

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

var registries = []struct {
	name    string
	options testenv.RegistryOptions
}{
	{"referrers", testenv.RegistryOptions{Referrers: true, OCISubject: true}},
	{"referrers, silent", testenv.RegistryOptions{Referrers: true}},
	{"fallback", testenv.RegistryOptions{}},
	{"fallback with ETag", testenv.RegistryOptions{ETag: true}},
	{"fallback with ignored ETag", testenv.RegistryOptions{ETag: true, IgnoreMatch: true}},
}

// The manifest has cosign's members in cosign's order, so that cosign clean finds it by the config's artifactType.
func TestAttachBundleManifest(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	data := newBundle(t)
	digest := mustAttach(t, c, img, bundleOptions(data))
	want := strings.NewReplacer("SIZE", strconv.Itoa(len(data)), "DIGEST", testenv.SHA256(data), "SUBJECT", img.Digest, "LENGTH", strconv.Itoa(int(img.Size))).Replace(
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
			`"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"},` +
			`"layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","size":SIZE,"digest":"DIGEST"}],` +
			`"annotations":{"dev.sigstore.bundle.content":"dsse-envelope","dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1","org.opencontainers.image.created":"2026-11-22T10:50:33Z"},` +
			`"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":LENGTH,"digest":"SUBJECT"},` +
			`"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`)
	if got := string(reg.ReadManifest("app", digest)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAttachTwice(t *testing.T) {
	for _, test := range registries {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, test.options)
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			o := bundleOptions(newBundle(t))
			first := mustAttach(t, c, img, o)
			reg.Reset()
			o.Created = o.Created.AddDate(0, 0, 1)
			if second := mustAttach(t, c, img, o); second != first {
				t.Errorf("the same bundle was attached twice: %s and %s", first, second)
			}
			if n := reg.Count("PUT manifests") + reg.Count("POST uploads"); n != 0 {
				t.Errorf("%d writes for nothing:\n%s", n, reg.Log())
			}
			other := mustAttach(t, c, img, bundleOptions(newBundle(t)))
			found := mustFind(t, c, img, FindOptions{Bundles: true})
			if len(found.Items) != 2 || !slices.ContainsFunc(found.Items, func(i Item) bool { return i.Digest == other }) {
				t.Errorf("want two bundles, got %s", summary(found))
			}
		})
	}
}

// What others put into the fallback index stays as they wrote it, byte for byte.
func TestFallbackMerge(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	_, foreign, _ := strings.Cut(reg.PushImage(t, "app:"), "@")
	entry := `{ "digest":"` + foreign + `", "mediaType":"application/vnd.oci.image.manifest.v1+json","size":5,"data":"\u0065w==","annotations":{"z":"1","a":"2"},"x":1.50 }`
	index := `{"annotations":{"kept":"yes"},"manifests":[` + entry + `],"schemaVersion":2,"extra":[1.0,2],"mediaType":"` + typeOCIIndex + `"}`
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIIndex, []byte(index))
	digest := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	got := string(reg.ReadManifest("app", referrersTag(img.Digest)))
	start, end, _ := strings.Cut(index, entry)
	if !strings.HasPrefix(got, start+entry+",") || !strings.HasSuffix(got, end) {
		t.Errorf("the index was\n%s\nand is\n%s", index, got)
	}
	var parsed struct {
		Manifests []struct {
			Digest, ArtifactType string
			Annotations          map[string]string
		}
	}
	if err := json.Unmarshal([]byte(got), &parsed); err != nil {
		t.Fatal(err)
	}
	if ours := parsed.Manifests[1]; ours.Digest != digest || ours.ArtifactType != typeBundle || ours.Annotations[annotationContent] != ContentDSSE {
		t.Errorf("our entry: %+v", ours)
	}
}

func TestFallbackTagHoldsSomethingElse(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	ref := reg.PushImage(t, "app:v1")
	img := mustResolve(t, c, ref)
	image := reg.ReadManifest("app", img.Digest)

	// GitLab, and images written by cosign copy: the tag leads to the image itself.
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIManifest, image)
	found := mustFind(t, c, img, FindOptions{Bundles: true})
	if place := found.Places[0]; place.Outcome != Absent || place.Note == "" || len(found.Items) != 0 {
		t.Errorf("got %s", summary(found))
	}
	if _, err := c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t))); err == nil {
		t.Error("the only tag of an image was replaced")
	}
	tagged := mustResolve(t, c, reg.Host+"/app:v1")
	mustAttach(t, c, tagged, bundleOptions(newBundle(t)))
	if found := mustFind(t, c, img, FindOptions{Bundles: true}); len(found.Items) != 1 {
		t.Errorf("got %s", summary(found))
	}

	// Another image: nobody knows why, so it is left alone.
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIManifest, reg.ReadManifest("app", strings.SplitN(reg.PushImage(t, "app:"), "@", 2)[1]))
	if _, err := c.Find(t.Context(), img, FindOptions{Bundles: true}); !isUnknown(err) {
		t.Errorf("error %v", err)
	}
	if _, err := c.AttachBundle(t.Context(), tagged, bundleOptions(newBundle(t))); err == nil {
		t.Error("something unknown was replaced")
	}
}

// An index can be its own referrers tag on GitLab too: its children are not referrers.
func TestFallbackTagHoldsTheIndex(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	ref, _ := reg.PushIndex(t, "app:v1", 2)
	img := mustResolve(t, c, ref)
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIIndex, img.Manifest())
	found := mustFind(t, c, img, FindOptions{Bundles: true})
	if len(found.Items) != 0 || found.Places[0].Outcome != Absent {
		t.Errorf("got %s", summary(found))
	}
}

func TestAttachFaults(t *testing.T) {
	for _, test := range []struct {
		name    string
		options testenv.RegistryOptions
		fault   testenv.Fault
		lost    bool // the error must be a LostError
		ok      bool // it works in the end
	}{
		{"list lags", testenv.RegistryOptions{Referrers: true, Lag: 3}, testenv.Fault{}, false, true},
		{"list never shows it", testenv.RegistryOptions{Referrers: true, Lag: 1000}, testenv.Fault{}, true, false},
		{"manifest is lost", testenv.RegistryOptions{Referrers: true, OCISubject: true}, testenv.Fault{Method: "PUT", Path: "/manifests/sha256:", LoseWrite: true}, true, false},
		{"tag lags", testenv.RegistryOptions{Lag: 3}, testenv.Fault{}, false, true},
		{"tag never shows it", testenv.RegistryOptions{Lag: 1000}, testenv.Fault{}, true, false},
		{"tag write is lost once", testenv.RegistryOptions{}, testenv.Fault{Method: "PUT", Path: "/manifests/sha256-", LoseWrite: true, Times: 1}, false, true},
		{"tag writes are lost", testenv.RegistryOptions{}, testenv.Fault{Method: "PUT", Path: "/manifests/sha256-", LoseWrite: true}, true, false},
		{"tag is immutable", testenv.RegistryOptions{}, testenv.Fault{Method: "PUT", Path: "/manifests/sha256-", Status: 400, Code: "TAG_INVALID"}, true, false},
		{"tag cannot be read", testenv.RegistryOptions{}, testenv.Fault{Method: "GET", Path: "/manifests/sha256-", Status: 404, Body: "<html>"}, true, false},
		{"conflicts", testenv.RegistryOptions{ETag: true}, testenv.Fault{Method: "PUT", Path: "/manifests/sha256-", Status: 412, Times: 3}, false, true},
		{"busy", testenv.RegistryOptions{}, testenv.Fault{Method: "PUT", Path: "/manifests/", Status: 503, Times: 2}, false, true},
		{"list is throttled", testenv.RegistryOptions{Referrers: true}, testenv.Fault{Path: "/referrers/", Status: 429}, false, false},
		{"upload is refused", testenv.RegistryOptions{Referrers: true}, testenv.Fault{Path: "/blobs/uploads/", Status: 403, Code: "DENIED"}, false, false},
		{"upload leads nowhere", testenv.RegistryOptions{Referrers: true}, testenv.Fault{Method: "POST", Path: "/blobs/uploads/", Status: 202}, false, false},
		{"upload leads to a metadata service", testenv.RegistryOptions{Referrers: true}, testenv.Fault{Method: "POST", Path: "/blobs/uploads/", Status: 202, Header: map[string]string{"Location": "http://169.254.169.254/latest"}}, false, false},
		{"manifest is refused", testenv.RegistryOptions{Referrers: true}, testenv.Fault{Method: "PUT", Path: "/manifests/", Status: 401, Code: "UNAUTHORIZED"}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, test.options)
			c := newClient(t, Options{Attempts: 10})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			if test.fault.Path != "" {
				reg.Fail(test.fault)
			}
			digest, err := c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t)))
			if test.ok != (err == nil) {
				t.Fatalf("error %v\n%s", err, reg.Log())
			}
			if lost := (*LostError)(nil); errors.As(err, &lost) != test.lost {
				t.Errorf("error %v (%T)", err, err)
			} else if test.lost && (lost.Digest == "" || !slices.Contains(lost.Lost, lost.Digest)) {
				t.Errorf("the error does not name what is lost: %+v", lost)
			}
			reg.Heal()
			if found, _ := c.Find(t.Context(), img, FindOptions{Bundles: true}); test.ok && (len(found.Items) != 1 || found.Items[0].Digest != digest) {
				t.Errorf("got %s", summary(found))
			}
		})
	}
}

// Something that was in the list and vanishes while we write is put back; something that was deleted is not.
func TestFallbackRestores(t *testing.T) {
	t.Run("vanished", func(t *testing.T) { fallbackRestores(t, false) })
	t.Run("deleted", func(t *testing.T) { fallbackRestores(t, true) })
}

func fallbackRestores(t *testing.T, deleted bool) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	first := mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reached, release := make(chan struct{}, 1), make(chan struct{})
	// Our read-back waits until somebody else has emptied the list.
	reg.Fail(testenv.Fault{Method: "GET", Path: "/manifests/sha256-", Skip: 1, Times: 1, Reached: reached, Wait: release})
	done := make(chan error, 1)
	var second string
	go func() {
		var err error
		second, err = c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t)))
		done <- err
	}()
	<-reached
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIIndex, []byte(index()))
	want := 2
	if deleted {
		reg.DeleteManifest(t, "app", first)
		want = 1
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	found := mustFind(t, c, img, FindOptions{Bundles: true})
	digests := map[string]bool{}
	for _, item := range found.Items {
		digests[item.Digest] = item.Err == nil
	}
	if len(found.Items) != want || !digests[second] || digests[first] == deleted {
		t.Errorf("want %d bundles, got %s", want, summary(found))
	}
}

// Where the registry honours conditions, a list that was changed in between is not overwritten, not even for a moment.
func TestConditionalWrite(t *testing.T) {
	for _, test := range []struct {
		name  string
		first bool // there was no list when we read
	}{{"If-None-Match", true}, {"If-Match", false}} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{ETag: true})
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			want := 2
			if !test.first {
				mustAttach(t, c, img, bundleOptions(newBundle(t)))
				want = 3
			}
			reached, release := make(chan struct{}, 1), make(chan struct{})
			reg.Fail(testenv.Fault{Method: "PUT", Path: "/manifests/sha256-", Times: 1, Reached: reached, Wait: release})
			done := make(chan error, 1)
			go func() {
				_, err := c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t)))
				done <- err
			}()
			<-reached // ours has read the list, and its write is held
			mustAttach(t, newClient(t, Options{}), img, bundleOptions(newBundle(t)))
			close(release)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(reg.Log(), " 412") {
				t.Errorf("no condition was sent:\n%s", reg.Log())
			}
			if found := mustFind(t, c, img, FindOptions{Bundles: true}); len(found.Items) != want {
				t.Errorf("got %s", summary(found))
			}
		})
	}
}

// A list that took long to read is read again: others may have written since.
func TestStaleReadIsNotWritten(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	clock, calls := created, 0
	c := newClient(t, Options{Now: func() time.Time {
		if calls++; calls == 2 {
			clock = clock.Add(time.Second)
		}
		return clock
	}})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	log := reg.Log()
	before, _, _ := strings.Cut(log, "PUT /v2/app/manifests/sha256-")
	if n := strings.Count(before, "GET /v2/app/manifests/sha256-"); n != 2 {
		t.Errorf("the list was read %d times before it was written:\n%s", n, log)
	}
}

func TestAttachRefuses(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{Limits: Limits{Bundle: 100}})
	missing, err := c.Parse(reg.Host + "/app@sha256:" + strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	good := AttachOptions{Bundle: []byte("{}"), ContentKind: ContentMessage, Created: created}
	if _, err := c.AttachBundle(t.Context(), missing, good); !errors.Is(err, ErrImageNotFound) {
		t.Errorf("a missing image: %v", err)
	}
	missing.MediaType, missing.Size = typeOCIManifest, 10
	good.AllowMissing = true
	if _, err := c.AttachBundle(t.Context(), missing, good); err != nil {
		t.Errorf("a missing image, allowed: %v", err)
	}
	img := mustResolve(t, c, ref)
	for name, o := range map[string]AttachOptions{
		"empty":      {ContentKind: ContentDSSE, Created: created},
		"too large":  {Bundle: make([]byte, 101), ContentKind: ContentDSSE, Created: created},
		"no kind":    {Bundle: []byte("{}"), Created: created},
		"no time":    {Bundle: []byte("{}"), ContentKind: ContentDSSE},
		"other kind": {Bundle: []byte("{}"), ContentKind: "dsse", Created: created},
	} {
		if _, err := c.AttachBundle(t.Context(), img, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// COSIGN_REPOSITORY: the evidence goes elsewhere, and is looked for there; the image need not exist there.
func TestOtherRepository(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: referrers})
		ref := reg.PushImage(t, "app:v1")
		c := newClient(t, Options{Repository: reg.Host + "/signatures/here", TagPrefix: "pre-"})
		img := mustResolve(t, c, ref)
		if _, err := c.Find(t.Context(), img, FindOptions{Bundles: true, Signatures: true}); err != nil {
			t.Errorf("nothing there yet: %v", err)
		}
		mustAttach(t, c, img, bundleOptions(newBundle(t)))
		if _, err := c.AttachLayer(t.Context(), img, signature); err != nil {
			t.Fatal(err)
		}
		found := mustFind(t, c, img, FindOptions{Bundles: true, Signatures: true})
		if len(found.Items) != 2 || !strings.Contains(found.Places[1].Ref, "/signatures/here:pre-sha256-") {
			t.Errorf("got %s", summary(found))
		}
		if plain := newClient(t, Options{}); len(mustFind(t, plain, img, FindOptions{Bundles: true, Signatures: true}).Items) != 0 {
			t.Error("found beside the image as well")
		}
	}
}
