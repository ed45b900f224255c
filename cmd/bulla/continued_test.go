package main

import (
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
)

// Where tags are written once, clean removes every tag that continues another one: what is signed later must not bring back
// what was removed.
func TestCleanContinued(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "harbor"}})
	image := reg.PushImage(t, "app:v1")
	_, digest, _ := strings.Cut(image, "@")
	c, err := oci.New(oci.Options{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	img, err := c.Resolve(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	attach := func(content string) {
		t.Helper()
		o := oci.LayerOptions{Suffix: "sig", Payload: []byte(content), MediaType: "x/y", Annotations: map[string]string{"a": content}}
		if _, err := c.AttachLayer(t.Context(), img, o); err != nil {
			t.Fatal(err)
		}
		b := oci.AttachOptions{Bundle: []byte(`{"a":"` + content + `"}`), ContentKind: oci.ContentDSSE, Created: time.Unix(1, 0)}
		if _, err := c.AttachBundle(t.Context(), img, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []string{"one", "two", "three", "four"} {
		attach(content)
	}
	stem := strings.Replace(digest, ":", "-", 1)
	if reg.ReadManifest("app", stem+".3.sig") == nil || reg.ReadManifest("app", stem+".3") == nil {
		t.Fatal("the lists are not continued, and the test tests nothing")
	}
	expect(t, []int{0}, "clean", "-f", image)
	for _, tag := range []string{".sig", ".1.sig", ".2.sig", ".3.sig"} {
		if reg.ReadManifest("app", stem+tag) != nil {
			t.Errorf("%s is still there", tag)
		}
	}
	if _, out, _ := quietly("tree", image); !strings.Contains(out, "nothing is attached") {
		t.Errorf("the tree is\n%s", out)
	}
	attach("five")
	if _, out, _ := quietly("tree", image); strings.Count(out, "── sha256:") != 2 {
		t.Errorf("after one signature and one bundle the tree is\n%s", out)
	}
}
