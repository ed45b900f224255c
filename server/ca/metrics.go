package ca

import (
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts. Labels take values of this package only, never any that a request carries: the number of series is
// bounded whatever clients send.
type metrics struct {
	requests map[[2]string]prometheus.Counter // by API and outcome
	certs    map[string]prometheus.Counter    // by type
	duration map[string]prometheus.Observer   // by API
}

func newMetrics(cfg Config) (*metrics, error) {
	m := &metrics{
		requests: map[[2]string]prometheus.Counter{}, certs: map[string]prometheus.Counter{}, duration: map[string]prometheus.Observer{},
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bulla_ca_requests_total", Help: "Requests for a certificate, by API and outcome.",
	}, []string{"api", "outcome"})
	certs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bulla_ca_certificates_total", Help: "Certificates issued, by the type of the issuer that vouched for the identity.",
	}, []string{"type"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "bulla_ca_request_seconds", Help: "Time to answer a request for a certificate, the CT log's part included.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"api"})
	for _, api := range []string{apiREST, apiLegacy, apiGRPC} {
		m.duration[api] = duration.WithLabelValues(api)
		for _, outcome := range []string{issued, refused.String(), limited.String(), unavailable.String(), failed.String()} {
			m.requests[[2]string{api, outcome}] = requests.WithLabelValues(api, outcome)
		}
	}
	for _, t := range []issuerconfig.Type{
		issuerconfig.Email, issuerconfig.SPIFFE, issuerconfig.Kubernetes, issuerconfig.URI, issuerconfig.Username,
		issuerconfig.CIProvider, issuerconfig.Chainguard,
	} {
		m.certs[string(t)] = certs.WithLabelValues(string(t))
	}
	collectors := []prometheus.Collector{requests, certs, duration}
	for i, cert := range cfg.Chain {
		end := cert.NotAfter
		collectors = append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "bulla_ca_certificate_expires_in_seconds",
			Help:        "When the authority's certificates expire; position 0 is the issuing one.",
			ConstLabels: prometheus.Labels{"position": fmt.Sprint(i)},
		}, func() float64 { return end.Sub(cfg.Now()).Seconds() }))
	}
	if cfg.Metrics == nil {
		return m, nil
	}
	for _, c := range collectors {
		if err := cfg.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// issued is the outcome that a client hopes for; the others are named after the kinds of refusals.
const issued = "issued"

// observe counts a request. The outcome is issued, or the name of a [kind].
func (m *metrics) observe(api, outcome string, took time.Duration) {
	m.requests[[2]string{api, outcome}].Inc()
	if took > 0 {
		m.duration[api].Observe(took.Seconds())
	}
}

// issued counts a certificate, by the type of one of the issuers that the configuration may have.
func (m *metrics) issued(issuerType string) {
	if c := m.certs[issuerType]; c != nil {
		c.Inc()
	}
}
