package tufrepo

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/tuf"
)

// metrics shows when roles expire and counts what is published. Labels are the four roles, never anything that a request
// carries.
type metrics struct {
	publications map[string]prometheus.Counter
}

// newMetrics registers the metrics; a nil registerer leaves them unregistered.
func newMetrics(to prometheus.Registerer, expires func(role string) time.Time, now func() time.Time) (*metrics, error) {
	published := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bulla_tuf_published_total", Help: "Metadata files that were published, by role.",
	}, []string{"role"})
	m := &metrics{publications: make(map[string]prometheus.Counter)}
	collectors := []prometheus.Collector{published}
	for _, role := range []string{tuf.RootRole, tuf.TargetsRole, tuf.SnapshotRole, tuf.TimestampRole} {
		m.publications[role] = published.WithLabelValues(role)
		collectors = append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "bulla_tuf_expires_in_seconds", ConstLabels: prometheus.Labels{"role": role},
			Help: "How long the published metadata of a role still holds; negative when it has expired, and 0 when there is none.",
		}, func() float64 {
			at := expires(role)
			if at.IsZero() {
				return 0
			}
			return at.Sub(now()).Seconds()
		}))
	}
	if to == nil {
		return m, nil
	}
	for _, c := range collectors {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) published(role string) { m.publications[role].Inc() }
