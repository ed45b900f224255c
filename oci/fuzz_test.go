package oci

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Whatever a registry writes into its Link headers, the next page is of the same list on the same host.
func FuzzNextPage(f *testing.F) {
	for _, header := range []string{
		`</v2/app/referrers/x?next=1>; rel="next"`, `<https://elsewhere.example/v2/app/referrers/x>; rel=next`, `>`, `<`, `,,,`,
		`<?a=b,c>; title="a,b;c"; rel="prev next", <?x>;rel=next`, `<//host/v2/app/referrers/x>;rel=next`, `<?n=1>; rel="next`, "<%zz>;rel=next",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		asked, err := url.Parse("https://registry.example.com/v2/app/referrers/x?n=1")
		if err != nil {
			t.Fatal(err)
		}
		next, err := nextPage(&answer{url: asked, header: http.Header{"Link": {header}}})
		if err != nil || next == nil {
			return
		}
		if next.Host != asked.Host || next.Scheme != asked.Scheme || next.Path != asked.Path || next.User != nil {
			t.Fatalf("%q leads to %s", header, next)
		}
	})
}

// What is added to somebody else's manifest leaves the rest of it as it was.
func FuzzRewrite(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"a":1,"manifests":[{"x":"\u00e9"}]}`, `{"manifests":[],"annotations":{"z":"1","a":1e400}}`, `[]`, `{"a":`, `{"a":1}x`, `{"a":1,"a":2}`, ` {"\u0061":1}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := rewrite(body, member{"manifests", []byte(`[{"new":1}]`)})
		if err != nil {
			return
		}
		var before, after map[string]jsontext.Value
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
		if string(after["manifests"]) != `[{"new":1}]` {
			t.Fatalf("%q became %q", body, out)
		}
		if json.Unmarshal(body, &before) != nil {
			return // something followed the object
		}
		for name, value := range before {
			if name != "manifests" && !bytes.Equal(value, after[name]) {
				t.Fatalf("%q became %q: %q is another one", body, out, name)
			}
		}
		again, err := rewrite(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q became %q: %v", out, again, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"128MiB", "1", "0", "-1", "1e9", "9223372036854775807", ".5k", "1 GiB", "1ib", "1kk", "1..2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseSize(text); err == nil && n < 1 {
			t.Fatalf("%q is %d", text, n)
		}
	})
}

// A tag that a registry lists cannot lead out of its repository, and one that continues a list does so under one name only.
func FuzzTagName(f *testing.F) {
	base := referrersTag("sha256:" + strings.Repeat("ab", 32))
	for _, tag := range []string{"v1", "", ".", "..", "../x", "a/b", "a?b", "a%2fb", "-x", base, base + ".1", base + ".01", base + ".4097", base + ".+1"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if isTagName(tag) && (url.PathEscape(tag) != tag || tag == "." || tag == "..") {
			t.Fatalf("%q passes for a tag", tag)
		}
		if isContinuation(tag, base) && (!isTagName(tag) || !strings.HasPrefix(tag, base+".")) {
			t.Fatalf("%q passes for a continuation", tag)
		}
	})
}

// A manifest holds its own layers, and one that holds another's has them in it.
func FuzzHoldsLayers(f *testing.F) {
	layer := func(digit, note string) string {
		return `{"mediaType":"x","size":1,"digest":"sha256:` + strings.Repeat(digit, 64) + `","annotations":{"a":"` + note + `"}}`
	}
	manifest := func(layers ...string) []byte {
		return []byte(`{"schemaVersion":2,"layers":[` + strings.Join(layers, ",") + `]}`)
	}
	f.Add(manifest(layer("a", "1"), layer("b", "2")), manifest(layer("b", "2")))
	f.Add(manifest(layer("a", "1")), manifest(layer("a", "2")))
	f.Add(manifest(), []byte(`{"layers":[1]}`))
	f.Fuzz(func(t *testing.T, whole, part []byte) {
		c := &Client{limits: Limits{Layers: 100}}
		a, b := &fetched{body: whole, mediaType: typeOCIManifest}, &fetched{body: part, mediaType: typeOCIManifest}
		if !c.holdsLayers(a, b) {
			return
		}
		m, err := c.parseLayers(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range m.Layers {
			d, err := parseDescriptor(raw)
			if err != nil || !bytes.Contains(whole, []byte(d.Digest)) && !bytes.Contains(whole, []byte("\\")) {
				t.Fatalf("%q is not in %q: %v", raw, whole, err)
			}
		}
	})
}
