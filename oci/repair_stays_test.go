package oci

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/repair"
)

// A tag that is written once keeps what it lists: an entry that leads to something else is listed for as long as that is
// there, and is not said to have been taken out. What only a continuation lists leaves with the next one.
func TestRepairStays(t *testing.T) {
	for _, kind := range []string{"ecr", "harbor", "conflict"} {
		t.Run(kind, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: kind}})
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			_, other, _ := strings.Cut(reg.PushImage(t, "app:v2"), "@")
			_, another, _ := strings.Cut(reg.PushImage(t, "app:v3"), "@")
			tag := referrersTag(img.Digest)
			foreign := func(digest string) string {
				return `{"mediaType":"` + typeOCIManifest + `","size":` + itoa(len(reg.ReadManifest("app", digest))) + `,"digest":"` + digest + `"}`
			}
			reg.PushManifest(t, "app", tag, typeOCIIndex, []byte(index(foreign(other))))
			mustRepair(t, c, img, repair.Options{Prune: true}, "stays", false)
			if reg.ReadManifest("app", continuation(tag, 1)) != nil || strings.Contains(reg.Log(), " 201") {
				t.Errorf("a continuation was written that takes nothing out:\n%s", reg.Log())
			}

			mustAttach(t, c, img, bundleOptions(newBundle(t)))
			mustRepair(t, c, img, repair.Options{Prune: true}, "stays kept", false)
			mustRepair(t, c, img, repair.Options{Prune: true, DryRun: true}, "stays kept", false)

			last := string(reg.ReadManifest("app", continuation(tag, 1)))
			reg.PushManifest(t, "app", continuation(tag, 2), typeOCIIndex, []byte(strings.Replace(last, `"manifests":[`, `"manifests":[`+foreign(another)+",", 1)))
			mustRepair(t, c, img, repair.Options{}, "foreign foreign kept", false)
			mustRepair(t, c, img, repair.Options{Prune: true}, "pruned stays kept", true)
			mustRepair(t, c, img, repair.Options{}, "foreign kept", false)

			reg.DeleteManifest(t, "app", other)
			mustRepair(t, c, img, repair.Options{}, "missing kept", false)
			mustRepair(t, c, img, repair.Options{Prune: true}, "pruned kept", true)
			mustRepair(t, c, img, repair.Options{Prune: true}, "kept", false)
		})
	}
}

// From a list that a registry makes by itself nothing can be taken out, and is not said to be.
func TestRepairStaysInOwnList(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	_, other, _ := strings.Cut(reg.PushImage(t, "app:v2"), "@")
	list := index(`{"mediaType":"` + typeOCIManifest + `","size":2,"digest":"` + other + `"}`)
	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 200, Body: list, Header: map[string]string{"Content-Type": typeOCIIndex}})
	mustRepair(t, c, img, repair.Options{}, "foreign", false)
	mustRepair(t, c, img, repair.Options{Prune: true}, "stays", false)
}

// What is pruned may be in continuations alone, so that what remains is exactly what the tag itself lists. Then another
// continuation says so, since the last one counts; without it, whoever looks for evidence would be sent to what is gone.
func TestRepairBackToFirst(t *testing.T) {
	for _, kind := range []string{"ecr", "harbor", "conflict"} {
		t.Run(kind, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: kind}})
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			first := mustAttach(t, c, img, bundleOptions(newBundle(t)))
			second, third := mustAttach(t, c, img, bundleOptions(newBundle(t))), mustAttach(t, c, img, bundleOptions(newBundle(t)))
			reg.DeleteManifest(t, "app", second)
			reg.DeleteManifest(t, "app", third)
			mustRepair(t, c, img, repair.Options{}, "kept missing missing", false)
			mustRepair(t, c, img, repair.Options{Prune: true}, "kept pruned pruned", true)
			mustRepair(t, c, img, repair.Options{Prune: true}, "kept", false)
			found := mustFind(t, c, img, FindOptions{Bundles: true, Every: true})
			if len(found.Items) != 1 || found.Items[0].Digest != first || found.Items[0].Err != nil {
				t.Errorf("found %s", summary(found))
			}
		})
	}
}
