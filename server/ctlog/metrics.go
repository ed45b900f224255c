package ctlog

import "github.com/prometheus/client_golang/prometheus"

// The outcomes of a submission, which are values of a metric's label.
const (
	outcomeLogged      = "logged"
	outcomeRepeated    = "repeated"    // the SCT was given before
	outcomeRefused     = "refused"     // the submitter's fault
	outcomeUnavailable = "unavailable" // see unavailable
	outcomeFailed      = "failed"
)

// metrics counts submissions. The label's values are those above.
type metrics struct {
	registry    prometheus.Registerer
	submissions *prometheus.CounterVec
	counters    map[[2]string]prometheus.Counter // of submissions, by kind and outcome
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{registry: r, counters: map[[2]string]prometheus.Counter{}, submissions: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bulla_ctlog_submissions_total",
		Help: "Chains that were sent in, by what their first certificate is and the outcome.",
	}, []string{"kind", "outcome"})}
	for _, kind := range []string{kindCertificate, kindPrecertificate} {
		for _, outcome := range []string{outcomeLogged, outcomeRepeated, outcomeRefused, outcomeUnavailable, outcomeFailed} {
			m.counters[[2]string{kind, outcome}] = m.submissions.WithLabelValues(kind, outcome)
		}
	}
	if r == nil {
		return m, nil
	}
	return m, r.Register(m.submissions)
}

const (
	kindCertificate    = "certificate"
	kindPrecertificate = "precertificate"
)

func (m *metrics) count(precert bool, outcome string) {
	kind := kindCertificate
	if precert {
		kind = kindPrecertificate
	}
	m.counters[[2]string{kind, outcome}].Inc()
}

func (m *metrics) unregister() {
	if m.registry != nil {
		m.registry.Unregister(m.submissions)
	}
}
