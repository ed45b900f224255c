package log

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/bulla-sign/bulla/server/httpserver"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// Numbers of google.golang.org/grpc/codes.
const (
	grpcCanceled          = 1
	grpcInvalidArgument   = 3
	grpcDeadlineExceeded  = 4
	grpcNotFound          = 5
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
)

const (
	pathEntries = "/api/v2/log/entries"
	pathSearch  = "/api/v2/search"

	// frozenMessage is what Rekor says.
	frozenMessage = "This log has been frozen, please switch to the latest log."

	// statusClientClosed is what Rekor, and nginx before it, calls a request whose client has left.
	statusClientClosed = 499

	retryPushback = time.Second
	retryFailure  = 30 * time.Second
)

// Patterns lists what the log answers, for net/http's ServeMux.
func (l *Log) Patterns() []string {
	p := l.cfg.Prefix
	return []string{
		p + pathEntries, p + pathEntries + "/{index}", p + pathSearch,
		p + "/checkpoint", p + "/tile/", p + "/api/v2/checkpoint", p + "/api/v2/tile/",
	}
}

func (l *Log) routes() {
	l.mux = http.NewServeMux()
	p := l.cfg.Prefix
	l.mux.HandleFunc(p+pathEntries, l.upload)
	l.mux.HandleFunc(p+pathEntries+"/{index}", l.entry)
	l.mux.HandleFunc(p+pathSearch, l.search)
	for _, below := range []string{p, p + "/api/v2"} {
		tiles := http.StripPrefix(below, l.tree)
		l.mux.Handle(below+"/checkpoint", tiles)
		l.mux.Handle(below+"/tile/", tiles)
	}
}

// ServeHTTP implements http.Handler.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.mux.ServeHTTP(w, r) }

// refusal is an answer that is not the one hoped for.
type refusal struct {
	status  int
	code    uint32
	message string
	retry   time.Duration // 0: does not help
}

// upload takes an entry.
func (l *Log) upload(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	answer, no := l.take(w, r)
	if no == nil {
		l.metrics.created.Inc()
		l.metrics.seconds.Observe(time.Since(begin).Seconds())
		writeJSON(w, http.StatusCreated, answer)
		return
	}
	l.metrics.answers.WithLabelValues(strconv.Itoa(no.status)).Inc()
	refuse(w, no)
}

func (l *Log) take(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return nil, &refusal{http.StatusMethodNotAllowed, grpcUnimplemented, "only POST is answered here", 0}
	}
	if errors.Is(l.tree.Refusal(), treelog.ErrFrozen) {
		return nil, &refusal{http.StatusMethodNotAllowed, grpcUnimplemented, frozenMessage, 0}
	}
	select {
	case l.flights <- struct{}{}:
		defer func() { <-l.flights }()
	default:
		return nil, &refusal{http.StatusServiceUnavailable, grpcUnavailable, "too many uploads wait for their proof", retryPushback}
	}
	data, no := readBody(w, r)
	if no != nil {
		return nil, no
	}
	e, err := parseRequest(data)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, grpcInvalidArgument, err.Error(), 0}
	}
	ctx, cancel := context.WithTimeout(r.Context(), l.cfg.Timeout)
	defer cancel()
	answer, err := l.prove(ctx, e)
	if err != nil {
		return nil, l.failed(r, err)
	}
	return answer, nil
}

// prove logs the entry and waits for its proof.
func (l *Log) prove(ctx context.Context, e *accepted) ([]byte, error) {
	index, err := l.submit.submit(ctx, e)
	if err != nil {
		return nil, err
	}
	head, err := l.tree.Await(ctx, index)
	if err != nil {
		return nil, err
	}
	return l.answer(index, e.body, head)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return nil, &refusal{http.StatusUnsupportedMediaType, grpcInvalidArgument, "the content type must be application/json", 0}
		}
	}
	data, err := httpserver.ReadBody(w, r, MaxRequest)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &refusal{
			http.StatusRequestEntityTooLarge, grpcResourceExhausted,
			"the request is larger than " + strconv.Itoa(MaxRequest) + " bytes", 0,
		}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, grpcInvalidArgument, "the request cannot be read to its end", 0}
	}
	return data, nil
}

// failed turns an error of the tree into an answer. Details of the server's disk are for its log, not for the client.
func (l *Log) failed(r *http.Request, err error) *refusal {
	unavailable := func(message string, retry time.Duration) *refusal {
		return &refusal{http.StatusServiceUnavailable, grpcUnavailable, message, retry}
	}
	switch {
	case r.Context().Err() != nil:
		return &refusal{statusClientClosed, grpcCanceled, "the client has left", 0}
	case errors.Is(err, treelog.ErrFrozen):
		return &refusal{http.StatusMethodNotAllowed, grpcUnimplemented, frozenMessage, 0}
	case errors.Is(err, treelog.ErrPushback):
		return unavailable("too many entries wait to be logged", retryPushback)
	case errors.Is(err, treelog.ErrClosed):
		return unavailable("the log is shutting down", retryPushback)
	case errors.Is(err, treelog.ErrFull):
		return unavailable("the log's storage is full", retryFailure)
	case errors.Is(err, treelog.ErrForked):
		return unavailable("the log takes no entries, because its storage does not match what it has signed", retryFailure)
	case errors.Is(err, treelog.ErrFailed):
		return unavailable("the log takes no entries since its storage has failed", retryFailure)
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{
			http.StatusServiceUnavailable, grpcDeadlineExceeded,
			"no checkpoint covered the entry in time; the entry may be logged all the same, and the same upload will then get its proof",
			retryPushback,
		}
	}
	l.cfg.Log.Error("an upload failed", "log", l.origin, "error", err)
	return &refusal{http.StatusInternalServerError, grpcInternal, "the entry could not be logged", 0}
}

// entry answers with an entry by its index, as the answer to its upload was, but with a fresh proof.
func (l *Log) entry(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	index, err := strconv.ParseUint(r.PathValue("index"), 10, 63)
	if err != nil || r.PathValue("index") != strconv.FormatUint(index, 10) {
		refuse(w, &refusal{http.StatusBadRequest, grpcInvalidArgument, "the index is not a decimal number", 0})
		return
	}
	head, ok := l.tree.Head()
	if !ok || index >= head.Size {
		refuse(w, &refusal{http.StatusNotFound, grpcNotFound, "the published checkpoint covers no such entry", 0})
		return
	}
	body, err := l.tree.Entry(index)
	var answer []byte
	if err == nil {
		answer, err = l.answer(index, body, head)
	}
	if err != nil {
		l.cfg.Log.Error("an entry cannot be read", "log", l.origin, "index", index, "error", err)
		refuse(w, &refusal{http.StatusInternalServerError, grpcInternal, "the entry cannot be read", 0})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	refuse(w, &refusal{http.StatusMethodNotAllowed, grpcUnimplemented, "only GET and HEAD are answered here", 0})
	return false
}

func refuse(w http.ResponseWriter, no *refusal) {
	if no.retry > 0 {
		httpserver.RetryAfter(w, no.retry)
	}
	httpserver.Status(w, no.status, no.code, no.message)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// maxTileIndex bounds positions in a query: those of a tree that package tlog can address.
const maxTileIndex = 1<<63 - 1 - tlog.TileWidth
