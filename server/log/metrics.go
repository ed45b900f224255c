package log

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the service. Labels are status codes, of which there are a dozen.
type metrics struct {
	registry prometheus.Registerer

	entries  prometheus.Counter
	repeated prometheus.Counter
	answers  *prometheus.CounterVec
	created  prometheus.Counter // of answers
	seconds  prometheus.Histogram
	searches prometheus.Counter
	behind   prometheus.GaugeFunc
}

func newMetrics(r prometheus.Registerer, l *Log) (*metrics, error) {
	const ns = "bulla_log"
	m := &metrics{
		registry: r,
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "entries_total", Help: "Entries added.",
		}),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "repeated_total", Help: "Uploads that the log had already.",
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Name: "uploads_total", Help: "Uploads, by the HTTP status of the answer.",
		}, []string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Name: "upload_seconds", Help: "Time from an upload to its proof.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
		}),
		searches: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "searches_total", Help: "Searches answered.",
		}),
		behind: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: ns, Name: "index_behind_entries", Help: "Published entries that the search index does not have yet.",
		}, func() float64 {
			next, _, err := l.index.progress()
			head, _ := l.tree.Head()
			if err != nil || next > head.Size {
				return -1
			}
			return float64(head.Size - next)
		}),
	}
	m.created = m.answers.WithLabelValues("201")
	if r == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.entries, m.repeated, m.answers, m.seconds, m.searches, m.behind}
}

func (m *metrics) unregister() {
	if m.registry != nil {
		for _, c := range m.all() {
			m.registry.Unregister(c)
		}
	}
}
