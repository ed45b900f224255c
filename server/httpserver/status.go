package httpserver

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Status answers with a google.rpc.Status in JSON, as the gateways in front of Fulcio and Rekor do: clients show its
// message. code is the HTTP status, grpcCode the number of google.golang.org/grpc/codes that belongs to it.
func Status(w http.ResponseWriter, code int, grpcCode uint32, message string) {
	body, err := json.Marshal(struct {
		Code    uint32     `json:"code"`
		Message string     `json:"message"`
		Details []struct{} `json:"details"`
	}{grpcCode, message, []struct{}{}})
	if err != nil { // cannot be: strings and numbers
		body = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// gRPC codes of the refusals that the server itself gives (google.golang.org/grpc/codes).
const (
	grpcInvalidArgument   = 3
	grpcResourceExhausted = 8
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// RetryAfter sets the header that tells a client when to come again: whole seconds, at least one (RFC 9110 10.2.3).
func RetryAfter(w http.ResponseWriter, wait time.Duration) {
	seconds := max(1, int64(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
}
