package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
)

// A registry that deletes by digest only takes every name of what it deletes. What an older tag leads to may be more than
// what is attached, by chance or because somebody who may write tags wants it removed.
func TestCleanByDigest(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	reg.Fail(testenv.Fault{Method: http.MethodDelete, Path: "/manifests/sha256-", Status: http.StatusMethodNotAllowed, Code: "UNSUPPORTED"})
	c, err := oci.New(oci.Options{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for name, leads := range map[string]func(t *testing.T, repo, image string) (kept string){
		"to the image itself": func(_ *testing.T, _, image string) string { return image },
		"to another image":    func(t *testing.T, repo, _ string) string { return reg.PushImage(t, repo+":v2") },
		"to one of an index": func(t *testing.T, repo, _ string) string {
			_, images := reg.PushIndex(t, repo+":multi", 2)
			return images[1]
		},
		"to a referrer of another": func(t *testing.T, repo, _ string) string {
			img, err := c.Resolve(t.Context(), reg.PushImage(t, repo+":v3"))
			if err != nil {
				t.Fatal(err)
			}
			o := oci.AttachOptions{Bundle: []byte(`{"a":1}`), ContentKind: oci.ContentDSSE, Created: time.Unix(1, 0)}
			digest, err := c.AttachBundle(t.Context(), img, o)
			if err != nil {
				t.Fatal(err)
			}
			return "@" + digest
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo := strings.ReplaceAll(name, " ", "-")
			image := reg.PushImage(t, repo+":v1")
			_, digest, _ := strings.Cut(image, "@")
			_, kept, _ := strings.Cut(leads(t, repo, image), "@")
			tag := strings.Replace(digest, ":", "-", 1) + ".sig"
			body := reg.ReadManifest(repo, kept)
			reg.PushManifest(t, repo, tag, "application/vnd.oci.image.manifest.v1+json", body)
			code, _, errs := quietly("clean", "-f", image)
			if got := reg.ReadManifest(repo, kept); !bytes.Equal(got, body) {
				t.Fatalf("it is gone; status %d\n%s", code, errs)
			}
			if want := kept != digest; want != (code != 0) {
				t.Errorf("status %d\n%s", code, errs)
			}
		})
	}
}

// Two images have the same SBOM, and in such a registry it goes only with the last of them.
func TestCleanSharedSBOM(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	reg.Fail(testenv.Fault{Method: http.MethodDelete, Path: "/manifests/sha256-", Status: http.StatusMethodNotAllowed, Code: "UNSUPPORTED"})
	sbom := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(sbom, []byte(`{"spdxVersion":"SPDX-2.3"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	one, two := reg.PushImage(t, "app:v1"), reg.PushImage(t, "app:v2")
	for _, image := range []string{one, two} {
		expect(t, []int{0}, "attach", "sbom", "--sbom", sbom, image)
	}
	if code, _, errs := quietly("clean", "-f", one); code == 0 || !strings.Contains(errs, "leads to it as well") {
		t.Errorf("status %d\n%s", code, errs)
	}
	expect(t, []int{0}, "download", "sbom", two)
	reg.Heal()
	expect(t, []int{0}, "clean", "-f", one)
	if _, out, _ := quietly("tree", one); !strings.Contains(out, "nothing is attached") {
		t.Errorf("the tree is\n%s", out)
	}
}
