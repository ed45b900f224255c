//go:build !notraces

package httpserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxSpanQueue bounds the spans that wait for the collector; further ones are dropped. A span has about 1 KiB.
const maxSpanQueue = 2048

// tracesPath is where collectors take spans (OTLP 1.10, OTLP/HTTP Request).
const tracesPath = "/v1/traces"

// startTracing makes the exporter. It connects when there is something to send: a collector that is down delays nothing.
func startTracing(t Tracing) (*tracer, error) {
	if t.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(t.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("tracing: endpoint %q: an http or https URL is needed", t.Endpoint)
	}
	if t.Service == "" {
		t.Service = "bulla-server"
	}
	if t.Ratio == 0 {
		t.Ratio = 1
	}
	if t.Ratio < 0 || t.Ratio > 1 {
		return nil, fmt.Errorf("tracing: ratio %v: must be above 0 and at most 1", t.Ratio)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(u.String()))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxSpanQueue)),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", t.Service))),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(t.Ratio))),
	)
	// Packages that trace by themselves, Tessera for one, find it here.
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	w := spans{tracer: provider.Tracer("github.com/bulla-sign/bulla/server/httpserver")}
	return &tracer{wrap: w.wrap, shutdown: provider.Shutdown}, nil
}

// spans makes one for each request.
type spans struct{ tracer trace.Tracer }

// wrap gives each request a span, whose parent is what the traceparent header says (W3C Trace Context). Attributes are
// what the access log shows, and no more.
func (s spans) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := methodLabel(r.Method)
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := s.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", method),
			attribute.String("request.id", RequestID(ctx)),
		))
		inner, returned := r.WithContext(ctx), false
		e, ok := w.(*exchange)
		if sc := span.SpanContext(); ok && sc.HasTraceID() {
			e.trace = sc.TraceID().String()
		}
		defer func() {
			r.Pattern = inner.Pattern // the mux has set it on its own copy
			route := inner.Pattern
			if _, path, ok := strings.Cut(route, " "); ok {
				route = path
			}
			span.SetName(strings.TrimSpace(method + " " + route))
			span.SetAttributes(attribute.String("http.route", route))
			status := http.StatusOK
			if ok && e.status != 0 {
				status = e.status
			}
			if !returned { // it panics: answered further out
				status = http.StatusInternalServerError
			}
			span.SetAttributes(attribute.Int("http.response.status_code", status))
			if status >= 500 {
				span.SetStatus(codes.Error, "")
			}
			span.End()
		}()
		next.ServeHTTP(w, inner)
		returned = true
	})
}
