package layout

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func digestOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sample is a layout of one image with one layer: name -> content.
func sample() (members map[string]string, root, layer string) {
	layer = "a layer"
	config := "{}"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"x/c","digest":%q,"size":%d},"layers":[{"mediaType":"x/l","digest":%q,"size":%d}]}`,
		typeManifest, digestOf(config), len(config), digestOf(layer), len(layer))
	root = digestOf(manifest)
	members = map[string]string{
		"oci-layout":               `{"imageLayoutVersion":"1.0.0"}`,
		"index.json":               fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, typeManifest, root, len(manifest)),
		blobName(root):             manifest,
		blobName(digestOf(config)): config,
		blobName(digestOf(layer)):  layer,
	}
	return members, root, digestOf(layer)
}

func writeDirectory(t *testing.T, members map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range members {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarOf makes an archive of a layout, with further members at its end.
func tarOf(t testing.TB, members map[string]string, more ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range members {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range more {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func openBytes(t *testing.T, data []byte) (*Layout, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path)
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

func TestOpen(t *testing.T) {
	members, root, _ := sample()
	for _, open := range map[string]func() (*Layout, error){
		"directory": func() (*Layout, error) { return Open(writeDirectory(t, members)) },
		"archive":   func() (*Layout, error) { return openBytes(t, tarOf(t, members)) },
	} {
		l, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Root(""); got != root || err != nil {
			t.Errorf("root %s, %v", got, err)
		}
		if err := l.Check(t.Context(), root); err != nil {
			t.Error(err)
		}
		if _, err := l.Root("nosuch"); err == nil {
			t.Error("a name that is not there was found")
		}
	}
}

// TestArchiveEscapes has what archives do to those who unpack them.
func TestArchiveEscapes(t *testing.T) {
	members, _, _ := sample()
	for name, h := range map[string]*tar.Header{
		"parent":         {Typeflag: tar.TypeReg, Name: "../x"},
		"hidden parent":  {Typeflag: tar.TypeReg, Name: "blobs/../../x"},
		"absolute":       {Typeflag: tar.TypeReg, Name: "/etc/passwd"},
		"dot absolute":   {Typeflag: tar.TypeReg, Name: ".//../x"},
		"backslash":      {Typeflag: tar.TypeReg, Name: `..\x`},
		"drive":          {Typeflag: tar.TypeReg, Name: `C:\x`},
		"symbolic link":  {Typeflag: tar.TypeSymlink, Name: "blobs/sha256/l", Linkname: "/etc/passwd"},
		"inner link":     {Typeflag: tar.TypeSymlink, Name: "blobs/sha256/l", Linkname: "../../index.json"},
		"hard link":      {Typeflag: tar.TypeLink, Name: "blobs/sha256/l", Linkname: "index.json"},
		"pipe":           {Typeflag: tar.TypeFifo, Name: "blobs/sha256/l"},
		"device":         {Typeflag: tar.TypeChar, Name: "blobs/sha256/l"},
		"block device":   {Typeflag: tar.TypeBlock, Name: "blobs/sha256/l"},
		"twice":          {Typeflag: tar.TypeReg, Name: "index.json"},
		"twice, spelled": {Typeflag: tar.TypeReg, Name: "./blobs/../index.json"},
		"parent folder":  {Typeflag: tar.TypeDir, Name: "../"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openBytes(t, tarOf(t, members, h)); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	members, root, _ := sample()
	with := func(name, content string) map[string]string {
		changed := map[string]string{}
		for n, c := range members {
			changed[n] = c
		}
		if changed[name] = content; content == "" {
			delete(changed, name)
		}
		return changed
	}
	for name, m := range map[string]map[string]string{
		"no marker":      with("oci-layout", ""),
		"version":        with("oci-layout", `{"imageLayoutVersion":"2.0.0"}`),
		"no index":       with("index.json", ""),
		"broken index":   with("index.json", `{"schemaVersion":2,"manifests":[`),
		"index twice":    with("index.json", `{"schemaVersion":2,"manifests":[],"manifests":[]}`),
		"not a digest":   with("index.json", `{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1,"mediaType":"x"}]}`),
		"not an index":   with("index.json", `{"schemaVersion":1}`),
		"huge index":     with("index.json", `{"schemaVersion":2,"manifests":[],"x":"`+strings.Repeat("a", maxIndex)+`"}`),
		"not an archive": nil,
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(strings.Repeat("no tar", 200))
			if m != nil {
				data = tarOf(t, m)
				if _, err := Open(writeDirectory(t, m)); err == nil {
					t.Error("the directory was taken")
				}
			}
			if _, err := openBytes(t, data); err == nil {
				t.Error("the archive was taken")
			}
		})
	}
	whole := tarOf(t, members)
	if _, err := openBytes(t, whole[:len(whole)-1800]); err == nil {
		t.Error("half an archive was taken")
	}
	two := with("index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":%q,"size":1},{"mediaType":"x","digest":%q,"size":1}]}`, root, digestOf("other")))
	l, err := openBytes(t, tarOf(t, two))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Root(""); err == nil || !strings.Contains(err.Error(), "several") {
		t.Errorf("one of two images was chosen: %v", err)
	}
}

// TestCheck exchanges each byte sequence of a layout: nothing that the manifest names may differ.
func TestCheck(t *testing.T) {
	members, root, layer := sample()
	for name := range members {
		if !strings.HasPrefix(name, "blobs/") {
			continue
		}
		for what, content := range map[string]string{"changed": strings.ToUpper(members[name]) + " ", "longer": members[name] + "x", "missing": ""} {
			m := map[string]string{}
			for n, c := range members {
				m[n] = c
			}
			if m[name] = content; content == "" {
				delete(m, name)
			}
			l, err := Open(writeDirectory(t, m))
			if err != nil {
				continue
			}
			if err := l.Check(t.Context(), root); err == nil {
				t.Errorf("%s %s was not noticed", name, what)
			}
		}
	}
	// A link out of the directory is not followed, even to the right bytes.
	dir := writeDirectory(t, members)
	outside := filepath.Join(t.TempDir(), "layer")
	if err := os.WriteFile(outside, []byte(members[blobName(layer)]), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.FromSlash(blobName(layer)))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, path); err != nil {
		t.Skip(err)
	}
	l, err := Open(dir)
	if err == nil {
		err = l.Check(t.Context(), root)
	}
	if err == nil {
		t.Error("a link out of the layout was followed")
	}
}

// TestReadOnly: what was opened is not written to.
func TestReadOnly(t *testing.T) {
	members, _, _ := sample()
	l, err := Open(writeDirectory(t, members))
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"PUT manifests/x", "POST blobs/uploads/", "PUT blobs/uploads/1", "DELETE manifests/x", "PATCH blobs/uploads/1"} {
		method, path, _ := strings.Cut(request, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "https://layout.localhost/v2/image/"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := l.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode < 400 {
			t.Errorf("%s: status %d", request, resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
}

// TestCreateUsesWhatIsWhole: a blob that a crash cut off is not taken for there.
func TestCreateUsesWhatIsWhole(t *testing.T) {
	members, _, layer := sample()
	whole := writeDirectory(t, members)
	l, err := Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.has(layer); !ok {
		t.Error("a whole blob is written again")
	}
	if err := os.WriteFile(filepath.Join(whole, filepath.FromSlash(blobName(layer))), []byte("a layeR"), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err = Create(whole); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.has(layer); ok {
		t.Error("a broken blob is taken for whole")
	}
	if _, err := Create(writeDirectory(t, map[string]string{"letter.txt": "dear"})); err == nil {
		t.Error("a directory of other things was taken")
	}
}

// FuzzArchive: whatever the bytes, nothing outside is read, and nothing panics.
func FuzzArchive(f *testing.F) {
	members, _, _ := sample()
	f.Add(tarOf(f, members))
	f.Add(tarOf(f, members, &tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/"}))
	f.Add([]byte("no tar"))
	docker, _ := dockerMembers("1", "2")
	docker["1"] = "one"
	f.Add(tarOf(f, docker, &tar.Header{Typeflag: tar.TypeSymlink, Name: "2", Linkname: "1"}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "a.tar")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err != nil {
			return
		}
		defer l.Close()
		root, err := l.Root("")
		if err == nil {
			_ = l.Check(t.Context(), root) // any answer
		}
	})
}

// FuzzIndex reads index.json and manifests.
func FuzzIndex(f *testing.F) {
	members, root, _ := sample()
	f.Add([]byte(members["index.json"]))
	f.Add([]byte(members[blobName(root)]))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseIndex(data)
		for _, d := range list {
			if err == nil && checkDigest(d.Digest) != nil {
				t.Fatalf("%q passed for a digest", d.Digest)
			}
		}
		outlineOf(data)
	})
}

// An archive of docker save has links among its layers, and it is said what it is, not that they lead somewhere. One that
// has a layout too is read as that, and links in it are refused as in every other.
func TestDockerArchive(t *testing.T) {
	link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "b/layer.tar", Linkname: "../a/layer.tar"}
	old := tarOf(t, map[string]string{"manifest.json": "[]", "a/layer.tar": "x"}, link)
	members, root, _ := sample()
	members["manifest.json"] = "[]"
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"without a layout":      {old, "holds no image"},
		"with a layout":         {tarOf(t, members), ""},
		"with a layout, linked": {tarOf(t, members, link), "neither a file nor a directory"},
		"neither":               {tarOf(t, map[string]string{"x": "y"}), "no image layout"},
	} {
		path := filepath.Join(t.TempDir(), "a.tar")
		if err := os.WriteFile(path, test.data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err == nil && test.want != "" {
			_, err = l.Root("")
			_ = l.Close() // only read
		}
		switch {
		case test.want != "":
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if got, err := l.Root(""); err != nil || got != root {
				t.Errorf("%s: %s, %v", name, got, err)
			}
			_ = l.Close() // only read
		}
	}
}
