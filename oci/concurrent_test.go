package oci

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

const writers = 16

// Sixteen at once: everything is found afterwards, or its writer was told.
func TestConcurrentWriters(t *testing.T) {
	for _, test := range registries {
		t.Run("bundle/"+test.name, func(t *testing.T) { concurrent(t, test.options, attachBundleFrom) })
	}
	for _, test := range registries[2:] {
		t.Run("layer/"+test.name, func(t *testing.T) { concurrent(t, test.options, attachLayerFrom) })
	}
	t.Run("bundle/slow registry", func(t *testing.T) { concurrent(t, testenv.RegistryOptions{Lag: 2}, attachBundleFrom) })
}

func attachBundleFrom(ctx context.Context, t *testing.T, c *Client, img *Image, _ int) (string, error) {
	return c.AttachBundle(ctx, img, bundleOptions(newBundle(t)))
}

func attachLayerFrom(ctx context.Context, _ *testing.T, c *Client, img *Image, i int) (string, error) {
	o := signature
	o.Payload = append([]byte(nil), o.Payload...)
	o.Annotations = maps.Clone(o.Annotations)
	o.Annotations["writer"] = string(rune('a' + i))
	_, err := c.AttachLayer(ctx, img, o)
	return o.Annotations["writer"], err
}

func concurrent(t *testing.T, options testenv.RegistryOptions, attach func(context.Context, *testing.T, *Client, *Image, int) (string, error)) {
	t.Parallel() // most of the time is waiting
	reg := testenv.NewRegistry(t, options)
	ref := reg.PushImage(t, "app:v1")
	var mu sync.Mutex
	attached := map[string]error{}
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			c := newClient(t, Options{Settle: 100 * time.Millisecond, Sleep: sleep})
			img, err := c.Resolve(t.Context(), ref)
			key := ""
			if err == nil {
				key, err = attach(t.Context(), t, c, img, i)
			}
			mu.Lock()
			defer mu.Unlock()
			attached[key] = err
		})
	}
	group.Wait()
	time.Sleep(50 * time.Millisecond)
	c := newClient(t, Options{})
	found := mustFind(t, c, mustResolve(t, c, ref), FindOptions{Bundles: true, Signatures: true})
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
	if len(attached) != writers || good < writers/2 {
		t.Errorf("%d writers, %d succeeded", len(attached), good)
	}
	t.Logf("%d of %d attached, %d requests", good, writers, reg.Total())
}
