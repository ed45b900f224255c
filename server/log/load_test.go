package log

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/tlog"
)

// TestLoad uploads from many sides at once, each message twice at the same time, and verifies every answer as a client
// would; then every entry again under the last checkpoint, and the whole log. BULLA_SOAK is the number of messages
// (usually 400).
func TestLoad(t *testing.T) {
	total := 400
	if s := os.Getenv("BULLA_SOAK"); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	l, srv := w.open(t, func(c *Config) { c.Metrics = registry })
	s := ecdsaSigner(t)
	const sides = 32
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * sides}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64][]byte{}
	heads := map[int64]*tlog.Checkpoint{}
	for side := range sides {
		wg.Go(func() {
			for i := side; i < total; i += sides {
				request, err := json.Marshal(s.upload(t, fmt.Sprint("message ", i)))
				if err != nil {
					t.Error(err)
					return
				}
				var twins [2]*tlog.Entry
				var pair sync.WaitGroup
				for n := range twins {
					pair.Go(func() { twins[n] = uploadOnce(t, l, client, srv.URL, request) })
				}
				pair.Wait()
				if twins[0] == nil || twins[1] == nil {
					return
				}
				if twins[0].LogIndex != twins[1].LogIndex {
					t.Errorf("equal uploads became %d and %d", twins[0].LogIndex, twins[1].LogIndex)
				}
				mu.Lock()
				for _, e := range twins {
					seen[e.LogIndex] = e.Body
					cp, _ := tlog.ParseCheckpoint(e.Proof.Checkpoint)
					heads[cp.Size] = cp
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	size, root, _ := l.Head()
	if len(seen) != total || size != uint64(total) {
		t.Errorf("%d entries were answered, the log has %d", len(seen), size)
	}
	for index, body := range seen {
		proof, err := l.tree.InclusionProof(uint64(index), size)
		if err == nil {
			err = tlog.VerifyInclusion(index, int64(size), tlog.LeafHash(body), root, proof)
		}
		if err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	for _, cp := range heads {
		proof, err := l.tree.ConsistencyProof(t.Context(), uint64(cp.Size), size)
		if err == nil {
			err = tlog.VerifyConsistency(cp.Size, int64(size), cp.Root, root, proof)
		}
		if err != nil {
			t.Errorf("checkpoint of %d: %v", cp.Size, err)
		}
	}
	if _, err := Fsck(t.Context(), l.cfg, nil); err != nil {
		t.Error(err)
	}
	checkMetrics(t, registry, float64(total))
}

func uploadOnce(t *testing.T, l *Log, client *http.Client, url string, request []byte) *tlog.Entry {
	t.Helper()
	resp, err := client.Post(url+pathEntries, "application/json", bytes.NewReader(request))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("%d, %v: %s", resp.StatusCode, err, &answer)
		return nil
	}
	return entry(t, l, answer.Bytes())
}

func checkMetrics(t *testing.T, registry *prometheus.Registry, total float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"bulla_log_entries_total": total, "bulla_log_repeated_total": total, "bulla_log_uploads_total": 2 * total,
		"bulla_log_upload_seconds": 2 * total, "bulla_treelog_published_entries": total, "bulla_treelog_refusing": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
