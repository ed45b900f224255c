package layout

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put stores a manifest under a reference.
func put(t *testing.T, l *Layout, reference, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, "https://layout.localhost/v2/image/manifests/"+reference, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %+v", err, resp)
	}
}

func about(root string, n int) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"x/%d","config":{"mediaType":"x/c","digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":1}}`,
		typeManifest, n, digestOf("{}"), typeManifest, root)
}

// Two that add to a layout at once both find their work listed, beside whatever others have put there.
func TestEdit(t *testing.T) {
	members, root, _ := sample()
	members["index.json"] = strings.Replace(members["index.json"], `{"schemaVersion":2,`, `{"schemaVersion":2,"annotations":{"by":"others"},`, 1)
	members["index.json"] = strings.Replace(members["index.json"], `"size":`, `"platform":{"os":"linux"},"size":`, 1)
	dir := writeDirectory(t, members)
	var both []*Layout
	for n := range 2 {
		l, err := Edit(dir)
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, digestOf(about(root, n)), about(root, n))
		put(t, l, legacyTag(root, "sig"), about(root, 2+n))
		both = append(both, l)
	}
	for _, l := range both {
		if err := l.Save(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{digestOf(about(root, 0)), digestOf(about(root, 1)), `"by": "others"`, `"os": "linux"`, legacyTag(root, "sig")} {
		if strings.Count(string(data), want) != 1 {
			t.Errorf("%s is there %d times in\n%s", want, strings.Count(string(data), want), data)
		}
	}
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Root(""); err != nil || got != root {
		t.Errorf("%s, %v", got, err)
	}
	// The older tag is one manifest, of who came last.
	if got := l.tags[legacyTag(root, "sig")].Digest; got != digestOf(about(root, 3)) {
		t.Errorf("the tag names %s", got)
	}
	if len(l.subject[root]) != 4 {
		t.Errorf("%d referrers", len(l.subject[root]))
	}
}

func TestEditRefuses(t *testing.T) {
	members, _, _ := sample()
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(archive, tarOf(t, members), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{archive, t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, err := Edit(path); err == nil {
			t.Errorf("%s can be edited", path)
		}
	}
	// What has become of index.json meanwhile is not written over.
	dir := writeDirectory(t, members)
	l, err := Edit(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Save(); err == nil {
		t.Error("an index.json that cannot be read was replaced")
	}
}
