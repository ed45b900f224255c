package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A registry that falls silent in the middle of an answer is given up, without any deadline; one that is slow is not.
func TestSilentRegistry(t *testing.T) {
	const idle = 800 * time.Millisecond
	list := index()
	release := make(chan struct{})
	var silent, afterStatus bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/":
			return
		case !strings.Contains(r.URL.Path, "/referrers/"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
			return
		}
		w.Header().Set("Content-Type", typeOCIIndex)
		if silent {
			if !afterStatus {
				fmt.Fprint(w, list[:5])
			}
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		for _, part := range strings.SplitAfter(list, ",") { // longer than the limit altogether
			fmt.Fprint(w, part)
			w.(http.Flusher).Flush()
			time.Sleep(idle / 2)
		}
	}))
	defer server.Close()
	defer close(release)
	find := func() (time.Duration, error) {
		c := newClient(t, Options{})
		c.base.(*agentTransport).idle = idle
		img, err := c.Parse(strings.TrimPrefix(server.URL, "http://") + "/app@sha256:" + strings.Repeat("ab", 32))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*idle) // not to wait for ever where the limit does not work
		defer cancel()
		start := time.Now()
		_, err = c.Find(ctx, img, FindOptions{Bundles: true})
		return time.Since(start), err
	}
	if took, err := find(); isUnknown(err) || took < idle {
		t.Errorf("a slow answer, after %s: %v", took, err)
	}
	silent = true
	for _, afterStatus = range []bool{false, true} {
		took, err := find()
		if !isUnknown(err) || !errors.Is(err, errIdle) || took > 60*idle {
			t.Errorf("a silent registry, after %s: %v", took, err)
		}
	}
}
