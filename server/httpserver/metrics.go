package httpserver

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry makes a registry of metrics with those of the Go runtime and the process in it.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// maxRoutes bounds the values of the label "route". They come from patterns, which are in the code; the bound holds even
// if a handler derived one from a request.
const maxRoutes = 200

// Reasons of refusals, values of a label.
const (
	refusedConnections        = "connections"
	refusedAddressConnections = "address_connections"
	refusedAddressRate        = "address_rate"
	refusedInFlight           = "in_flight"
	refusedAddressInFlight    = "address_in_flight"
	refusedHost               = "host"
	refusedBody               = "body"
)

// metrics are those of the server itself. Every label value is from a fixed set or from a pattern.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	panics   prometheus.Counter
	inFlight prometheus.Gauge

	mu     sync.RWMutex
	routes map[string]string // from r.Pattern to label
	series map[seriesKey]series
}

// seriesKey is what the labels of a request's series follow from.
type seriesKey struct{ pattern, method, code string }

// series are the metrics of one combination of labels: looking them up by their labels costs more than counting.
type series struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

func newMetrics(reg prometheus.Registerer, open func() float64) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulla_http_requests_total", Help: "Requests answered, by pattern, method and class of status.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bulla_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer, by pattern.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulla_http_refused_total", Help: "Connections and requests refused before any service saw them, by reason.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulla_http_panics_total", Help: "Requests whose handler panicked.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulla_http_requests_in_flight", Help: "Requests being answered.",
		}),
		routes: make(map[string]string), series: make(map[seriesKey]series),
	}
	for _, reason := range []string{
		refusedConnections, refusedAddressConnections, refusedAddressRate, refusedInFlight, refusedAddressInFlight,
		refusedHost, refusedBody,
	} {
		m.refused.WithLabelValues(reason) // so that all are there, at 0, from the start
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.seconds, m.refused, m.panics, m.inFlight,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "bulla_http_connections", Help: "Open connections.",
		}, open),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the server: %w", err)
		}
	}
	return m, nil
}

// observe counts a request that is over. method is a label, see [methodLabel].
func (m *metrics) observe(pattern, method string, status int, took time.Duration) {
	key := seriesKey{pattern, method, codeClass(status)}
	m.mu.RLock()
	of, known := m.series[key]
	m.mu.RUnlock()
	if !known {
		of = m.find(key)
	}
	of.requests.Inc()
	of.seconds.Observe(took.Seconds())
}

// maxSeries bounds what is remembered: each route has a method or two, and answers with a handful of classes.
const maxSeries = 4 * maxRoutes

// find looks up the series of a combination, and remembers it if there is room.
func (m *metrics) find(key seriesKey) series {
	m.mu.Lock()
	defer m.mu.Unlock()
	route := m.route(key.pattern)
	of := series{m.requests.WithLabelValues(route, key.method, key.code), m.seconds.WithLabelValues(route)}
	if len(m.series) < maxSeries {
		m.series[key] = of
	}
	return of
}

// route is the label for a pattern of net/http: its path. The lock is held.
func (m *metrics) route(pattern string) string {
	if r, ok := m.routes[pattern]; ok {
		return r
	}
	r := pattern
	if _, path, ok := strings.Cut(pattern, " "); ok {
		r = strings.TrimLeft(path, " \t")
	}
	switch {
	case r == "":
		r = "none"
	case len(m.routes) >= maxRoutes:
		return "other"
	}
	m.routes[pattern] = r
	return r
}

// methodLabel is the method if it is one of HTTP's own, else "other": clients may send any word.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

func codeClass(status int) string {
	switch status / 100 {
	case 1, 2, 3, 4, 5:
		return [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}[status/100-1]
	}
	return "other"
}

// Expiry shows when things end, as the gauge bulla_expires_in_seconds with the label "name": certificates, root metadata,
// keys. Negative values are the time since. It may be used by several goroutines.
type Expiry struct {
	now  func() time.Time
	desc *prometheus.Desc

	mu   sync.Mutex
	ends map[string]func() time.Time
}

// maxExpiries bounds the names: more come from something that a client decides about.
const maxExpiries = 200

// NewExpiry registers the gauge. now is the clock, nil: the system's.
func NewExpiry(reg prometheus.Registerer, now func() time.Time) (*Expiry, error) {
	if now == nil {
		now = time.Now
	}
	e := &Expiry{
		now: now, ends: make(map[string]func() time.Time),
		desc: prometheus.NewDesc("bulla_expires_in_seconds", "Time until a certificate, key or metadata ends.", []string{"name"}, nil),
	}
	if err := reg.Register(e); err != nil {
		return nil, fmt.Errorf("expiry gauge: %w", err)
	}
	return e, nil
}

// Register adds something that ends. end is called whenever metrics are collected; the zero time means that there is
// nothing that could end now, and shows nothing. A name that is there is replaced.
func (e *Expiry) Register(name string, end func() time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.ends[name]; !ok && len(e.ends) >= maxExpiries {
		return fmt.Errorf("expiry of %q: there are %d already", name, maxExpiries)
	}
	e.ends[name] = end
	return nil
}

// Describe implements [prometheus.Collector].
func (e *Expiry) Describe(out chan<- *prometheus.Desc) { out <- e.desc }

// Collect implements [prometheus.Collector].
func (e *Expiry) Collect(out chan<- prometheus.Metric) {
	e.mu.Lock()
	ends := make(map[string]func() time.Time, len(e.ends))
	for name, end := range e.ends {
		ends[name] = end
	}
	e.mu.Unlock()
	now := e.now()
	for name, end := range ends {
		if at := end(); !at.IsZero() {
			out <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, at.Sub(now).Seconds(), name)
		}
	}
}
