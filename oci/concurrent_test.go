package oci

import (
	"cmp"
	"context"
	"maps"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// watched is how many write at once where the race detector watches: it makes each of them ten times slower, so that more
// would fight over two processors rather than over a list. CI runs this, and then the usual numbers without it.
const watched = "8"

// writers is how many write at once.
func writers(t *testing.T, usual string) int {
	if raceDetector {
		usual = watched
	}
	n, err := strconv.Atoi(cmp.Or(os.Getenv("BULLA_WRITERS"), usual))
	if err != nil {
		t.Fatalf("BULLA_WRITERS: %v", err)
	}
	return n
}

// All at once: everything is found afterwards, or its writer was told. Where the registry decides between writers, all
// are found.
func TestConcurrentWriters(t *testing.T) {
	const settle = 200 * time.Millisecond
	var group sync.WaitGroup // at once, since most of the time is waiting
	defer group.Wait()
	for _, test := range []struct {
		name    string
		options testenv.RegistryOptions
		layers  bool   // the older tag is a place of its own there
		writers string // unless BULLA_WRITERS says another number
	}{
		{"referrers", testenv.RegistryOptions{Referrers: true, OCISubject: true}, false, "64"},
		{"referrers, eventually consistent", testenv.RegistryOptions{Referrers: true, Quirks: testenv.Quirks{StaleFor: settle}}, false, "16"},
		{"fallback with ETag", testenv.RegistryOptions{ETag: true}, true, "64"},
		{"fallback without", testenv.RegistryOptions{}, true, "64"},
		{"fallback with ignored ETag", testenv.RegistryOptions{ETag: true, IgnoreMatch: true}, false, "16"},
		{"fallback with weak ETag", testenv.RegistryOptions{ETag: true, Quirks: testenv.Quirks{WeakETag: true}}, false, "16"},
		{"fallback, eventually consistent", testenv.RegistryOptions{Quirks: testenv.Quirks{StaleFor: settle / 4}}, true, "64"},
		{"fallback with ETag, eventually consistent", testenv.RegistryOptions{ETag: true, Quirks: testenv.Quirks{StaleFor: 2 * settle}}, false, "16"},
		{"fallback, immutable", testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "ecr"}}, true, "64"},
		{"fallback with ETag, immutable", testenv.RegistryOptions{ETag: true, Quirks: testenv.Quirks{Immutable: "harbor"}}, false, "16"},
		{"fallback, busy", testenv.RegistryOptions{Quirks: testenv.Quirks{Unavailable: 2}}, false, "16"},
	} {
		group.Go(func() {
			t.Run("bundle/"+test.name, func(t *testing.T) { concurrent(t, test.options, settle, writers(t, test.writers), attachBundleFrom) })
		})
		if test.layers {
			group.Go(func() {
				t.Run("layer/"+test.name, func(t *testing.T) { concurrent(t, test.options, settle, writers(t, test.writers), attachLayerFrom) })
			})
		}
	}
}

func attachBundleFrom(ctx context.Context, t *testing.T, c *Client, img *Image, _ int) (string, error) {
	return c.AttachBundle(ctx, img, bundleOptions(newBundle(t)))
}

func attachLayerFrom(ctx context.Context, _ *testing.T, c *Client, img *Image, i int) (string, error) {
	o := signature
	o.Payload = append([]byte(nil), o.Payload...)
	o.Annotations = maps.Clone(o.Annotations)
	o.Annotations["writer"] = strconv.Itoa(i)
	_, err := c.AttachLayer(ctx, img, o)
	return o.Annotations["writer"], err
}

func concurrent(t *testing.T, options testenv.RegistryOptions, settle time.Duration, n int, attach func(context.Context, *testing.T, *Client, *Image, int) (string, error)) {
	reg := testenv.NewRegistry(t, options)
	ref := reg.PushImage(t, "app:v1")
	var mu sync.Mutex
	attached := map[string]error{}
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			c := newClient(t, Options{Settle: settle, Sleep: sleep})
			img, err := c.Resolve(t.Context(), ref)
			key := ""
			if err == nil {
				key, err = attach(t.Context(), t, c, img, i)
			}
			mu.Lock()
			defer mu.Unlock()
			attached[cmp.Or(key, "writer "+strconv.Itoa(i))] = err
		})
	}
	group.Wait()
	time.Sleep(2 * options.Quirks.StaleFor)
	c := newClient(t, Options{})
	found := mustFind(t, c, mustResolve(t, c, ref), FindOptions{Bundles: true, Signatures: true, Every: true})
	here := map[string]bool{}
	for _, item := range found.Items {
		here[item.Digest] = true
		here[item.Annotations["writer"]] = true
	}
	good := 0
	for key, err := range attached {
		switch {
		case err == nil && !here[key]:
			t.Errorf("%q was reported as attached, and is lost", key)
		case err == nil:
			good++
		default:
			t.Logf("refused: %v", err)
		}
	}
	if len(attached) != n || good < n/2 {
		t.Errorf("%d writers, %d outcomes, %d succeeded", n, len(attached), good)
	}
	t.Logf("%d of %d attached, %d requests", good, n, reg.Total())
}
