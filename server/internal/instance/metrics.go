package instance

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics collects what a service registers and shows it only while it is the one that is mounted: the service that takes
// its place has metrics of the same names.
type metrics struct {
	registry *prometheus.Registry

	mu         sync.Mutex
	shown      bool
	collectors []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (m *metrics) Register(c prometheus.Collector) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shown {
		if err := m.registry.Register(c); err != nil {
			return err
		}
	}
	m.collectors = append(m.collectors, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (m *metrics) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := m.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (m *metrics) Unregister(c prometheus.Collector) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, x := range m.collectors {
		if x == c {
			m.collectors = append(m.collectors[:i], m.collectors[i+1:]...)
			return !m.shown || m.registry.Unregister(c)
		}
	}
	return false
}

// show makes the metrics visible.
func (m *metrics) show() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = true
	var errs []error
	for _, c := range m.collectors {
		errs = append(errs, m.registry.Register(c))
	}
	return errors.Join(errs...)
}

// hide takes them away.
func (m *metrics) hide() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = false
	for _, c := range m.collectors {
		m.registry.Unregister(c)
	}
}
