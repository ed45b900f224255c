package oci

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// idleTimeout is how long an answer may pause before it is given up. The whole of a large answer may take as long as it
// likes, within the caller's deadline; without one, a registry that falls silent would keep us waiting for ever.
const idleTimeout = time.Minute

// errIdle says that an answer began and did not go on.
var errIdle = errors.New("the answer does not go on")

// idleBody is the body of an answer that ends when nothing comes for a while.
type idleBody struct {
	inner   io.ReadCloser
	limit   time.Duration
	timer   *time.Timer
	stalled atomic.Bool
	cancel  func() // of the request, which ends a Read
}

func newIdleBody(inner io.ReadCloser, limit time.Duration, cancel func()) *idleBody {
	b := &idleBody{inner: inner, limit: limit, cancel: cancel}
	b.timer = time.AfterFunc(limit, b.give)
	b.timer.Stop() // only reading is waiting
	return b
}

func (b *idleBody) give() {
	b.stalled.Store(true)
	b.cancel()
}

func (b *idleBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	n, err := b.inner.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && b.stalled.Load() {
		err = fmt.Errorf("%w: no byte came for %s", errIdle, b.limit)
	}
	return n, err
}

// Close also ends the request, so that nothing of it stays behind.
func (b *idleBody) Close() error {
	b.timer.Stop()
	err := b.inner.Close()
	b.cancel()
	return err
}
