// Package load sends requests to a server at a given rate, or with a given number in flight, and counts answers and their
// times. Its own processor time is part of the result: generator and server share the machine.
package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Task does one unit of work, such as a request; i counts from 0.
type Task func(ctx context.Context, i int) error

// Result is what came of it.
type Result struct {
	Done  int // without an error
	Times []time.Duration
	Took  time.Duration
	CPU   time.Duration // of this process
	Err   error         // the first; nil when all went well
}

// Rate is how many were done in a second.
func (r *Result) Rate() float64 { return float64(r.Done) / r.Took.Seconds() }

// Quantile is the time within which the share q of all was done, from 0 to 1.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.Times) == 0 {
		return 0
	}
	return r.Times[min(int(q*float64(len(r.Times))), len(r.Times)-1)]
}

// collector gathers results of several goroutines.
type collector struct {
	mu sync.Mutex
	Result
}

func (c *collector) do(ctx context.Context, task Task, i int) {
	start := time.Now()
	err := task(ctx, i)
	took := time.Since(start)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.Done++
		c.Times = append(c.Times, took)
	} else if c.Err == nil {
		c.Err = err
	}
}

func (c *collector) finish(start time.Time, cpu time.Duration) *Result {
	c.Took, c.CPU = time.Since(start), processorTime()-cpu
	slices.Sort(c.Times)
	return &c.Result
}

// Saturate keeps as many tasks under way as inFlight says for a time, and lets those end.
func Saturate(ctx context.Context, inFlight int, d time.Duration, task Task) *Result {
	var c collector
	var next struct {
		sync.Mutex
		i int
	}
	start, cpu := time.Now(), processorTime()
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for time.Since(start) < d && ctx.Err() == nil {
				next.Lock()
				i := next.i
				next.i++
				next.Unlock()
				c.do(ctx, task, i)
			}
		})
	}
	wg.Wait()
	return c.finish(start, cpu)
}

// Steadily begins n tasks, perSecond of them each second, whether or not those before have ended.
func Steadily(ctx context.Context, perSecond float64, n int, task Task) *Result {
	var c collector
	start, cpu := time.Now(), processorTime()
	var wg sync.WaitGroup
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))))
		wg.Go(func() { c.do(ctx, task, i) })
	}
	wg.Wait()
	return c.finish(start, cpu)
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Client is an HTTP client with as many connections as are used at once.
func Client(inFlight int) *http.Client {
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: inFlight, MaxConnsPerHost: inFlight,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		},
	}
}

// maxAnswer bounds an answer: the largest is an entry with its proof, some 10 KB.
const maxAnswer = 1 << 20

// Request is a POST and the status that its answer must have.
type Request struct {
	URL, ContentType string
	Body             []byte
	Want             int
}

// Post sends a body and returns the answer; another status than the one wanted is an error.
func Post(ctx context.Context, c *http.Client, r Request) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", r.ContentType)
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != r.Want {
		err = fmt.Errorf("%s: %s: %.200s", r.URL, resp.Status, answer)
	}
	return answer, err
}
