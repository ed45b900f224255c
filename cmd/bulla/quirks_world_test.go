package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/carry"
)

// quirkTemplate is one image with evidence of every form, made once: the registries of the table get copies, so that a
// bundle made here is about the image there.
type quirkTemplate struct {
	client    *oci.Client
	reg       *testenv.Registry
	digest    string
	manifest  []byte
	blobs     [][]byte
	manifests []quirkManifest // of the evidence, and of the list where there is no API
}

// quirkManifest is a manifest, the tag that it is under, if it is, and whether it is the list of the others.
type quirkManifest struct {
	tag, mediaType string
	body           []byte
	list           bool
}

const (
	quirkManifestType = "application/vnd.oci.image.manifest.v1+json"
	quirkIndexType    = "application/vnd.oci.image.index.v1+json"
)

// newQuirkTemplate makes the image, and the files that the commands of the table read, in a directory that becomes the
// working directory.
func newQuirkTemplate(t *testing.T) *quirkTemplate {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("BULLA_PLUGIN_DIR", testenv.KMSPlugIn(t, "testkms")) // signs without deriving a key from a password each time
	t.Chdir(t.TempDir())
	t.Setenv("BULLA_TESTKMS_DIR", t.TempDir())
	expect(t, []int{0}, "generate-key-pair", "--kms", quirkKey)
	for name, content := range map[string]string{
		"p.json": `{"a":1}`, "p2.json": `{"a":2}`, "s.spdx.json": `{"spdxVersion":"SPDX-2.3"}`, "blob": "a file", "f.wasm": "\x00asm\x01\x00\x00\x00",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := &quirkTemplate{reg: testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})}
	img := x.reg.PushImage(t, "app:v1")
	_, x.digest, _ = strings.Cut(img, "@")
	x.manifest = x.reg.ReadManifest("app", x.digest)
	log := "--log=none"
	expect(t, []int{0}, "sign", "--key", quirkKey, log, "--bundle", "sig.json", img)
	expect(t, []int{0}, "attest", "--key", quirkKey, log, "--predicate", "p.json", img)
	expect(t, []int{0}, "attest", "--key", quirkKey, log, "--predicate", "p2.json", "--no-upload", "--bundle", "att2.json", img)
	expect(t, []int{0}, "sign", "--key", quirkKey, log, "--format=legacy", img)
	expect(t, []int{0}, "sign", "--key", quirkKey, log, "--upload=false", "--bundle", "sig2.json", img)
	expect(t, []int{0}, "attach", "sbom", "--sbom", "s.spdx.json", img)
	expect(t, []int{0}, "save", "--dir", "saved", img)
	x.olderSignature(t, img)
	var err error
	if x.client, err = oci.New(oci.Options{Settle: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	x.record(t)
	return x
}

// record notes what is attached to the image, and the list that a registry without the API has of it.
func (x *quirkTemplate) record(t *testing.T) {
	t.Helper()
	other := testenv.NewRegistry(t, testenv.RegistryOptions{})
	from, to := x.store(t, x.reg.Host+"/app"), x.store(t, other.Host+"/app")
	m, err := from.Manifest(t.Context(), x.digest)
	if err != nil {
		t.Fatal(err)
	}
	r, err := carry.Copy(t.Context(), carry.Options{From: from, To: to, Image: m})
	if err != nil {
		t.Fatal(err)
	}
	stem := strings.Replace(x.digest, ":", "-", 1)
	for _, it := range r.Items {
		switch it.Kind {
		case "blob":
			x.blobs = append(x.blobs, x.reg.ReadBlob("app", it.Digest))
			continue
		case "sig", "sbom":
			x.manifests = append(x.manifests, quirkManifest{stem + "." + it.Kind, quirkManifestType, x.reg.ReadManifest("app", it.Digest), false})
		case "referrer":
			x.manifests = append(x.manifests, quirkManifest{"", quirkManifestType, x.reg.ReadManifest("app", it.Digest), false})
		}
	}
	x.manifests = append(x.manifests, quirkManifest{stem, "application/vnd.oci.image.index.v1+json", other.ReadManifest("app", stem), true})
}

// referrers are the digests of what names the image as its subject.
func (x *quirkTemplate) referrers() (out []string) {
	for _, m := range x.manifests {
		if m.tag == "" {
			out = append(out, fmt.Sprintf("sha256:%x", sha256.Sum256(m.body)))
		}
	}
	return out
}

// fill stores everything that is attached to the image, without asking a server.
func (x *quirkTemplate) fill(t *testing.T, w *quirkWorld, repo string) {
	t.Helper()
	for _, data := range x.blobs {
		w.reg.PushBlob(t, repo, "", data)
	}
	for _, m := range x.manifests {
		if !m.list || !w.quirk.api {
			w.reg.PushManifest(t, repo, m.tag, m.mediaType, m.body)
		}
	}
}

// store is a repository that images are carried from and to.
func (x *quirkTemplate) store(t *testing.T, repo string) carry.Store {
	t.Helper()
	img, err := x.client.Parse(repo + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	return x.client.Store(img.Repository)
}

const quirkKey = "testkms://signer"

// olderSignature takes the older signature apart into the files older.payload and older.sig.
func (x *quirkTemplate) olderSignature(t *testing.T, img string) {
	t.Helper()
	_, out, _ := quietly("download", "signature", img)
	for _, line := range strings.Split(out, "\n") {
		var doc struct {
			Base64Signature string
			Payload         []byte
		}
		if json.Unmarshal([]byte(line), &doc) == nil && doc.Base64Signature != "" {
			for name, data := range map[string][]byte{"older.payload": doc.Payload, "older.sig": []byte(doc.Base64Signature)} {
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
	}
	t.Fatalf("no older signature in %s", out)
}

// quirkWorld is one registry of the table.
type quirkWorld struct {
	quirk quirk
	t     *testing.T
	x     *quirkTemplate
	reg   *testenv.Registry
	still *testenv.Registry // the same one, seen without its quirks
	dir   string
}

// registry makes a registry with the image in the repositories of all commands: in those that "full" begins the name of
// with everything attached to it. Then the quirk begins.
func (x *quirkTemplate) registry(t *testing.T, q quirk) *quirkWorld {
	t.Helper()
	w := &quirkWorld{quirk: q, t: t, x: x, dir: t.TempDir()}
	w.reg = testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: q.api, ETag: q.etag})
	w.still = w.reg.Door(t)
	for _, repo := range quirkRepositories() {
		if !strings.HasPrefix(repo, "none") {
			x.push(t, w.reg, repo)
		}
		if strings.HasPrefix(repo, "bundles") {
			x.attach(t, w.calm(repo))
		}
		if strings.HasPrefix(repo, "full") {
			x.fill(t, w, repo)
		}
	}
	for name, text := range map[string]string{"bundles": w.image("bundles"), "bare": w.image("bare")} {
		w.write(name+".Dockerfile", "FROM "+text+"\n")
		w.write(name+".yaml", "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: "+text+"\n")
	}
	w.reg.SetQuirks(q.quirks)
	return w
}

// push stores the image without what is attached to it.
func (x *quirkTemplate) push(t *testing.T, reg *testenv.Registry, repo string) {
	t.Helper()
	var doc struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(x.manifest, &doc); err != nil {
		t.Fatal(err)
	}
	for _, digest := range []string{doc.Config.Digest, doc.Layers[0].Digest} {
		reg.PushBlob(t, repo, "", x.reg.ReadBlob("app", digest))
	}
	reg.PushManifest(t, repo, "v1", quirkManifestType, x.manifest)
}

// index lists the image, for one platform.
func (x *quirkTemplate) index() []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		quirkIndexType, quirkManifestType, x.digest, len(x.manifest))
}

func (x *quirkTemplate) indexDigest() string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(x.index()))
}

// attach attaches the bundles.
func (x *quirkTemplate) attach(t *testing.T, image string) {
	t.Helper()
	img, err := x.client.Parse(image)
	if err != nil {
		t.Fatal(err)
	}
	for name, predicate := range map[string]string{"sig.json": "https://sigstore.dev/cosign/sign/v1", "att2.json": "https://cosign.sigstore.dev/attestation/v1"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		o := oci.AttachOptions{Bundle: data, ContentKind: oci.ContentDSSE, PredicateType: predicate, Created: time.Unix(1, 0)}
		if _, err := x.client.AttachBundle(t.Context(), img, o); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *quirkWorld) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *quirkWorld) file(name string) string { return filepath.Join(w.dir, name) }

// image is the image in a repository, by digest.
func (w *quirkWorld) image(repo string) string { return w.reg.Host + "/" + repo + "@" + w.x.digest }

// calm is the image in a repository, seen without quirks.
func (w *quirkWorld) calm(repo string) string { return w.still.Host + "/" + repo + "@" + w.x.digest }

// lines is how many pieces are attached to the image in a repository, as download prints them; negative when that cannot
// be found out.
func (w *quirkWorld) lines(kind, repo string) int { return w.linesOf(kind, w.calm(repo)) }

func (w *quirkWorld) linesOf(kind, image string) int {
	code, out, _ := quietly("download", kind, image)
	switch code {
	case 0:
		return strings.Count(out, "\n")
	case 10:
		return 0
	}
	return -1
}
