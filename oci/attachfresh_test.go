package oci

import (
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// freshOptions is a bundle that was made just now.
func freshOptions(t *testing.T) AttachOptions {
	o := bundleOptions(newBundle(t))
	o.Fresh = true
	return o
}

// An answer that says neither where an upload is nor what was stored is no word of a registry that has it all at once.
func TestUploadAtOnce(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault testenv.Fault
	}{
		{"nothing is said", testenv.Fault{Status: 201}},
		{"something else is stored", testenv.Fault{Status: 201, Header: map[string]string{"Docker-Content-Digest": digestOf(nil)}}},
		{"refused", testenv.Fault{Status: 400, Code: "UNSUPPORTED"}},
		{"broken", testenv.Fault{Status: 500}},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
			c := newClient(t, Options{})
			img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
			test.fault.Method, test.fault.Path, test.fault.Times = "POST", "/blobs/uploads/", 1 // the bundle's or the config's
			reg.Fail(test.fault)
			o := freshOptions(t)
			mustAttach(t, c, img, o)
			if string(reg.ReadBlob("app", digestOf(o.Bundle))) != string(o.Bundle) || string(reg.ReadBlob("app", digestOf(emptyConfig))) != "{}" {
				t.Errorf("not stored:\n%s", reg.Log())
			}
			if got := strings.Count(reg.Log(), "PUT /v2/app/blobs/uploads/"); got != 1 {
				t.Errorf("%d uploads in two steps, want 1:\n%s", got, reg.Log())
			}
		})
	}
}

// The list under the tag is read while the registry is asked whether it has the API: when that takes long, or fails, the list
// is read again before it is written.
func TestReadEarly(t *testing.T) {
	tag := func(img *Image) string { return "/manifests/" + referrersTag(img.Digest) }
	prepare := func(t *testing.T) (*testenv.Registry, *Client, *Image) {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
		c := newClient(t, Options{Settle: 200 * time.Millisecond})
		img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
		mustAttach(t, newClient(t, Options{}), img, freshOptions(t))
		reg.Reset()
		return reg, c, img
	}
	attach := func(t *testing.T, reg *testenv.Registry, c *Client, img *Image, reads int) {
		t.Helper()
		mustAttach(t, c, img, freshOptions(t))
		if got := strings.Count(reg.Log(), "GET /v2/app"+tag(img)); got != reads {
			t.Errorf("%d reads of the tag, want %d:\n%s", got, reads, reg.Log())
		}
		found := mustFind(t, newClient(t, Options{}), img, FindOptions{Bundles: true})
		for i := range found.Items {
			if found.Items[i].Err != nil {
				t.Error(found.Items[i].Err)
			}
		}
	}
	t.Run("at once", func(t *testing.T) {
		reg, c, img := prepare(t)
		attach(t, reg, c, img, 2) // and to read it back
	})
	t.Run("the tag fails", func(t *testing.T) {
		reg, c, img := prepare(t)
		reg.Fail(testenv.Fault{Method: "GET", Path: tag(img), Times: 1, Status: 500})
		attach(t, reg, c, img, 3)
	})
	t.Run("the API answers late", func(t *testing.T) {
		reg, c, img := prepare(t)
		reached, wait := make(chan struct{}, 1), make(chan struct{})
		reg.Fail(testenv.Fault{Method: "GET", Path: "/referrers/", Times: 1, Status: 404, Reached: reached, Wait: wait})
		go func() {
			<-reached
			// Another writer meanwhile, and longer than half the settle time.
			other := newClient(t, Options{})
			if _, err := other.AttachBundle(t.Context(), img, freshOptions(t)); err != nil {
				t.Error(err)
			}
			time.Sleep(150 * time.Millisecond)
			close(wait)
		}()
		mustAttach(t, c, img, freshOptions(t))
		if found := mustFind(t, newClient(t, Options{}), img, FindOptions{Bundles: true}); len(found.Items) != 3 {
			t.Errorf("want three, got %s\n%s", summary(found), reg.Log())
		}
	})
	t.Run("there is an API after all", func(t *testing.T) {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
		c := newClient(t, Options{})
		img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
		for range 2 { // the second time it is known
			mustAttach(t, c, img, freshOptions(t))
		}
		if got := strings.Count(reg.Log(), "GET /v2/app"+tag(img)); got > 1 || reg.ReadManifest("app", referrersTag(img.Digest)) != nil {
			t.Errorf("%d reads of the tag, want one at most, and no tag:\n%s", got, reg.Log())
		}
	})
}

// A client that writes makes one contact, and gets one token, for what it reads and for what it writes.
func TestOneContact(t *testing.T) {
	for _, writes := range []bool{true, false} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, User: "user", Password: "password", Bearer: true})
		c := newClient(t, Options{Username: "user", Password: "password", Writes: writes})
		img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
		mustAttach(t, c, img, freshOptions(t))
		want := map[bool]int{true: 1, false: 2}[writes]
		if got := reg.Apart("token"); got != want {
			t.Errorf("writes %t: %d tokens, want %d", writes, got, want)
		}
	}
	// Where evidence is kept elsewhere the image is read with what reading needs.
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{Writes: true, Repository: reg.Host + "/elsewhere"})
	img := mustResolve(t, c, reg.PushImage(t, "app:v1"))
	for key := range c.sessions {
		if !strings.HasSuffix(key, "/app pull") {
			t.Errorf("session %q", key)
		}
	}
	mustAttach(t, c, img, freshOptions(t))
}
