package treelog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one log. They carry no labels but those that the registerer adds.
type metrics struct {
	registry   prometheus.Registerer
	collectors []prometheus.Collector

	pushback prometheus.Counter
	failures prometheus.Counter
	// unwitnessed is only ever counted with WitnessFailOpen.
	unwitnessed prometheus.Counter
	durations   prometheus.Histogram
	at          prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, l *Log) (*metrics, error) {
	const ns = "bulla_treelog"
	m := &metrics{
		registry: r,
		pushback: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "pushback_total", Help: "Entries refused because too many wait.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "publish_failures_total", Help: "Attempts to publish a checkpoint that failed.",
		}),
		unwitnessed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "unwitnessed_total", Help: "Checkpoints published without the cosignatures that the policy asks for.",
		}),
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Name: "publish_seconds", Help: "Time to sign, record and publish a checkpoint.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: ns, Name: "published_timestamp_seconds", Help: "When a checkpoint was last published, in seconds since 1970.",
		}),
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Name: name, Help: help}, f)
	}
	m.collectors = []prometheus.Collector{
		m.pushback, m.failures, m.unwitnessed, m.durations, m.at,
		gauge("published_entries", "Entries that the published checkpoint covers.", func() float64 {
			h, _ := l.Head()
			return float64(h.Size)
		}),
		gauge("integrated_entries", "Entries that are durable and in the tree.", func() float64 { return float64(l.integrated.Load()) }),
		gauge("queued_entries", "Entries that wait to be sequenced.", func() float64 { return float64(len(l.queue)) }),
		gauge("refusing", "1 if the log takes no entries.", func() float64 {
			if l.Refusal() != nil {
				return 1
			}
			return 0
		}),
	}
	if r == nil {
		return m, nil
	}
	for i, c := range m.collectors {
		if err := r.Register(c); err != nil {
			m.collectors = m.collectors[:i]
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m != nil && m.registry != nil {
		for _, c := range m.collectors {
			m.registry.Unregister(c)
		}
	}
}

func (m *metrics) published(took time.Duration, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.durations.Observe(took.Seconds())
	m.at.SetToCurrentTime()
}
