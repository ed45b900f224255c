package carry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/carry"
	"github.com/bulla-sign/bulla/oci/layout"
)

// files are the kinds of places on a disk that images are carried between.
var files = []string{"layout", "archive"}

// opened is a layout, in a directory or an archive, that is read.
func opened(t *testing.T, path string) *place {
	t.Helper()
	l, err := layout.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // only read
	return layoutPlace(t, l)
}

func layoutPlace(t *testing.T, l *layout.Layout) *place {
	t.Helper()
	c, err := oci.New(oci.Options{Transport: l, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return at(t, c, layout.Repository)
}

// kept copies into a directory, or an archive, and opens it.
func kept(t *testing.T, from *place, kind, digest string) (*place, *carry.Report) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "l")
	l, err := layout.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := copyAll(t, from, layoutPlace(t, l), carry.Options{Tag: "v1"}, digest)
	checkWhole(t, r, err)
	if err := l.Commit(digest); err != nil {
		t.Fatal(err)
	}
	if kind == "archive" {
		f, err := os.Create(path + ".tar")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Pack(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		path += ".tar"
	}
	return opened(t, path), r
}

// seen is what a place shows of an image and of everything under it: to who carries it on, and to who looks for evidence.
func seen(t *testing.T, p *place, digest string) []string {
	t.Helper()
	nowhere := testenv.NewRegistry(t, testenv.RegistryOptions{})
	r, err := copyAll(t, p, at(t, client(t), nowhere.Host+"/nowhere"), carry.Options{DryRun: true}, digest)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, it := range r.Items {
		out = append(out, fmt.Sprint(it.Kind, " ", it.Digest, " ", it.Size, " ", it.Subject))
	}
	img, err := p.client.Parse(p.repo + "@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	found, _ := p.client.Find(t.Context(), img, oci.FindOptions{Bundles: true, Signatures: true, Attestations: true, Every: true})
	for _, item := range found.Items { // none of them is a signature, and each is there
		out = append(out, fmt.Sprint("found ", item.Digest, " ", item.Legacy, " ", item.Annotations))
	}
	slices.Sort(out)
	return out
}

// TestCopyPairs goes from each kind of registry, from a directory and from an archive, to each of them. Everything arrives
// byte for byte, and what one sees at the source one sees at the target.
func TestCopyPairs(t *testing.T) {
	sources := map[string]func(t *testing.T) (*place, string){}
	for name, a := range abilities {
		sources[name] = func(t *testing.T) (*place, string) { return source(t, a) }
	}
	for _, kind := range files {
		sources[kind] = func(t *testing.T) (*place, string) {
			src, digest := source(t, abilities["immutable, Harbor"])
			p, _ := kept(t, src, kind, digest)
			return p, digest
		}
	}
	for from, open := range sources {
		src, digest := open(t)
		want := seen(t, src, digest)
		if n := len(want); n < 15 {
			t.Fatalf("%s shows %d things only: %s", from, n, strings.Join(want, "\n"))
		}
		check := func(t *testing.T, dst *place) {
			t.Helper()
			if got := seen(t, dst, digest); !slices.Equal(got, want) {
				t.Errorf("the target shows\n%s\nand the source\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		for to, b := range abilities {
			t.Run(from+" to "+to, func(t *testing.T) {
				reg := testenv.NewRegistry(t, b)
				dst := at(t, client(t), reg.Host+"/mirror/app")
				for range 2 { // the second time there is nothing to do, and whoever may not write twice need not
					r, err := copyAll(t, src, dst, carry.Options{Tag: "v1"}, digest)
					checkWhole(t, r, err)
				}
				tag := strings.Replace(digest, ":", "-", 1)
				fallback := string(reg.ReadManifest("mirror/app", tag))
				if b.Referrers != (fallback == "") || strings.Contains(fallback, `"platform"`) {
					t.Errorf("the fallback tag holds %q", fallback)
				}
				if continued := reg.ReadManifest("mirror/app", tag+".1") != nil; continued != (b.Quirks.Immutable != "") {
					t.Errorf("the fallback tag is continued: %t", continued)
				}
				check(t, dst)
			})
		}
		for _, to := range files {
			t.Run(from+" to "+to, func(t *testing.T) {
				dst, _ := kept(t, src, to, digest)
				check(t, dst)
			})
		}
	}
}
