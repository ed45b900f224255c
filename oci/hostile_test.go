package oci

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// A link that names a next page is followed or refused, however it is spelled; a list never ends at it unsaid.
func TestNextPage(t *testing.T) {
	here, err := url.Parse("https://registry.test/v2/app/referrers/sha256:ab")
	if err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{
		``:                                          "",
		`<?last=x>; rel="prev"`:                     "",
		`<?last=x>; rel="next"`:                     "?last=x",
		`<?last=x>;rel=next`:                        "?last=x",
		`<?last=x> ; rel="next"`:                    "?last=x",
		`<?last=x>; title="a;b,c"; rel=next`:        "?last=x",
		`<?last=x>; rel="last next"`:                "?last=x",
		`<?last=x,y>; rel="next"`:                   "?last=x,y",
		`<?p=1,2>; rel="prev", <?p=3,4>;rel="next"`: "?p=3,4",
		`<?last=x>; REL="NEXT"`:                     "?last=x",
		`?last=x; rel="next"`:                       "error",
		`<?last=x; rel="next"`:                      "error",
		`garbage`:                                   "error",
	} {
		a := &answer{url: here, header: http.Header{}}
		if link != "" {
			a.header.Set("Link", link)
		}
		next, err := nextPage(a)
		got := ""
		switch {
		case err != nil:
			got = "error"
		case next != nil:
			got = "?" + next.RawQuery
		}
		if got != want {
			t.Errorf("%s: got %q, %v; want %q", link, got, err, want)
		}
	}
}

// Pages may be full of few but large entries: what is kept of a list is bounded in bytes, too.
func TestPagesOfLargeEntries(t *testing.T) {
	page := 0
	large := fmt.Sprintf(`{"mediaType":%q,"size":3,"digest":"sha256:%064d","artifactType":"text/plain","annotations":{"a":%q}}`,
		typeOCIManifest, 1, strings.Repeat("x", 1<<20))
	_, ref, _ := pages(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		page++
		w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, page))
		fmt.Fprint(w, index(large, large, large))
	})
	c := newClient(t, Options{})
	_, err := c.Find(t.Context(), mustResolve(t, c, ref), FindOptions{Bundles: true})
	if !isUnknown(err) || page > 12 {
		t.Errorf("%d pages of 3 MiB were read: %v", page, err)
	}
}

// Many layers may name the same blob: each of them is decoded by itself, so each counts.
func TestManyLayersOfOneBlob(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{Limits: Limits{Attachment: 2 << 20, Total: 4 << 20}})
	img := mustResolve(t, c, ref)
	payload := base64.StdEncoding.EncodeToString(make([]byte, 700<<10))
	blob := reg.PushBlob(t, "app", "application/vnd.dsse.envelope.v1+json",
		[]byte(`{"payload":"`+payload+`","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEUCIQ=="}]}`))
	layer := fmt.Sprintf(`{"mediaType":"application/vnd.dsse.envelope.v1+json","digest":%q,"size":%d,"annotations":{%q:""}}`,
		blob["digest"], blob["size"], annotationSignature)
	config := reg.PushBlob(t, "app", typeOCIConfig, []byte("{}"))
	reg.PushManifest(t, "app", c.legacyTag(img, "att"), typeOCIManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[%s]}`, typeOCIManifest,
		typeOCIConfig, config["digest"], strings.Repeat(layer+",", 299)+layer))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found, err := c.Find(t.Context(), img, FindOptions{Attestations: true})
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 100 {
		t.Errorf("%d MiB allocated for evidence limited to 4 MiB", grown)
	}
	if err != nil && !isUnknown(err) {
		t.Errorf("got %v", err)
	}
	tooMuch := 0
	for _, item := range found.Items {
		if isUnknown(item.Err) {
			tooMuch++
		}
	}
	if tooMuch < 290 {
		t.Errorf("%d of %d layers were not looked at, and said so", tooMuch, len(found.Items))
	}
}

// The ping must not lead a client that was not allowed plain HTTP, and its credentials, there.
func TestPingRedirectedToHTTP(t *testing.T) {
	var plain atomic.Int32
	c := newClient(t, Options{Username: "me", Password: "secret", Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if r.URL.Scheme == "https" {
			http.Redirect(w, r, "http://registry.test/v2/", http.StatusFound)
		} else {
			plain.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})})
	if _, err := c.Resolve(t.Context(), "registry.test/app:v1"); err == nil || plain.Load() != 0 {
		t.Errorf("%d requests went over plain HTTP: %v", plain.Load(), err)
	}
}

type endless struct{ read *atomic.Int64 }

func (e endless) Read(p []byte) (int, error) { e.read.Add(int64(len(p))); return len(p), nil }
func (e endless) Close() error               { return nil }

// The body of the ping is read by the token transport, without a limit of its own.
func TestEndlessPing(t *testing.T) {
	var read atomic.Int64
	c := newClient(t, Options{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless{&read}, Request: r}, nil
	})})
	done := make(chan error, 1)
	go func() { _, err := c.Resolve(t.Context(), "registry.test/app:v1"); done <- err }()
	select {
	case <-done:
		if read.Load() > 64<<20 {
			t.Errorf("%d bytes were read", read.Load())
		}
	case <-time.After(time.Minute):
		t.Errorf("still reading after %d MiB", read.Load()>>20)
	}
}

// A token server's answer may hold secrets although it holds no token.
func TestNoTokenToldInError(t *testing.T) {
	c := newClient(t, Options{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if r.URL.Path == "/v2/" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://registry.test/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		} else {
			_, _ = io.WriteString(w, `{"refresh_token":"s3cret"}`)
		}
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})})
	_, err := c.Resolve(t.Context(), "registry.test/app:v1")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

// Evidence that was there before a registry got the referrers API is found although the API lists something else.
func TestTagBesideOtherReferrers(t *testing.T) {
	entries := []string{}
	reg, ref, c := pages(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, index(entries...)) })
	img := mustResolve(t, c, ref)
	entry := pushReferrer(t, reg, img.Digest, newBundle(t), nil)
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIIndex, []byte(index(entry)))
	entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"size":3,"digest":"sha256:%064d","artifactType":"application/spdx+json"}`, typeOCIManifest, 1))
	if found := mustFind(t, c, img, FindOptions{Bundles: true}); len(found.Items) != 1 {
		t.Errorf("got %s", summary(found))
	}
}

// An experimental signature artifact with more layers than are read is not silently cut.
func TestExperimentalLayersLimit(t *testing.T) {
	var entries []string
	reg, ref, _ := pages(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, index(entries...)) })
	c := newClient(t, Options{Limits: Limits{Layers: 2}})
	img := mustResolve(t, c, ref)
	entries = append(entries, pushReferrer(t, reg, img.Digest, newBundle(t), func(body string) string {
		cut := strings.Index(body, `"layers":[`) + len(`"layers":[`)
		end := strings.Index(body[cut:], "]") + cut
		layer := body[cut:end]
		return strings.Replace(body[:cut]+layer+","+layer+","+layer+body[end:], `"artifactType":"`+typeBundle, `"artifactType":"`+typeSignature, 1)
	}))
	_, err := c.Find(t.Context(), img, FindOptions{Bundles: true})
	if !isUnknown(err) || !strings.Contains(err.Error(), "3 layers") {
		t.Errorf("got %v", err)
	}
}

// Naming the image by the referrers tag must not cost it its only tag.
func TestImageNamedByReferrersTag(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	c := newClient(t, Options{})
	digestRef := reg.PushImage(t, "app:v1")
	first := mustResolve(t, c, digestRef)
	reg.PushManifest(t, "app", referrersTag(first.Digest), first.MediaType, first.Manifest())
	img := mustResolve(t, c, reg.Host+"/app:"+referrersTag(first.Digest))
	if _, err := c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t))); err == nil || !strings.Contains(err.Error(), "another tag") {
		t.Errorf("got %v", err)
	}
}

// Without its size an image cannot be named as a subject.
func TestAttachMissingWithoutSize(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	c := newClient(t, Options{})
	img, err := c.Parse(reg.Host + "/app@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	img.MediaType = typeOCIManifest
	o := bundleOptions(newBundle(t))
	o.AllowMissing = true
	if _, err := c.AttachBundle(t.Context(), img, o); err == nil {
		t.Error("attached to a subject of size 0")
	}
}

// A weak entity tag never matches (RFC 9110, 13.1.1), so that it is no condition to write under.
func TestWeakETag(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Match") != "" {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		w.Header().Set("ETag", `W/"x"`)
		reg.ServeHTTP(w, r)
	}))
	defer server.Close()
	ref := strings.Replace(reg.PushImage(t, "app:v1"), reg.Host, strings.TrimPrefix(server.URL, "http://"), 1)
	c := newClient(t, Options{Attempts: 3})
	img := mustResolve(t, c, ref)
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
}

// Tree sees what Find sees, and says when it did not show everything.
func TestTreeOfTagBesideAPI(t *testing.T) {
	entries := []string{}
	reg, ref, c := pages(t, func(w http.ResponseWriter, _ *http.Request, _ string) { fmt.Fprint(w, index(entries...)) })
	img := mustResolve(t, c, ref)
	entry := pushReferrer(t, reg, img.Digest, newBundle(t), nil)
	reg.PushManifest(t, "app", referrersTag(img.Digest), typeOCIIndex, []byte(index(entry)))
	for range 2 { // listed by the tag only, then by both
		nodes, places, err := c.Tree(t.Context(), img)
		if err != nil || len(nodes) != 1 || nodes[0].Err != nil {
			t.Errorf("got %+v, %+v, %v", nodes, places, err)
		}
		entries = append(entries, entry)
	}
	for range 5 {
		entries = append(entries, pushReferrer(t, reg, img.Digest, newBundle(t), nil))
	}
	_, places, err := c.Tree(t.Context(), img)
	if err != nil || !isUnknown(places[3].Err) || places[3].Outcome != Present {
		t.Errorf("a list longer than it is read: %+v, %v", places[3], err)
	}
}

// TestWorkers checks that no more is done at once than was asked for, and that all of it is done.
func TestWorkers(t *testing.T) {
	for _, workers := range []int{1, 3, 50} {
		var running, most, done atomic.Int32
		each(workers, 20, func(int) {
			n := running.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			time.Sleep(time.Millisecond)
			running.Add(-1)
			done.Add(1)
		})
		if done.Load() != 20 || int(most.Load()) > workers {
			t.Errorf("%d workers: %d done, %d at once", workers, done.Load(), most.Load())
		}
	}
}
