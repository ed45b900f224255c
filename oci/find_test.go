package oci

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// The request counts are a promise: verifying one image by digest costs three requests, or four without the referrers API;
// signing costs eight, or eleven.
func TestRequestCounts(t *testing.T) {
	for _, test := range []struct {
		name       string
		options    testenv.RegistryOptions
		sign, find int
	}{
		{"referrers API", testenv.RegistryOptions{Referrers: true, OCISubject: true}, 8, 3},
		{"referrers API, silent", testenv.RegistryOptions{Referrers: true}, 8, 3},
		{"fallback tag", testenv.RegistryOptions{}, 11, 4},
		{"fallback tag with ETag", testenv.RegistryOptions{ETag: true}, 11, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, test.options)
			ref := reg.PushImage(t, "app:v1")
			data := newBundle(t)
			c := newClient(t, Options{UserAgent: "bulla/test"})
			digest := mustAttach(t, c, mustResolve(t, c, reg.Host+"/app:v1"), bundleOptions(data))
			if got := reg.Total(); got > test.sign {
				t.Errorf("attaching cost %d requests, want at most %d:\n%s", got, test.sign, reg.Log())
			}
			t.Logf("attach: %d requests\n%s", reg.Total(), reg.Log())
			reg.Reset()
			c = newClient(t, Options{UserAgent: "bulla/test"})
			img, err := c.Parse(ref)
			if err != nil {
				t.Fatal(err)
			}
			found := mustFind(t, c, img, FindOptions{Bundles: true})
			if got := reg.Total(); got > test.find {
				t.Errorf("finding cost %d requests, want at most %d:\n%s", got, test.find, reg.Log())
			}
			if len(found.Items) != 1 || found.Items[0].Err != nil || found.Items[0].Digest != digest || !bytes.Equal(found.Items[0].Raw, data) {
				t.Fatalf("found %s, want the bundle %s", summary(found), digest)
			}
			if item := found.Items[0]; item.PredicateType != "https://sigstore.dev/cosign/sign/v1" || item.Annotations[annotationContent] != ContentDSSE {
				t.Errorf("annotations: %v", item.Annotations)
			}
			if place := found.Places[0]; place.Outcome != Present || place.Count != 1 {
				t.Errorf("place: %+v", place)
			}
			if agents := reg.Agents(); len(agents) != 1 || agents[0] != "bulla/test" {
				t.Errorf("user agents: %q", agents)
			}
		})
	}
}

func TestFindOutcomes(t *testing.T) {
	everything := FindOptions{Bundles: true, Signatures: true, Attestations: true}
	for _, test := range []struct {
		name      string
		referrers bool
		fault     testenv.Fault
		place     string // the place that must be unknown; empty: all are absent
		status    int
	}{
		{"nothing, with the API", true, testenv.Fault{}, "", 0},
		{"nothing, without the API", false, testenv.Fault{}, "", 0},
		{"API throttled", true, testenv.Fault{Path: "/referrers/", Status: 429, Code: "TOOMANYREQUESTS"}, PlaceReferrers, 429},
		{"API fails", true, testenv.Fault{Path: "/referrers/", Status: 500}, PlaceReferrers, 500},
		{"API denies", true, testenv.Fault{Path: "/referrers/", Status: 403, Code: "DENIED"}, PlaceReferrers, 403},
		{"API answers HTML", true, testenv.Fault{Path: "/referrers/", Status: 200, Body: "<html>", Header: map[string]string{"Content-Type": "text/html"}}, PlaceReferrers, 200},
		{"API answers with another type", true, testenv.Fault{Path: "/referrers/", Status: 200, Body: `{"schemaVersion":2,"manifests":[]}`, Header: map[string]string{"Content-Type": "application/json"}}, PlaceReferrers, 200},
		{"API without list", true, testenv.Fault{Path: "/referrers/", Status: 200, Body: `{"schemaVersion":2}`, Header: map[string]string{"Content-Type": typeOCIIndex}}, PlaceReferrers, 200},
		{"API with null", true, testenv.Fault{Path: "/referrers/", Status: 200, Body: `{"schemaVersion":2,"manifests":null}`, Header: map[string]string{"Content-Type": typeOCIIndex}}, PlaceReferrers, 200},
		{"API with a list given twice", true, testenv.Fault{Path: "/referrers/", Status: 200, Body: `{"schemaVersion":2,"manifests":[],"manifests":[]}`, Header: map[string]string{"Content-Type": typeOCIIndex}}, PlaceReferrers, 200},
		{"API cut off", true, testenv.Fault{Path: "/referrers/", Truncate: true}, PlaceReferrers, 0},
		{"API answers 204", true, testenv.Fault{Path: "/referrers/", Status: 204}, PlaceReferrers, 204},
		{"API has HTML 404, and the tag is absent", true, testenv.Fault{Path: "/referrers/", Status: 404, Body: "<html>"}, "", 0},
		{"API unsupported", true, testenv.Fault{Path: "/referrers/", Status: 405, Code: "UNSUPPORTED"}, "", 0},
		{"API 405 without a code", true, testenv.Fault{Path: "/referrers/", Status: 405}, PlaceReferrers, 405},
		{"tag has HTML 404", false, testenv.Fault{Path: "/manifests/sha256-", Not: ".", Status: 404, Body: "<html>not found</html>"}, PlaceFallback, 404},
		{"tag has an empty 404", false, testenv.Fault{Path: "/manifests/sha256-", Not: ".", Status: 404}, PlaceFallback, 404},
		{"tag has a 404 with another code", false, testenv.Fault{Path: "/manifests/sha256-", Not: ".", Status: 404, Code: "DENIED"}, PlaceFallback, 404},
		{"tag throttled", false, testenv.Fault{Path: "/manifests/sha256-", Not: ".", Status: 429}, PlaceFallback, 429},
		{"signature tag fails", false, testenv.Fault{Path: ".sig", Status: 502}, PlaceSignatures, 502},
		{"signature tag has HTML 404", true, testenv.Fault{Path: ".sig", Status: 404, Body: "<html>"}, PlaceSignatures, 404},
		{"attestation tag fails", false, testenv.Fault{Path: ".att", Status: 401, Code: "UNAUTHORIZED"}, PlaceAttestations, 401},
		{"Harbor's code", true, testenv.Fault{Path: ".sig", Status: 404, Code: "NOT_FOUND"}, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: test.referrers})
			ref := reg.PushImage(t, "app:v1")
			if test.fault.Path != "" {
				reg.Fail(test.fault)
			}
			c := newClient(t, Options{})
			found, err := c.Find(t.Context(), mustResolve(t, c, ref), everything)
			var unknown *UnknownError
			if test.place == "" {
				if err != nil {
					t.Fatalf("want absent, got %v", err)
				}
				for _, place := range found.Places {
					if place.Outcome != Absent || place.Err != nil {
						t.Errorf("%s: %s, %v", place.Name, place.Outcome, place.Err)
					}
				}
				return
			}
			if !errors.As(err, &unknown) {
				t.Fatalf("want an unknown outcome, got %v", err)
			}
			if unknown.Place != test.place || unknown.Status != test.status && test.status != 0 || unknown.Hint == "" || unknown.URL == "" {
				t.Errorf("got %+v", unknown)
			}
			for _, place := range found.Places {
				if want := place.Name == test.place; want != (place.Outcome == Unknown) || want != (place.Err != nil) {
					t.Errorf("%s: %s, %v", place.Name, place.Outcome, place.Err)
				}
			}
		})
	}
}

// A registry that got the referrers API later: the tag still lists what was signed before.
func TestFindBehindNewAPI(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{})
	img := mustResolve(t, c, ref)
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 200, Body: index(), Header: map[string]string{"Content-Type": typeOCIIndex}})
	found := mustFind(t, c, img, FindOptions{Bundles: true})
	if len(found.Items) != 1 || found.Places[0].Outcome != Absent || found.Places[1].Outcome != Present {
		t.Errorf("got %s", summary(found))
	}
}

// A failure in one place does not hide what another place has.
func TestFindDespiteUnknownPlace(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{})
	img := mustResolve(t, c, ref)
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	reg.Fail(testenv.Fault{Path: ".sig", Status: 500})
	found := mustFind(t, c, img, FindOptions{Bundles: true, Signatures: true})
	if len(found.Items) != 1 || found.Places[1].Outcome != Unknown || found.Places[1].Err == nil {
		t.Errorf("got %s", summary(found))
	}
}

func TestFindDamage(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   testenv.Fault
		unknown bool
		want    string
	}{
		{"manifest with another digest", testenv.Fault{Method: "GET", Path: "/manifests/sha256:", Corrupt: true}, true, "has the digest"},
		{"manifest cut off", testenv.Fault{Method: "GET", Path: "/manifests/sha256:", Truncate: true}, true, "cut off"},
		{"manifest gone", testenv.Fault{Method: "GET", Path: "/manifests/sha256:", Status: 404, Code: "MANIFEST_UNKNOWN"}, true, "it is listed"},
		{"blob with another digest", testenv.Fault{Method: "GET", Path: "/blobs/", Corrupt: true}, true, "this digest"},
		{"blob cut off", testenv.Fault{Method: "GET", Path: "/blobs/", Truncate: true}, true, "cut off"},
		{"blob gone", testenv.Fault{Method: "GET", Path: "/blobs/", Status: 404, Code: "BLOB_UNKNOWN"}, true, "does not have it"},
		{"blob too long", testenv.Fault{Method: "GET", Path: "/blobs/", Status: 200, Body: strings.Repeat("x", 20000)}, true, "the limit is"},
		{"blob fails", testenv.Fault{Method: "GET", Path: "/blobs/", Status: 503}, true, "503"},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
			ref := reg.PushImage(t, "app:v1")
			c := newClient(t, Options{})
			img := mustResolve(t, c, ref)
			digest := mustAttach(t, c, img, bundleOptions(newBundle(t)))
			reg.Fail(test.fault)
			found, err := c.Find(t.Context(), img, FindOptions{Bundles: true})
			if len(found.Items) != 1 || found.Items[0].Err == nil || found.Items[0].Digest != digest || found.Items[0].Bundle != nil {
				t.Fatalf("want the candidate with its error, got %s", summary(found))
			}
			if isUnknown(err) != test.unknown {
				t.Errorf("error %v", err)
			}
			if got := found.Items[0].Err.Error(); !strings.Contains(got, test.want) {
				t.Errorf("error %q, want %q", got, test.want)
			}
		})
	}
}

// Whether an image is missing or unsigned are different answers.
func TestFindMissingImage(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	reg.PushImage(t, "app:v1")
	c := newClient(t, Options{})
	img, err := c.Parse(reg.Host + "/app@sha256:" + strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Find(t.Context(), img, FindOptions{Bundles: true}); !errors.Is(err, ErrImageNotFound) {
		t.Errorf("error %v, want %v", err, ErrImageNotFound)
	}
	if _, err := c.Find(t.Context(), img, FindOptions{}); err == nil {
		t.Error("a search for nothing found something")
	}
}
