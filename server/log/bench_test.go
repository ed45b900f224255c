package log

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// uploads are made before the clock runs: signing is the client's work.
func uploads(b *testing.B, n int) [][]byte {
	s := ecdsaSigner(b)
	all := make([][]byte, n)
	for i := range all {
		var err error
		if all[i], err = json.Marshal(s.upload(b, fmt.Sprint("message ", i))); err != nil {
			b.Fatal(err)
		}
	}
	return all
}

func send(client *http.Client, url string, body []byte) error {
	resp, err := client.Post(url+pathEntries, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%d: %s", resp.StatusCode, answer)
	}
	return err
}

// BenchmarkSaturated keeps so many uploads in flight, over HTTP on loopback with the client in the same process.
func BenchmarkSaturated(b *testing.B) {
	for _, c := range []struct {
		name   string
		flight int
		change func(*Config)
	}{
		{"64", 64, func(*Config) {}},
		{"512", 512, func(*Config) {}},
		{"512_like_rekor_1s_100ms", 512, func(c *Config) { c.CheckpointInterval, c.BatchMaxAge = time.Second, 100*time.Millisecond }},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, srv := newWorld(b).open(b, c.change)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.flight}}
			all := uploads(b, b.N)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range c.flight {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
						if err := send(client, srv.URL, all[i]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkLatency sends ten uploads a second, at random times, and reports how long their proofs take.
func BenchmarkLatency(b *testing.B) {
	_, srv := newWorld(b).open(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	all := uploads(b, b.N)
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range all {
		time.Sleep(time.Duration(rand.ExpFloat64() * float64(100*time.Millisecond)))
		wg.Go(func() {
			begin := time.Now()
			if err := send(client, srv.URL, all[i]); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(begin)
		})
	}
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50_ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99_ms")
}
