package oci

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// pages serves lists of referrers by hand and leaves the rest to a registry.
func pages(t *testing.T, serve func(w http.ResponseWriter, r *http.Request, page string)) (*testenv.Registry, string, *Client) {
	t.Helper()
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			w.Header().Set("Content-Type", typeOCIIndex)
			serve(w, r, r.URL.Query().Get("page"))
			return
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return reg, strings.Replace(ref, reg.Host, strings.TrimPrefix(server.URL, "http://"), 1), newClient(t, Options{Limits: Limits{Pages: 5, Referrers: 8, Candidates: 4}})
}

func pushReferrer(t *testing.T, reg *testenv.Registry, subject string, data []byte, edit func(string) string) string {
	t.Helper()
	layer := reg.PushBlob(t, "app", typeBundle, data)
	config := reg.PushBlob(t, "app", typeEmpty, []byte("{}"))
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":%d}],"subject":{"mediaType":%q,"digest":%q,"size":1},"artifactType":%q}`,
		typeOCIManifest, typeEmpty, config["digest"], typeBundle, layer["digest"], layer["size"], typeOCIManifest, subject, typeBundle)
	if edit != nil {
		body = edit(body)
	}
	_, digest, _ := strings.Cut(reg.PushManifest(t, "app", "", typeOCIManifest, []byte(body)), "@")
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typeOCIManifest, digest, len(body))
}

func index(entries ...string) string {
	return `{"schemaVersion":2,"mediaType":"` + typeOCIIndex + `","manifests":[` + strings.Join(entries, ",") + `]}`
}

func TestPages(t *testing.T) {
	var entries []string
	reg, ref, c := pages(t, func(w http.ResponseWriter, r *http.Request, page string) {
		switch page {
		case "":
			w.Header().Set("Link", `<https://other.test/first>; rel="first", <`+r.URL.Path+`?page=2>; rel="next"`)
			fmt.Fprint(w, index(entries[0]))
		case "2":
			w.Header().Set("Link", `<http://`+r.Host+r.URL.Path+`?page=3>; rel=next`)
			fmt.Fprint(w, index())
		default:
			fmt.Fprint(w, index(entries[1]))
		}
	})
	img := mustResolve(t, c, ref)
	entries = append(entries, pushReferrer(t, reg, img.Digest, newBundle(t), nil), pushReferrer(t, reg, img.Digest, newBundle(t), nil))
	if found := mustFind(t, c, img, FindOptions{Bundles: true}); len(found.Items) != 2 || found.Places[0].Err != nil {
		t.Errorf("got %s", summary(found))
	}
}

func TestPagesRefused(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", typeOCIIndex)
		fmt.Fprint(w, index())
	}))
	defer other.Close()
	for name, link := range map[string]string{
		"another host":     `<` + other.URL + `/PATH?page=2>; rel="next"`,
		"another path":     `</v2/other/referrers/x?page=2>; rel="next"`,
		"another scheme":   `<ftp://HOST/PATH>; rel="next"`,
		"user information": `<http://u:p@HOST/PATH?page=2>; rel="next"`,
		"no URL":           `<http://[::1>; rel="next"`,
		"itself for ever":  `<?page=x>; rel="next"`,
	} {
		_, ref, c := pages(t, func(w http.ResponseWriter, r *http.Request, page string) {
			if page == "2" { // an honest end: only the check of the link can refuse it
				fmt.Fprint(w, index())
				return
			}
			w.Header().Set("Link", strings.NewReplacer("HOST", r.Host, "/PATH", r.URL.Path).Replace(link))
			fmt.Fprint(w, index())
		})
		if found, err := c.Find(t.Context(), mustResolve(t, c, ref), FindOptions{Bundles: true}); !isUnknown(err) || found.Places[0].Outcome != Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A list that is too long is read in part, and its place says so.
func TestTooManyReferrers(t *testing.T) {
	for _, test := range []struct {
		name  string
		junk  int
		bytes string
		want  string
	}{
		{"entries", 10, `"artifactType":"text/plain"`, "8 entries"},
		{"candidates", 6, `"artifactType":""`, "4 candidates"},
	} {
		var entries []string
		reg, ref, c := pages(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, index(entries...)) })
		img := mustResolve(t, c, ref)
		entries = append(entries, pushReferrer(t, reg, img.Digest, newBundle(t), nil))
		for i := range test.junk {
			entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"size":3,"digest":"sha256:%064d",%s}`, typeOCIManifest, i, test.bytes))
		}
		found := mustFind(t, c, img, FindOptions{Bundles: true})
		if err := found.Places[0].Err; !isUnknown(err) || !strings.Contains(err.Error(), test.want) || found.Places[0].Outcome != Present || found.Items[0].Bundle == nil {
			t.Errorf("%s: %s", test.name, summary(found))
		}
		entries = entries[1:]
		if found, err := c.Find(t.Context(), img, FindOptions{Bundles: true}); !isUnknown(err) {
			t.Errorf("%s, without a bundle: %v %s", test.name, err, summary(found))
		}
	}
}

func TestCandidates(t *testing.T) {
	vector := newBundle(t)
	other := "sha256:" + strings.Repeat("f", 64)
	for _, test := range []struct {
		name  string
		data  []byte
		edit  func(string) string // of the manifest
		entry func(string) string // of the list's entry
		items int
		want  string // in the item's error
	}{
		{name: "without artifactType in the list", data: vector, items: 1},
		{name: "with the config's type", data: vector, items: 1, entry: add(`"artifactType":"` + typeEmpty + `"`)},
		{name: "with the right type", data: vector, items: 1, entry: add(`"artifactType":"` + typeBundle + `"`)},
		{name: "of a definite other type", data: vector, items: 0, entry: add(`"artifactType":"application/spdx+json"`)},
		{name: "of another predicate", data: vector, items: 0, entry: add(`"annotations":{"dev.sigstore.bundle.predicateType":"other"}`)},
		{name: "of another predicate, which only the manifest says", data: vector, items: 0, edit: change(`"artifactType":`, `"annotations":{"dev.sigstore.bundle.predicateType":"other"},"artifactType":`)},
		{name: "of the right predicate, which only the manifest says", data: vector, items: 1, edit: change(`"artifactType":`, `"annotations":{"dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1"},"artifactType":`)},
		{name: "an index", data: vector, items: 0, entry: change(typeOCIManifest, typeOCIIndex)},
		{name: "something else without a type", data: vector, items: 0, edit: change(typeBundle, "application/spdx+json")},
		{name: "an older ggcr config type", data: vector, items: 1, edit: change(`,"artifactType":"`+typeBundle+`"`, "")},
		{name: "another subject", data: vector, items: 1, want: "subject", edit: change(`"subject":{"mediaType":"`+typeOCIManifest+`","digest":"sha256:`, `"subject":{"mediaType":"`+typeOCIManifest+`","digest":"`+other+`","x":"`)},
		{name: "no subject", data: vector, items: 1, want: "subject is nothing", edit: change(`"subject"`, `"object"`)},
		{name: "a subject given twice", data: vector, items: 1, want: "duplicate", edit: change(`"subject"`, `"subject":{"mediaType":"x","digest":"`+other+`","size":1},"subject"`)},
		{name: "two layers", data: vector, items: 1, want: "one layer", edit: change(`"layers":[`, `"layers":[{"mediaType":"x","size":1,"digest":"`+other+`"},`)},
		{name: "no layer", data: vector, items: 1, want: "one layer", edit: func(s string) string {
			head, tail, _ := strings.Cut(s, `"layers":[`)
			_, tail, _ = strings.Cut(tail, "]")
			return head + `"layers":[]` + tail
		}},
		{name: "layers of null", data: vector, items: 1, want: "config and layers", edit: change(`"layers":[`, `"layers":null,"ignored":[`)},
		{name: "an index's members", data: vector, items: 1, want: "no manifests", edit: change(`"layers":`, `"manifests":[],"layers":`)},
		{name: "schema version 1", data: vector, items: 1, want: "schemaVersion", edit: change(`"schemaVersion":2`, `"schemaVersion":1`)},
		{name: "no bundle", data: []byte(`{"hello":1}`), items: 1, want: ""},
		{name: "a wrong size in the list", data: vector, items: 1, want: "listed as", entry: change(`"size":`, `"size":1`)},
		{name: "a huge size in the list", data: vector, items: 1, want: "the limit is", entry: change(`"size":`, `"size":10000000`)},
		{name: "a negative size in the list", data: vector, items: 1, want: "-", entry: change(`"size":`, `"size":-`)},
		{name: "a digest of md5", data: vector, items: 1, want: "digest", entry: change(`"sha256:`, `"md5:`)},
		{name: "a huge layer", data: vector, items: 1, want: "the limit is", edit: change(`"size":`, `"size":9999999`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			var entry string
			reg, ref, c := pages(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, index(entry)) })
			img := mustResolve(t, c, ref)
			entry = pushReferrer(t, reg, img.Digest, test.data, test.edit)
			if test.entry != nil {
				entry = test.entry(entry)
			}
			found, err := c.Find(t.Context(), img, FindOptions{Bundles: true, PredicateType: "https://sigstore.dev/cosign/sign/v1"})
			if len(found.Items) != test.items || isUnknown(err) != (test.want == "listed as") || err != nil && !isUnknown(err) {
				t.Fatalf("got %s, error %v", summary(found), err)
			}
			if test.items == 0 {
				if found.Places[0].Skipped != 1 || found.Places[0].Outcome != Absent {
					t.Errorf("got %s", summary(found))
				}
				if other := found.Places[0].Other; (len(other) == 1) != strings.HasPrefix(test.name, "of another predicate") {
					t.Errorf("of another kind: %q", other)
				}
				return
			}
			bad := test.want != "" || !bytes.Equal(test.data, vector)
			if item := found.Items[0]; bad != (item.Err != nil) || bad && !strings.Contains(item.Err.Error(), test.want) {
				t.Errorf("item's error %v, want %q", item.Err, test.want)
			}
		})
	}
}

func add(member string) func(string) string {
	return func(s string) string { return strings.TrimSuffix(s, "}") + "," + member + "}" }
}

func change(from, to string) func(string) string {
	return func(s string) string { return strings.ReplaceAll(s, from, to) }
}

// cosign's experimental signature artifacts are among the referrers; each of their layers is a signature.
func TestSignatureArtifacts(t *testing.T) {
	var entry string
	reg, ref, c := pages(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, index(entry)) })
	img := mustResolve(t, c, ref)
	entry = pushReferrer(t, reg, img.Digest, signature.Payload, func(s string) string {
		s = strings.ReplaceAll(strings.ReplaceAll(s, typeEmpty, typeSignature), `,"artifactType":"`+typeBundle+`"`, "")
		head, tail, _ := strings.Cut(s, `"layers":[{"mediaType":"`+typeBundle+`"`)
		return head + `"layers":[{"annotations":{"` + annotationSignature + `":"MEUCIQ=="},"mediaType":"` + signature.MediaType + `"` + tail
	})
	found, err := c.Find(t.Context(), img, FindOptions{Bundles: true})
	if len(found.Items) != 1 || !found.Items[0].Legacy || found.Items[0].Place != PlaceReferrers || !bytes.Equal(found.Items[0].Raw, signature.Payload) {
		t.Errorf("got %s, error %v", summary(found), err)
	}
}

func FuzzParseManifest(f *testing.F) {
	if dir := os.Getenv("BULLA_MANIFESTS"); dir != "" { // real ones, to widen the corpus by hand
		files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	f.Add([]byte(index(`{"mediaType":"` + typeOCIManifest + `","digest":"` + digest + `","size":1,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}`)))
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"` + typeOCIManifest + `","config":{"mediaType":"x","size":2,"digest":"` + digest + `"},"layers":[{"mediaType":"x","size":2,"digest":"` + digest + `","annotations":{"a":"b"}}],"subject":{"mediaType":"x","size":2,"digest":"` + digest + `"}}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[1,null,{}]}`))
	f.Add([]byte(`{"schemaVersion":2,"Layers":[],"layers":[],"config":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, mediaType := range []string{typeOCIIndex, typeDockerList, typeOCIManifest, typeDockerManifest} {
			m, err := parseManifest(data, mediaType)
			if err != nil {
				continue
			}
			if isIndex(mediaType) == (m.Manifests == nil) || isIndex(mediaType) == (m.Layers != nil) {
				t.Fatalf("%s: manifests %v, layers %v", mediaType, m.Manifests, m.Layers)
			}
			var entries []entry
			for _, raw := range append(m.Manifests, m.Layers...) {
				d, err := parseDescriptor(raw)
				if err == nil && d.check(maxManifest) == nil && (d.Size > maxManifest || checkDigest(d.Digest) != nil) {
					t.Fatalf("descriptor %+v passed", d)
				}
				entries = append(entries, entry{d.Digest, raw})
			}
			list := map[bool]string{true: "manifests", false: "layers"}[isIndex(mediaType)]
			again, err := rewrite(data, member{list, joinEntries(entries)})
			if err != nil {
				t.Fatalf("rewrite: %v", err)
			}
			if _, err := parseManifest(again, mediaType); err != nil {
				t.Fatalf("rewritten %s: %v", again, err)
			}
		}
	})
}

// A link that cannot be read is an error, and no more.
func TestLinkWithoutTarget(t *testing.T) {
	for _, header := range []string{">", " , >; rel=next", ">x<"} {
		if _, _, _, err := cutLink(header); err == nil {
			t.Errorf("%q was read", header)
		}
	}
}
