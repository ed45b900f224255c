package httpserver

import (
	"context"
	"errors"
	"net/http"
)

// Tracing says where spans go. Programs built without the tag "otel" refuse a configuration in which it is set.
//
// The tag is there because the SDK and the exporter are the costliest thing that a server here could link: see
// docs/design/services.md for the figures. Most operators have no collector; they should not carry it.
type Tracing struct {
	// Endpoint is the URL of an OTLP collector, over HTTP with protocol buffers: "http://127.0.0.1:4318/v1/traces". Empty: no
	// traces. It is the operator's word: nothing that a client sends changes it.
	Endpoint string
	// Service is the name under which the spans are shown; "bulla-server" when empty.
	Service string
	// Ratio is the share of the requests without a sampled parent of which spans are sent, from above 0 to 1; 1 when 0.
	Ratio float64
}

// tracer is what tracing does to a server.
type tracer struct {
	wrap     func(http.Handler) http.Handler
	shutdown func(context.Context) error
}

var errNoTracing = errors.New(`tracing: an endpoint is configured, and this program was built without tracing; build it with "-tags otel"`)
