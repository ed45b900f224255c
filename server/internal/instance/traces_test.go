//go:build !notraces

package instance_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/server/internal/config"
)

// The key "traces" of the configuration is enough: the collector that it names, by no more than its host, is sent to.
func TestTracesAreSent(t *testing.T) {
	var mu sync.Mutex
	paths := make(map[string]int)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths[r.Method+" "+r.URL.Path]++
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer sink.Close()
	d := newDeployment(t)
	f := d.file(d.port, config.ServiceTSA)
	f.Traces = sink.URL
	p := d.start(f)
	if code, body := get(t, d.url+"/api/v1/timestamp/certchain"); code != http.StatusOK {
		t.Errorf("status %d, %s", code, body)
	}
	if err := p.stop(); err != nil { // sends what is left
		t.Fatal(err)
	}
	if len(paths) != 1 || paths["POST /v1/traces"] == 0 {
		t.Errorf("the collector was asked for %v", paths)
	}
}
