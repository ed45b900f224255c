//go:build notraces

package httpserver

import (
	"net/http"
	"strings"
	"testing"
)

// Who wants traces and has a program without them learns it at once.
func TestTracingNotBuiltIn(t *testing.T) {
	cfg := Config{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Tracing: Tracing{Endpoint: "http://127.0.0.1:4318/v1/traces"}}
	if _, err := New(cfg, http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "-tags notraces") {
		t.Errorf("New: %v", err)
	}
}
