package httpserver

import (
	"context"
	"net/http"
)

// Tracing says where spans go. Programs built with the tag "notraces" refuse a configuration in which it is set.
//
// The tag is there because of what the SDK and the exporter cost a program that links them for this alone: a server that does
// nothing grew from 7.3 to 15.2 MB, and from 9 to 28 linked modules. bulla-server has most of those anyway, gRPC for one: it
// is 1.0 MB larger with traces, and whoever has a collector need not build it anew.
type Tracing struct {
	// Endpoint is the URL of an OTLP collector, over HTTP with protocol buffers: "http://127.0.0.1:4318". One without a path
	// means /v1/traces there, as OTLP's exporters have it. Empty: no traces. It is the operator's word: nothing that a client
	// sends changes it.
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
