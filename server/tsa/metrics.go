package tsa

import (
	"crypto/x509"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes of a request, which are values of a metric's label.
const (
	outcomeGranted     = "granted"
	outcomeRefused     = "refused"     // the client's fault
	outcomeUnavailable = "unavailable" // the clock's
	outcomeFailed      = "failed"      // the key's
)

// metrics counts requests. Labels take values of this package only, never any that a request carries
// (GHSA-9c54-x2g4-v92j): the number of series is the product of the formats and the outcomes.
type metrics struct {
	requests map[[2]string]prometheus.Counter
}

// newMetrics registers the metrics; a nil registerer leaves them unregistered.
func newMetrics(to prometheus.Registerer, chain []*x509.Certificate) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bulla_tsa_requests_total",
		Help: "Requests for a time-stamp, by the format that they came in and the outcome.",
	}, []string{"format", "outcome"})
	m := &metrics{requests: make(map[[2]string]prometheus.Counter)}
	for _, format := range []string{formatDER, formatJSON, formatNone} {
		for _, outcome := range []string{outcomeGranted, outcomeRefused, outcomeUnavailable, outcomeFailed} {
			m.requests[[2]string{format, outcome}] = requests.WithLabelValues(format, outcome)
		}
	}
	expiry := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bulla_tsa_certificate_not_after_seconds",
		Help: "When the authority's certificates expire, in seconds since 1970; position 0 is the one that signs.",
	}, []string{"position"})
	for i, cert := range chain {
		expiry.WithLabelValues(strconv.Itoa(i)).Set(float64(cert.NotAfter.Unix()))
	}
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{requests, expiry} {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) count(format, outcome string) { m.requests[[2]string{format, outcome}].Inc() }
