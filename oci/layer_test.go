package oci

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestAttachLayer(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	attach := func(o LayerOptions) {
		t.Helper()
		if digest, err := c.AttachLayer(t.Context(), img, o); err != nil || digest != testenv.SHA256(o.Payload) {
			t.Fatalf("digest %s, error %v", digest, err)
		}
	}
	attach(signature)
	tag := strings.Replace(img.Digest, ":", "-", 1) + ".sig"
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":`
	if got := string(reg.ReadManifest("app", tag)); !strings.HasPrefix(got, want) || !strings.Contains(got, `"annotations":{"dev.cosignproject.cosign/signature":"MEUCIQ=="}`) {
		t.Errorf("manifest %s", got)
	}
	reg.Reset()
	attach(signature)
	if n := reg.Count("PUT manifests"); n != 0 {
		t.Errorf("the same signature was written again:\n%s", reg.Log())
	}
	second := signature
	second.Annotations = maps.Clone(second.Annotations)
	second.Annotations[annotationSignature] = "AAAA"
	attach(second)
	reg.Reset()
	found := mustFind(t, c, img, FindOptions{Signatures: true})
	if len(found.Items) != 2 || !found.Items[0].Legacy || found.Items[1].Annotations[annotationSignature] != "AAAA" {
		t.Errorf("got %s", summary(found))
	}
	if reg.Total() != 2 {
		t.Errorf("two signatures of one payload cost %d requests, want 2:\n%s", reg.Total(), reg.Log())
	}
}

// Where tags are written once nothing is replaced, and that is said instead of attaching one more.
func TestAttachLayerReplaceKept(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "ecr"}})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	for i, test := range []struct {
		predicate string
		replace   bool
		refused   string
		have      int
	}{
		{"a", true, "", 1}, // there is none to replace
		{"a", true, "cannot be replaced", 1},
		{"a", true, "cannot be replaced", 1},
		{"b", true, "", 2},
		{"b", true, "cannot be replaced", 2}, // which only the continuation lists
		{"b", false, "", 3},
	} {
		o := LayerOptions{
			Suffix: "att", Payload: []byte(itoa(i)), MediaType: "application/vnd.dsse.envelope.v1+json", ReplacePredicate: test.replace,
			Annotations: map[string]string{annotationSignature: "", annotationLegacy: test.predicate},
		}
		_, err := c.AttachLayer(t.Context(), img, o)
		if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
			t.Errorf("%d: error %v, want %q", i, err, test.refused)
		}
		if found, err := c.Find(t.Context(), img, FindOptions{Attestations: true, Every: true}); len(found.Items) != test.have {
			t.Errorf("%d: %d attestations, want %d: %v", i, len(found.Items), test.have, err)
		}
	}
}

func TestAttachLayerReplace(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{ETag: true})
	c := newClient(t, Options{DockerMediaTypes: true})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	attestation := func(payload, predicate string, replace bool) {
		t.Helper()
		o := LayerOptions{
			Suffix: "att", Payload: []byte(payload), MediaType: "application/vnd.dsse.envelope.v1+json", ReplacePredicate: replace,
			Annotations: map[string]string{annotationSignature: "", annotationLegacy: predicate},
		}
		if _, err := c.AttachLayer(t.Context(), img, o); err != nil {
			t.Fatal(err)
		}
	}
	attestation("1", "a", false)
	attestation("2", "b", false)
	attestation("3", "a", false)
	attestation("4", "a", true)
	found, err := c.Find(t.Context(), img, FindOptions{Attestations: true})
	var payloads []string
	for _, item := range found.Items {
		payloads = append(payloads, string(item.Raw))
	}
	if got := strings.Join(payloads, " "); got != "2 4" {
		t.Errorf("payloads %q, error %v", got, err)
	}
	tag := strings.Replace(img.Digest, ":", "-", 1) + ".att"
	if got := string(reg.ReadManifest("app", tag)); !strings.Contains(got, typeDockerManifest) || !strings.Contains(got, typeDockerConfig) {
		t.Errorf("media types: %s", got)
	}
	for name, o := range map[string]LayerOptions{
		"suffix":               {Suffix: "sbom", MediaType: "x"},
		"media type":           {Suffix: "sig"},
		"replace a signature":  {Suffix: "sig", MediaType: "x", ReplacePredicate: true},
		"replace no predicate": {Suffix: "att", MediaType: "x", ReplacePredicate: true},
	} {
		if _, err := c.AttachLayer(t.Context(), img, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Each undecodable layer is returned with its reason, and none of the others is lost by it.
func TestUndecodableLayers(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{Limits: Limits{Attachment: 1000}})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	if _, err := c.AttachLayer(t.Context(), img, signature); err != nil {
		t.Fatal(err)
	}
	tag := strings.Replace(img.Digest, ":", "-", 1) + ".sig"
	body := string(reg.ReadManifest("app", tag))
	missing := `{"mediaType":"x","size":3,"digest":"sha256:` + strings.Repeat("0", 64) + `"}`
	huge := `{"mediaType":"x","size":1001,"digest":"sha256:` + strings.Repeat("1", 64) + `"}`
	odd := `{"mediaType":"x","size":3,"digest":"md5:00"}`
	body = strings.Replace(body, `"layers":[`, `"layers":[`+missing+","+huge+","+odd+",7,", 1)
	reg.PushManifest(t, "app", tag, typeOCIManifest, []byte(body))
	found, err := c.Find(t.Context(), img, FindOptions{Signatures: true})
	if err != nil && !isUnknown(err) {
		t.Fatal(err)
	}
	if len(found.Items) != 5 {
		t.Fatalf("got %s", summary(found))
	}
	for i, want := range []string{"does not have it", "the limit is 1000", "not a sha256", "descriptor"} {
		if err := found.Items[i].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("layers[%d]: error %v, want %q", i, err, want)
		}
	}
}

func TestTree(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: referrers})
		c := newClient(t, Options{})
		img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
		if nodes, places, err := c.Tree(t.Context(), img); err != nil || len(nodes) != 0 || len(places) != 4 {
			t.Errorf("empty: %v %v %v", nodes, places, err)
		}
		digest := mustAttach(t, c, img, bundleOptions(newBundle(t)))
		if _, err := c.AttachLayer(t.Context(), img, signature); err != nil {
			t.Fatal(err)
		}
		nodes, places, err := c.Tree(t.Context(), img)
		if err != nil || len(nodes) != 2 || len(places) != 4 {
			t.Fatalf("%+v %v", nodes, err)
		}
		if n := nodes[0]; n.Place != PlaceSignatures || len(n.Layers) != 1 || n.Layers[0] != testenv.SHA256(signature.Payload) {
			t.Errorf("signature: %+v", n)
		}
		if n := nodes[1]; n.Digest != digest || n.Kind != "https://sigstore.dev/cosign/sign/v1" || n.ArtifactType != typeBundle || len(n.Layers) != 1 {
			t.Errorf("bundle: %+v", n)
		}
		layers, err := c.Layers(t.Context(), img.Repository, digest)
		if err != nil || len(layers) != 1 || layers[0].Digest != nodes[1].Layers[0] {
			t.Errorf("layers: %v, %v", layers, err)
		}
		if deleted, err := c.Delete(t.Context(), img.Repository, digest); err != nil || !deleted {
			t.Errorf("delete: %t, %v", deleted, err)
		}
		if deleted, err := c.Delete(t.Context(), img.Repository, digest); err != nil || deleted {
			t.Errorf("second delete: %t, %v", deleted, err)
		}
		reg.Fail(testenv.Fault{Path: "/referrers/", Status: 500})
		reg.Fail(testenv.Fault{Path: ".att", Status: 500})
		if _, places, err = c.Tree(t.Context(), img); err != nil || places[1].Outcome != Unknown || places[3].Outcome != Unknown {
			t.Errorf("faults: %+v, %v", places, err)
		}
	}
}

func TestTriangulate(t *testing.T) {
	c := newClient(t, Options{TagPrefix: "p-"})
	hex := strings.Repeat("a", 64)
	img, err := c.Parse("example.com/app@sha256:" + hex)
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]string{
		"signature": "example.com/app:p-sha256-" + hex + ".sig", "attestation": "example.com/app:p-sha256-" + hex + ".att",
		"sbom": "example.com/app:p-sha256-" + hex + ".sbom", "digest": "example.com/app@sha256:" + hex,
	} {
		if got, err := c.Triangulate(t.Context(), img, kind); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", kind, got, err, want)
		}
	}
	if _, err := c.Triangulate(t.Context(), img, "bundle"); err == nil {
		t.Error("an unknown kind was accepted")
	}
}

// TestLayerCreated checks the time in the config: fixed unless one is given.
func TestLayerCreated(t *testing.T) {
	for name, at := range map[string]time.Time{
		zeroTime:               {},
		"2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		if got := configTime(at); got != name {
			t.Errorf("%v is written as %s, want %s", at, got, name)
		}
	}
}
