//go:build !notraces

package httpserver

import (
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector gets the request's span: child of the client's, named after the route, and without what the client wrote.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var requests []*collector.ExportTraceServiceRequest
	var raw strings.Builder
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		req := new(collector.ExportTraceServiceRequest)
		if err := proto.Unmarshal(body, req); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, req)
		raw.Write(body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer sink.Close()

	var logged strings.Builder
	s := start(t, Config{
		Tracing: Tracing{Endpoint: sink.URL, Service: "under test"},
		Log:     slog.New(slog.NewTextHandler(&logged, nil)),
	}, mux("GET /traced/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("panic") {
			panic("canary-panic")
		}
		hello(w, r)
	}))
	const traceID, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	edit := func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+traceID+"-"+parent+"-01")
		r.Header.Set("Authorization", "Bearer canary-token")
	}
	fetch(t, s.url+"/traced/canary-path?q=canary-query", edit)
	fetch(t, s.url+"/traced/x?panic=1", edit)
	if err := s.stop(); err != nil { // sends what is left
		t.Fatal(err)
	}
	var names []string
	for _, req := range requests {
		for _, rs := range req.ResourceSpans {
			if got := rs.Resource.Attributes[0].Value.GetStringValue(); got != "under test" {
				t.Errorf("service %q", got)
			}
			for _, ss := range rs.ScopeSpans {
				for _, span := range ss.Spans {
					names = append(names, span.Name+" "+span.Status.GetCode().String())
					if hex.EncodeToString(span.TraceId) != traceID || hex.EncodeToString(span.ParentSpanId) != parent {
						t.Errorf("trace %x, parent %x", span.TraceId, span.ParentSpanId)
					}
				}
			}
		}
	}
	want := "GET /traced/{name} STATUS_CODE_UNSET, GET /traced/{name} STATUS_CODE_ERROR"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("spans %s, want %s", got, want)
	}
	if strings.Contains(raw.String(), "canary") {
		t.Error("a span holds what a client sent")
	}
	if !strings.Contains(logged.String(), "trace="+traceID) {
		t.Errorf("the log line does not name the trace: %s", logged.String())
	}
}

func TestTracingRefused(t *testing.T) {
	for _, tr := range []Tracing{
		{Endpoint: "127.0.0.1:4318"},
		{Endpoint: "http://127.0.0.1:4318", Ratio: 2},
		{Endpoint: "http://127.0.0.1:4318", Ratio: -1},
	} {
		if _, err := New(Config{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Tracing: tr}, http.NotFoundHandler()); err == nil {
			t.Errorf("%+v: no error", tr)
		}
	}
}
