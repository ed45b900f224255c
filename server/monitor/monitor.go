package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Monitor watches logs until it is closed.
type Monitor struct {
	cfg       Config
	followers []*follower
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

// again is how soon a log that could not be read is tried again.
const again = 5 * time.Second

// New opens the state of every log and begins to watch. An error means that the configuration, or a state file, cannot be
// used; a log that cannot be reached is an alarm and no error.
func New(_ context.Context, cfg Config) (*Monitor, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	watches, err := newWatches(cfg.Watches)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	metrics, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	m := &Monitor{cfg: cfg}
	for _, l := range cfg.Logs {
		f, err := newFollower(l, &m.cfg, watches, metrics, filepath.Join(cfg.Dir, l.Name+".json"))
		if err != nil {
			return nil, fmt.Errorf("monitor: log %q: %w", l.Name, err)
		}
		for _, w := range watches {
			metrics.found.WithLabelValues(l.Name, w.name) // there from the start, at 0
		}
		m.followers = append(m.followers, f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	for _, f := range m.followers {
		m.wg.Go(func() { m.watch(ctx, f) })
	}
	return m, nil
}

// watch looks at a log again and again.
func (m *Monitor) watch(ctx context.Context, f *follower) {
	for ctx.Err() == nil {
		if f.look(ctx) {
			continue
		}
		wait := m.cfg.Interval
		if f.troubled() {
			wait = min(wait, again)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// troubled says whether the last look did not end well.
func (f *follower) troubled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head == nil || f.front.size < f.size()
}

// Close ends watching. What was read stays read.
func (m *Monitor) Close(ctx context.Context) error {
	m.cancel()
	done := make(chan struct{})
	go func() {
		m.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("monitor: %w", ctx.Err())
	}
}

// Ready returns nil: a monitor serves what it has, and a log that it cannot read is the log's trouble.
func (m *Monitor) Ready(context.Context) error { return nil }

// Patterns lists what ServeHTTP answers.
func (m *Monitor) Patterns() []string { return []string{"GET /monitor"} }

// Status is what is known of a log.
type Status struct {
	Name   string `json:"name"`
	Origin string `json:"origin"`
	URL    string `json:"url"`
	// Size is that of the latest checkpoint that continues all before, Read how many of its entries were compared.
	Size int64 `json:"size"`
	Read int64 `json:"read"`
	// Head is that checkpoint, as signed.
	Head string `json:"head,omitempty"`
	// Checked is when everything was last found in order; the zero time when it never was since the start.
	Checked time.Time `json:"checked,omitzero"`
	Alarms  []Raised  `json:"alarms"`
	// Found are the last findings.
	Found []Finding `json:"found"`
}

// Status returns what is known of every log, in the order of the configuration.
func (m *Monitor) Status() []Status {
	out := make([]Status, len(m.followers))
	for i, f := range m.followers {
		out[i] = f.status()
	}
	return out
}

func (f *follower) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{
		Name: f.log.Name, Origin: f.log.Origin, URL: f.log.URL, Size: f.size(), Read: f.front.size, Head: f.state.Head,
		Alarms: []Raised{}, Found: append([]Finding{}, f.state.Found...),
	}
	if f.checked {
		s.Checked = f.looked.UTC().Truncate(time.Second)
	}
	for _, a := range alarms {
		if r, ok := f.raised[a]; ok {
			s.Alarms = append(s.Alarms, r)
		}
	}
	return s
}

// ServeHTTP answers with the status as JSON. Everything in it is about public logs, but it shows what the watch list
// finds: who runs the server decides whom the path is open to.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(struct {
		Logs []Status `json:"logs"`
	}{m.Status()}, "", "  ")
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// metrics are those of the monitor. All labels come from the configuration.
type metrics struct {
	size, read, alarm        *prometheus.GaugeVec
	found, unreadable, bytes *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bulla_monitor_" + name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bulla_monitor_" + name, Help: help}, labels)
	}
	m := &metrics{
		size:       gauge("size", "Entries of the latest checkpoint that continues all before.", "log"),
		read:       gauge("read", "Entries that were read and compared with the watch list.", "log"),
		alarm:      gauge("alarm", "1 while something is wrong with the log.", "log", "alarm"),
		found:      counter("found_total", "Entries that the watch list applies to.", "log", "watch"),
		unreadable: counter("unreadable_entries_total", "Entries that could not be compared with the watch list.", "log"),
		bytes:      counter("read_bytes_total", "Bytes read from the log.", "log"),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.size, m.read, m.alarm, m.found, m.unreadable, m.bytes} {
		if err := reg.Register(c); err != nil {
			return nil, errors.Join(errors.New("metrics"), err)
		}
	}
	return m, nil
}
