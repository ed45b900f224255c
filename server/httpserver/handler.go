package httpserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// handler stands before the services' handler.
type handler struct {
	next    http.Handler
	limits  Limits
	hosts   []string
	proxies proxies
	limiter *Limiter      // nil: none
	slots   chan struct{} // nil: none
	sites   *sites        // nil: none
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	healthz http.HandlerFunc
	readyz  http.HandlerFunc
	running atomic.Int64
}

type idKey struct{}

// RequestID returns the ID of the request whose context ctx is: what the log line of the request and the answer's header
// X-Request-Id carry. Empty outside of a request.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

type clientKey struct{}

// ClientAddress returns the address of the client whose request's context ctx is, seen through the proxies that the
// configuration names; the zero Addr outside of a request.
func ClientAddress(ctx context.Context) netip.Addr {
	addr, _ := ctx.Value(clientKey{}).(netip.Addr)
	return addr
}

// ServeHTTP answers for the server itself or lets the services answer.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.running.Add(1)
	defer h.running.Add(-1)
	e := newExchange(w, r, &h.limits)
	defer e.finish()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		// net/http takes a request that states both a length and chunks by the chunks. A proxy in front that goes by the length
		// sees another end, and what follows would be a request that it never let through (RFC 9112 6.1, 11.2).
		w.Header().Set("Connection", "close")
	}
	// Whoever decides about restarting and routing asks here, with any host name, and just when there is too much to do.
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		switch r.URL.Path {
		case "/healthz":
			h.healthz(e, r)
			return
		case "/readyz":
			h.readyz(e, r)
			return
		}
	}
	addr, forwarded := h.proxies.client(r)
	id := requestID(r, forwarded)
	w.Header().Set("X-Request-Id", id)
	ctx, cancel := context.WithTimeout(r.Context(), h.limits.RequestTime)
	defer cancel()
	ctx = context.WithValue(context.WithValue(ctx, idKey{}, id), clientKey{}, addr)
	r = r.WithContext(ctx)
	h.metrics.inFlight.Inc()
	refused := true
	defer func() {
		h.metrics.inFlight.Dec()
		h.end(e, r, recover(), refused)
	}()
	if refused = !h.admit(e, r, addr); refused {
		return
	}
	if h.slots != nil {
		defer func() { <-h.slots }()
	}
	defer h.sites.leave(addr)
	h.next.ServeHTTP(e, r)
}

// requestID is a fresh ID, or the one that a proxy of ours has given and logged.
func requestID(r *http.Request, forwarded bool) string {
	if id := r.Header.Get("X-Request-Id"); forwarded && plainID(id) {
		return id
	}
	var random [12]byte
	rand.Read(random[:]) // never fails, by its contract
	return hex.EncodeToString(random[:])
}

// plainID says whether an ID can be logged as it is: up to 64 characters, as of a UUID or a hash.
func plainID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

// admit says whether the services get to see the request; if not, it has been answered. If so, a slot is taken, and one of
// the client's own.
func (h *handler) admit(e *exchange, r *http.Request, addr netip.Addr) bool {
	if len(h.hosts) > 0 && !slices.Contains(h.hosts, hostName(r.Host)) {
		return h.refuse(e, r, refusal{
			refusedHost, http.StatusMisdirectedRequest, grpcInvalidArgument,
			"this server does not answer to the name in the Host header",
		})
	}
	if h.limiter != nil {
		if ok, wait := h.limiter.Allow(site(addr).String()); !ok {
			RetryAfter(e, wait)
			return h.refuse(e, r, refusal{
				refusedAddressRate, http.StatusTooManyRequests, grpcResourceExhausted,
				"too many requests from this address",
			})
		}
	}
	if r.ContentLength > h.limits.BodyBytes {
		return h.refuse(e, r, refusal{
			refusedBody, http.StatusRequestEntityTooLarge, grpcInvalidArgument,
			fmt.Sprintf("the request's body has %d bytes, the limit is %d", r.ContentLength, h.limits.BodyBytes),
		})
	}
	if !h.sites.enter(addr) {
		RetryAfter(e, time.Second)
		return h.refuse(e, r, refusal{
			refusedAddressInFlight, http.StatusTooManyRequests, grpcResourceExhausted,
			"too many requests from this address are being answered",
		})
	}
	if h.slots == nil {
		return true
	}
	select {
	case h.slots <- struct{}{}:
		return true
	default:
		h.sites.leave(addr)
		RetryAfter(e, time.Second)
		return h.refuse(e, r, refusal{
			refusedInFlight, http.StatusServiceUnavailable, grpcUnavailable,
			"too many requests are being answered",
		})
	}
}

// refusal is why and how a request is refused.
type refusal struct {
	reason  string // label of the metric
	status  int
	code    uint32 // gRPC's
	message string
}

// refuse answers and returns false.
func (h *handler) refuse(e *exchange, r *http.Request, why refusal) bool {
	h.metrics.refused.WithLabelValues(why.reason).Inc()
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		e.Header().Set("Connection", "close") // rather than wait for a body that nobody wants
	}
	Status(e, why.status, why.code, why.message)
	return false
}

// end logs and counts a request that is over, and answers in the place of a handler that panicked.
func (h *handler) end(e *exchange, r *http.Request, panicked any, refused bool) {
	took := time.Since(e.start)
	abort := h.recover(e, r, panicked)
	status := e.status
	if status == 0 {
		if status = http.StatusOK; errors.Is(r.Context().Err(), context.Canceled) {
			status = statusClientGone
		}
	}
	h.metrics.observe(r.Pattern, methodLabel(r.Method), status, took)
	level := slog.LevelInfo
	switch {
	case refused:
		level = slog.LevelDebug // whoever floods the server must not flood its log too
	case status >= 500 || abort:
		level = slog.LevelWarn
	}
	if ctx := r.Context(); h.log.Enabled(ctx, level) {
		attrs := []slog.Attr{
			slog.String("id", RequestID(ctx)),
			slog.String("method", methodLabel(r.Method)),
			slog.String("path", loggedPath(r.URL.Path)),
			slog.Int("status", status),
			slog.Int64("bytes", e.written),
			slog.Duration("took", took.Round(time.Microsecond)),
			slog.String("client", ClientAddress(ctx).String()),
			slog.String("proto", protoLabel(r)),
		}
		if e.trace != "" {
			attrs = append(attrs, slog.String("trace", e.trace))
		}
		if abort {
			attrs = append(attrs, slog.Bool("aborted", true))
		}
		h.log.LogAttrs(ctx, level, "request", attrs...)
	}
	if abort {
		panic(http.ErrAbortHandler) // net/http closes the connection, or resets the stream, and logs nothing
	}
}

// statusClientGone is what servers log when the client did not wait for the answer; it is never sent.
const statusClientGone = 499

// recover deals with a panic. If nothing has been written the client gets a 500. Otherwise it must not take what it has
// for the whole answer, and the exchange is to be aborted.
func (h *handler) recover(e *exchange, r *http.Request, panicked any) (abort bool) {
	if panicked == nil {
		return false
	}
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true // the handler's way to say so
	}
	h.metrics.panics.Inc()
	h.log.Error("a handler panicked", "id", RequestID(r.Context()), "panic", panicText(panicked), "stack", string(debug.Stack()))
	if e.status != 0 {
		return true
	}
	closing := e.Header().Get("Connection")
	clear(e.Header()) // what the handler set was for another answer
	if closing != "" {
		e.Header().Set("Connection", closing)
	}
	e.Header().Set("X-Content-Type-Options", "nosniff")
	e.Header().Set("X-Request-Id", RequestID(r.Context()))
	Status(e, http.StatusInternalServerError, grpcInternal, "internal error, request "+RequestID(r.Context()))
	return false
}

// panicText describes a panic for the log. The value itself may hold what a client sent, unless it is the runtime's; the
// stack says where to look.
func panicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}

// maxLoggedPath bounds what a client can write into the log with one request.
const maxLoggedPath = 256

func loggedPath(path string) string {
	if len(path) > maxLoggedPath {
		return path[:maxLoggedPath] + "…"
	}
	return path
}

func protoLabel(r *http.Request) string {
	switch r.ProtoMajor {
	case 1:
		return "HTTP/1"
	case 2:
		return "HTTP/2"
	}
	return "other"
}
