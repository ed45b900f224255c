package oci

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// quirkCase is one way in which registries differ, and what comes of it. Nothing else may: evidence that is there is
// found, or it is said that the registry did not let us know; what is reported as written is there.
type quirkCase struct {
	name    string
	options testenv.RegistryOptions
	refused string // attaching a bundle fails, with this in the error; empty: it succeeds
	unknown string // looking for what is there ends in an UnknownError with this; empty: it is found
	damaged bool   // what is found is the candidate, with the error that unknown has
	absent  string // looking where nothing is ends in an UnknownError with this; empty: it is absent
}

func quirkCases() []quirkCase {
	api := func(q testenv.Quirks) testenv.RegistryOptions {
		return testenv.RegistryOptions{Referrers: true, Quirks: q}
	}
	tags := func(q testenv.Quirks) testenv.RegistryOptions { return testenv.RegistryOptions{Quirks: q} }
	etag := func(q testenv.Quirks) testenv.RegistryOptions { return testenv.RegistryOptions{ETag: true, Quirks: q} }
	const lag = 5 * time.Millisecond
	return []quirkCase{
		{name: "none, API", options: api(testenv.Quirks{})},
		{name: "none, tag", options: tags(testenv.Quirks{})},
		{name: "the tag is the subject", options: tags(testenv.Quirks{TagIsSubject: true})},
		{name: "the tag stays the subject", options: tags(testenv.Quirks{TagIsSubject: true, TagStaysSubject: true}), refused: "does not list", unknown: "-"},
		{name: "the list is throttled behind a redirect", options: api(testenv.Quirks{ListThrottled: true}), refused: "429", unknown: "429", absent: "429"},
		{name: "no artifact type, API", options: api(testenv.Quirks{NoArtifactType: true})},
		{name: "no artifact type, tag", options: tags(testenv.Quirks{NoArtifactType: true})},
		{name: "the config's type", options: api(testenv.Quirks{ConfigAsType: true})},
		{name: "no ETag", options: tags(testenv.Quirks{})},
		{name: "weak ETag", options: etag(testenv.Quirks{WeakETag: true})},
		{name: "If-Match honoured", options: etag(testenv.Quirks{})},
		{name: "If-Match ignored", options: testenv.RegistryOptions{ETag: true, IgnoreMatch: true}},
		{name: "eventually consistent, API", options: api(testenv.Quirks{StaleFor: lag})},
		{name: "eventually consistent, tag", options: tags(testenv.Quirks{StaleFor: lag})},
		{name: "immutable as ECR", options: tags(testenv.Quirks{Immutable: "ecr"})},
		{name: "immutable as Harbor", options: tags(testenv.Quirks{Immutable: "harbor"})},
		{name: "immutable with conflict and ETag", options: etag(testenv.Quirks{Immutable: "conflict"})},
		{name: "HTML for what is missing, API", options: api(testenv.Quirks{HTMLNotFound: true}), absent: "404"},
		{name: "HTML for what is missing, tag", options: tags(testenv.Quirks{HTMLNotFound: true}), refused: "404", absent: "404"},
		{name: "endless pages", options: api(testenv.Quirks{EndlessPages: true}), absent: "pages"},
		{name: "lying sizes, API", options: api(testenv.Quirks{LyingSizes: true}), unknown: "listed as", damaged: true},
		{name: "lying sizes, tag", options: tags(testenv.Quirks{LyingSizes: true}), unknown: "listed as", damaged: true},
		{name: "two-faced, API", options: api(testenv.Quirks{TwoFaced: true}), unknown: "has the digest", damaged: true},
		{name: "two-faced, tag", options: tags(testenv.Quirks{TwoFaced: true}), unknown: "has the digest", damaged: true},
		{name: "throttled, API", options: api(testenv.Quirks{Throttle: 3})},
		{name: "throttled, tag", options: tags(testenv.Quirks{Throttle: 3})},
		{name: "always throttled", options: tags(testenv.Quirks{Throttle: 10}), refused: "429", unknown: "429", absent: "429"},
		{name: "failing now and then, API", options: api(testenv.Quirks{Unavailable: 3})},
		{name: "failing now and then, tag", options: tags(testenv.Quirks{Unavailable: 3})},
		{name: "always failing", options: api(testenv.Quirks{Unavailable: 10}), refused: "503", unknown: "503", absent: "503"},
		{name: "blobs elsewhere", options: api(testenv.Quirks{RedirectBlobs: true})},
	}
}

func TestQuirks(t *testing.T) {
	for _, test := range quirkCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Run("attach", func(t *testing.T) { quirkAttach(t, test) })
			t.Run("find", func(t *testing.T) { quirkFind(t, test) })
			t.Run("absent", func(t *testing.T) { quirkAbsent(t, test) })
		})
	}
}

// quirkAttach attaches two bundles and a layer under the quirk, and looks without it.
func quirkAttach(t *testing.T, test quirkCase) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: test.options.Referrers, ETag: test.options.ETag, IgnoreMatch: test.options.IgnoreMatch})
	c := newClient(t, Options{Attempts: 8})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	reg.SetQuirks(test.options.Quirks)
	written := map[string]bool{}
	for i := range 2 {
		digest, err := c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t)))
		if err == nil {
			written[digest] = true
		}
		if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
			t.Errorf("bundle %d: error %v, want %q", i, err, test.refused)
		}
	}
	layer, err := c.AttachLayer(t.Context(), img, signature)
	if err == nil {
		written[layer] = true
	}
	reg.SetQuirks(testenv.Quirks{})
	found, _ := newClient(t, Options{}).Find(t.Context(), img, FindOptions{Bundles: true, Signatures: true, Every: true})
	for _, item := range found.Items {
		delete(written, item.Digest)
	}
	if len(written) > 0 {
		t.Errorf("reported as written, and not there: %v; found %s", written, summary(found))
	}
}

// quirkFind looks under the quirk for what was written without.
func quirkFind(t *testing.T, test quirkCase) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: test.options.Referrers, ETag: test.options.ETag, IgnoreMatch: test.options.IgnoreMatch})
	writer := newClient(t, Options{})
	img := mustResolve(t, writer, reg.PushImage(t, "app:v1"))
	digest := mustAttach(t, writer, img, bundleOptions(newBundle(t)))
	reg.SetQuirks(test.options.Quirks)
	if test.options.Quirks.TwoFaced { // the first face is the true one
		if _, err := newClient(t, Options{}).Resolve(t.Context(), img.Name()); err != nil {
			t.Fatal(err)
		}
	}
	found, err := newClient(t, Options{}).Find(t.Context(), img, FindOptions{Bundles: true})
	switch {
	case test.unknown == "-":
		// The registry says in the specification's words that the tag is something else: whoever wrote there was told.
	case test.damaged:
		if len(found.Items) != 1 || found.Items[0].Err == nil || !strings.Contains(found.Items[0].Err.Error(), test.unknown) {
			t.Errorf("want the candidate with its error, got %v and %s", err, summary(found))
		}
	case test.unknown != "":
		if unknown := (*UnknownError)(nil); !errors.As(err, &unknown) || !strings.Contains(err.Error(), test.unknown) || len(found.Items) > 0 {
			t.Errorf("error %v, want an unknown %q", err, test.unknown)
		}
	case err != nil || len(found.Items) != 1 || found.Items[0].Digest != digest || found.Items[0].Err != nil:
		t.Errorf("got %v and %s", err, summary(found))
	}
}

// quirkAbsent looks where nothing is.
func quirkAbsent(t *testing.T, test quirkCase) {
	reg := testenv.NewRegistry(t, test.options)
	c := newClient(t, Options{})
	img, err := c.Parse(reg.PushImage(t, "app:v1"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Find(t.Context(), img, FindOptions{Bundles: true, Signatures: true, Attestations: true})
	unknown := (*UnknownError)(nil)
	if len(found.Items) > 0 || errors.As(err, &unknown) != (test.absent != "") || err != nil && !strings.Contains(err.Error(), test.absent) {
		t.Errorf("error %v, want %q; %s", err, test.absent, summary(found))
	}
}
