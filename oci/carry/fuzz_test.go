package carry

import (
	"strings"
	"testing"
)

// Whatever a registry serves as a manifest, what is followed from it has digests, and the rest is refused.
func FuzzParse(f *testing.F) {
	digest := "sha256:" + strings.Repeat("a", 64)
	piece := `{"mediaType":"x","digest":"` + digest + `","size":2,"urls":["https://a.example"],"platform":{"os":"linux","architecture":"arm64","variant":"v8"},"annotations":{"a":"b"}}`
	for _, body := range []string{
		`{"config":` + piece + `,"layers":[` + piece + `],"subject":` + piece + `,"annotations":{"dev.sigstore.bundle.content":"message-signature"}}`,
		`{"manifests":[` + piece + `,` + piece + `]}`, `{"manifests":[],"layers":[]}`, `{"layers":[{"digest":"sha256:x"}]}`,
		`{"layers":[{"digest":"` + digest + `","size":-1}]}`, `{"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","layers":null}`, `[]`, `{`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := parse(body)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x1b\r") {
				t.Fatalf("an error speaks to the terminal: %q", err)
			}
			return
		}
		for _, list := range [][]part{d.blobs(), d.Manifests} {
			if len(list) > maxParts+1 {
				t.Fatalf("%d parts", len(list))
			}
			for i := range list {
				p := &list[i]
				if !strings.HasPrefix(p.Digest, "sha256:") && !strings.HasPrefix(p.Digest, "sha512:") || strings.ContainsAny(p.Digest, "/?#.") || p.Size < 0 {
					t.Fatalf("%+v is followed", p)
				}
				_, _ = p.platform(), p.foreign()
			}
		}
		for _, suffix := range []string{"", "sig", "att", "sbom"} {
			for _, kind := range kinds(&Piece{Suffix: suffix}, d) {
				if CheckOnly([]string{kind}) != nil {
					t.Fatalf("%q is no kind of evidence", kind)
				}
			}
		}
		if keys, err := layerKeys(body); err == nil && (!within(body, body) || len(keys) != len(d.Layers)) {
			t.Fatalf("%q is not within itself", body)
		}
	})
}
