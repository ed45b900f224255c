package treelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/ctonly"
)

// MaxEntry is the size of an entry in bytes at most: C2SP tlog-tiles writes it in two bytes.
const MaxEntry = 1<<16 - 1

// item is an entry on its way into the log.
type item struct {
	submit func(context.Context) tessera.IndexFuture
	at     time.Time
	done   chan outcome // has room for one
}

type outcome struct {
	index uint64
	err   error
}

// Add appends an entry to a log of layout [Entries] and returns its index, counted from 0, once the entry is durable and
// part of the tree. It is not published yet; see [Log.Await]. When the context ends first, the entry may still be logged.
func (l *Log) Add(ctx context.Context, entry []byte) (uint64, error) {
	if l.cfg.Layout != Entries {
		return 0, errors.New("tree log: a log of certificates takes no other entries")
	}
	if len(entry) > MaxEntry {
		return 0, fmt.Errorf("tree log: an entry of %d bytes is larger than %d", len(entry), MaxEntry)
	}
	return l.add(ctx, func(ctx context.Context) tessera.IndexFuture {
		return l.appender.Add(ctx, tessera.NewEntry(entry))
	})
}

// AddCT is [Log.Add] for a log of layout [CT].
func (l *Log) AddCT(ctx context.Context, entry *ctonly.Entry) (uint64, error) {
	if l.cfg.Layout != CT {
		return 0, errors.New("tree log: only a log of certificates takes certificates")
	}
	if err := checkCT(entry); err != nil {
		return 0, err
	}
	return l.add(ctx, func(ctx context.Context) tessera.IndexFuture { return l.addCT(ctx, entry) })
}

// Limits of entries of a log of certificates.
const (
	// maxCTEntry bounds the certificates of an entry in bytes; Tessera has the same limit for a whole entry.
	maxCTEntry = 256 << 10
	// maxCTChain bounds the fingerprints of an entry. Chains have three certificates, seldom five.
	maxCTChain = 64
)

// checkCT refuses what Tessera would panic about.
func checkCT(e *ctonly.Entry) error {
	switch {
	case len(e.Certificate) == 0 || len(e.Certificate)+len(e.Precertificate) > maxCTEntry:
		return fmt.Errorf("tree log: certificates of %d bytes; there must be some, and at most %d",
			len(e.Certificate)+len(e.Precertificate), maxCTEntry)
	case len(e.FingerprintsChain) > maxCTChain:
		return fmt.Errorf("tree log: a chain of %d certificates is longer than %d", len(e.FingerprintsChain), maxCTChain)
	case e.IsPrecert && len(e.IssuerKeyHash) != 32:
		return fmt.Errorf("tree log: an issuer key hash of %d bytes", len(e.IssuerKeyHash))
	case e.IsPrecert != (len(e.Precertificate) > 0):
		return errors.New("tree log: a precertificate goes with its TBSCertificate, and with nothing else")
	}
	return nil
}

func (l *Log) add(ctx context.Context, submit func(context.Context) tessera.IndexFuture) (uint64, error) {
	it := &item{submit: submit, at: time.Now(), done: make(chan outcome, 1)}
	if err := l.enqueue(it); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case out := <-it.done:
		return out.index, out.err
	}
}

// enqueue is exclusive with the start of closing, so that nothing enters the queue after the collector has left.
func (l *Log) enqueue(it *item) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Refusal(); err != nil {
		return err
	}
	if l.closed {
		return ErrClosed
	}
	select {
	case l.queue <- it:
		return nil
	default:
		l.metrics.pushback.Inc()
		return ErrPushback
	}
}

// collect makes batches of what is queued. While one batch is being written the next one gathers, so that the more
// entries come the more of them share their synchronous writes.
func (l *Log) collect() {
	defer l.loops.Done()
	defer l.wake()
	defer close(l.gathered)
	var p pace
	for {
		select {
		case <-l.ctx.Done():
			return
		case first := <-l.queue:
			l.next(&p, first)
		case <-l.closing:
			for {
				select {
				case first := <-l.queue:
					l.next(&p, first)
				default:
					return
				}
			}
		}
	}
}

// next makes and writes the batch that begins with first.
func (l *Log) next(p *pace, first *item) {
	batch := l.gather(first, p.due(first.at, &l.cfg))
	p.began, p.size = time.Now(), len(batch)
	l.sequence(batch)
	p.took = time.Since(p.began)
}

// pace is the last batch, from which the time of the next one follows.
type pace struct {
	began time.Time
	size  int
	took  time.Duration
}

// due is when a batch is to be written whose first entry came at the time given. An entry alone waits for
// [Config.BatchMaxAge]. Under load, when the last batch had n entries, the next one begins up to n times that after it:
// each batch costs a dozen synchronous writes and rewrites the last bundle whatever its size. What an entry waits for the
// pace's sake is bounded by what the writing takes anyway ([writingShare]), by two checkpoints, and by [maxPace].
func (p *pace) due(first time.Time, c *Config) time.Time {
	alone := first.Add(c.BatchMaxAge)
	paced := p.began.Add(min(time.Duration(p.size)*c.BatchMaxAge, p.took*writingShare, 2*c.CheckpointInterval, maxPace))
	if paced.After(alone) {
		return paced
	}
	return alone
}

const (
	// writingShare is the part of the time, one in so many, that batches are being written in under load. The rest of it the
	// processors and the disk have for all else.
	writingShare = 10
	// maxPace bounds what an entry waits for the pace's sake, where checkpoints are seldom.
	maxPace = 100 * time.Millisecond
)

func (l *Log) gather(first *item, due time.Time) []*item {
	batch := []*item{first}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for uint(len(batch)) < l.cfg.BatchMaxSize {
		select {
		case it := <-l.queue:
			batch = append(batch, it)
			continue
		default:
		}
		select {
		case it := <-l.queue:
			batch = append(batch, it)
		case <-timer.C:
			return batch
		case <-l.closing:
			return batch
		}
	}
	return batch
}

// sequence hands a batch to Tessera and waits for it.
func (l *Log) sequence(batch []*item) {
	if err := l.Refusal(); err != nil {
		for _, it := range batch {
			it.done <- outcome{err: err}
		}
		return
	}
	futures := make([]tessera.IndexFuture, len(batch))
	for i, it := range batch {
		futures[i] = it.submit(l.ctx)
	}
	results := make([]outcome, len(batch))
	size, full := l.integrated.Load(), false
	for i, future := range futures {
		index, err := future()
		if err != nil {
			results[i].err = l.judgeWrite(err)
			full = true
			continue
		}
		results[i].index = index.Index
		size = max(size, index.Index+1)
	}
	if err := l.Refusal(); err != nil {
		// Tessera may have split the batch. After a failure nothing of it is given out.
		for i := range results {
			results[i] = outcome{err: err}
		}
	} else if size > l.integrated.Load() {
		l.integrated.Store(size)
		l.wake()
	}
	if full && l.Refusal() == nil {
		l.makeRoom()
	}
	for i, it := range batch {
		it.done <- results[i]
	}
}

// makeRoom removes the temporary files of the writes that failed, which would keep the disk full. It runs between batches.
func (l *Log) makeRoom() {
	n := l.files.sweepEdge(l.integrated.Load(), l.cfg.BatchMaxSize)
	l.cfg.Log.Info("removed temporary files", "log", l.cfg.Origin, "files", n)
}

// judgeWrite decides what a failed batch means for the log. Only a disk that says it is full, before anything was renamed
// into place, is known to have lost nothing.
func (l *Log) judgeWrite(err error) error {
	if isFull(err) {
		l.cfg.Log.Error("the log's disk is full", "log", l.cfg.Origin, "error", err)
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	err = fmt.Errorf("%w; check the disk, restart, and run fsck: %w", ErrFailed, err)
	l.refuse(err)
	return err
}

// wake tells the publisher to look.
func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}
