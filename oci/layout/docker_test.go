package layout

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"strings"
	"testing"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func hexOf(text string) string {
	return strings.TrimPrefix(digestLike("sha256:", []byte(text)), "sha256:")
}

// dockerMembers are an archive of docker save with two layers under these names.
func dockerMembers(first, second string) (members map[string]string, config string) {
	config = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + hexOf("one") + `","sha256:` + hexOf("two") + `"]}}`
	return map[string]string{
		"c.json":        config,
		"manifest.json": fmt.Sprintf(`[{"Config":"c.json","RepoTags":["app:v1"],"Layers":[%q,%q]}]`, first, second),
	}, config
}

// The manifest is made of what lies in the archive and of nothing else, so that its digest, which is signed, can be told
// beforehand.
func TestDockerManifest(t *testing.T) {
	zip := gzipped(t, "two")
	for name, test := range map[string]struct {
		first, second string
		more          map[string]string
		links         []*tar.Header
		media, digest string // of the second layer
		size          int
	}{
		"docker save": {
			"a/layer.tar", "b/layer.tar",
			map[string]string{"x/layer.tar": "one", "b/layer.tar": "two"},
			[]*tar.Header{{Typeflag: tar.TypeSymlink, Name: "a/layer.tar", Linkname: "../x/layer.tar"}},
			typeLayer, hexOf("two"), 3,
		},
		"podman save, linked hard": {
			"1.tar", "2.tar",
			map[string]string{"1.tar": "one", "y.tar": "two"},
			[]*tar.Header{{Typeflag: tar.TypeLink, Name: "2.tar", Linkname: "y.tar"}},
			typeLayer, hexOf("two"), 3,
		},
		"crane":      {"1.tar", hexOf(zip) + ".tar.gz", map[string]string{"1.tar": "one", hexOf(zip) + ".tar.gz": zip}, nil, typeLayer + "+gzip", hexOf(zip), len(zip)},
		"compressed": {"1.tar", "two", map[string]string{"1.tar": "one", "two": zip}, nil, typeLayer + "+gzip", hexOf(zip), len(zip)},
		"zstd": {
			"1.tar", "two",
			map[string]string{"1.tar": "one", "two": "\x28\xb5\x2f\xfdx"},
			nil, typeLayer + "+zstd", hexOf("\x28\xb5\x2f\xfdx"), 5,
		},
		"Bazel": {"blobs/sha256/1", "blobs/sha256/2", map[string]string{"blobs/sha256/1": "one", "blobs/sha256/2": "two"}, nil, typeLayer, hexOf("two"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			members, config := dockerMembers(test.first, test.second)
			maps.Copy(members, test.more)
			l, err := openBytes(t, tarOf(t, members, test.links...))
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%s","size":%d},`+
				`"layers":[{"mediaType":%q,"digest":"sha256:%s","size":3},{"mediaType":%q,"digest":"sha256:%s","size":%d}]}`,
				typeManifest, typeConfig, hexOf(config), len(config), typeLayer, hexOf("one"), test.media, test.digest, test.size)
			root, err := l.Root("")
			if err != nil || root != "sha256:"+hexOf(want) {
				t.Errorf("got %s, %v, want the digest of %s", root, err, want)
			}
			if named, err := l.Root("app:v1"); err != nil || named != root {
				t.Errorf("by its name it is %s, %v", named, err)
			}
			if err := l.Check(t.Context(), root); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDockerArchiveRefused(t *testing.T) {
	zip := gzipped(t, "two")
	layers := map[string]string{"1": "one", "2": "two"}
	for name, test := range map[string]struct {
		change func(members map[string]string)
		links  []*tar.Header
		open   string // why opening fails
		check  string // why what is opened is not whole
	}{
		"a layer of other bytes":  {func(m map[string]string) { m["2"] = "owt" }, nil, "", "digest"},
		"a name of other bytes":   {func(m map[string]string) { renamed(m, hexOf("x")+".tar.gz"); m[hexOf("x")+".tar.gz"] = zip }, nil, "", "digest"},
		"no layer":                {func(m map[string]string) { delete(m, "2") }, nil, `layer 1: "2" is not in the archive`, ""},
		"no configuration":        {func(m map[string]string) { delete(m, "c.json") }, nil, `"c.json" is not in the archive`, ""},
		"a layer too many":        {func(m map[string]string) { renamed(m, `2","1`) }, nil, "3 layers, and its configuration 2", ""},
		"a digest that is none":   {func(m map[string]string) { m["c.json"] = `{"rootfs":{"diff_ids":["sha256:1","x"]}}` }, nil, "layer 0: the configuration states", ""},
		"no list":                 {func(m map[string]string) { m["manifest.json"] = "{" }, nil, "manifest.json: ", ""},
		"many images":             {func(m map[string]string) { m["manifest.json"] = "[" + strings.Repeat("{},", maxDockerImages) + "{}]" }, nil, "more than 1000 images", ""},
		"a configuration of text": {func(m map[string]string) { m["c.json"] = "x" }, nil, "c.json: ", ""},
		"a layer outside":         {func(m map[string]string) { renamed(m, "../2") }, nil, "leads out of the archive", ""},
		"a link outside":          {func(m map[string]string) { delete(m, "2") }, []*tar.Header{{Typeflag: tar.TypeSymlink, Name: "2", Linkname: "../../etc/passwd"}}, "is not in the archive", ""},
		"a link to a link": {
			func(m map[string]string) { delete(m, "2") }, []*tar.Header{
				{Typeflag: tar.TypeSymlink, Name: "2", Linkname: "3"}, {Typeflag: tar.TypeSymlink, Name: "3", Linkname: "2"},
			}, "is not in the archive", "",
		},
		"a member outside": {func(m map[string]string) { m["../x"] = "" }, nil, "leads out of the archive", ""},
		"a device":         {func(map[string]string) {}, []*tar.Header{{Typeflag: tar.TypeChar, Name: "d"}}, "neither a file nor a directory", ""},
	} {
		t.Run(name, func(t *testing.T) {
			members, _ := dockerMembers("1", "2")
			maps.Copy(members, layers)
			test.change(members)
			l, err := openBytes(t, tarOf(t, members, test.links...))
			if test.open != "" {
				if err == nil || !strings.Contains(err.Error(), test.open) {
					t.Errorf("opened: %v, want %q", err, test.open)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			root, err := l.Root("")
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Check(t.Context(), root); err == nil || !strings.Contains(err.Error(), test.check) {
				t.Errorf("checked: %v, want %q", err, test.check)
			}
		})
	}
}

// renamed has the second layer called something else.
func renamed(members map[string]string, name string) {
	members["manifest.json"] = strings.Replace(members["manifest.json"], `"2"`, `"`+name+`"`, 1)
}
