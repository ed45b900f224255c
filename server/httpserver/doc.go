// Package httpserver is the one HTTP server of all services: it listens, speaks TLS, bounds what a client may do, tells
// whether the process is well, counts, logs and traces requests, and ends in good order. A service brings a handler and
// knows nothing of all that.
//
//	health := httpserver.NewHealth()
//	health.Register("log", logService.Ready)
//	srv, err := httpserver.New(httpserver.Config{
//		Listeners: []httpserver.Listener{{Address: "127.0.0.1:0"}},
//		Health:    health,
//		Log:       slog.Default(),
//	}, mux)
//	addrs, err := srv.Listen()
//	err = srv.Serve(ctx) // until ctx ends and the last request with it
//
// # What a client can do
//
// Every request passes, in this order: the cap on connections, of the server and of the client's address; the time for
// the header; the names that the server answers to; the address's token bucket (429); the bound on requests in flight
// (503); the size of the body, and the rate at which it arrives. A refusal is a google.rpc.Status in JSON, and says with
// Retry-After when to come again. The path, the method and the headers are the client's, so none of them becomes a metric
// label, and of the headers, the query and the body nothing is ever logged.
//
// # Traces
//
// OpenTelemetry's SDK and its OTLP exporter can be left out with the build tag "notraces"; see [Tracing] for what they cost.
package httpserver
