package treelog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/bulla-sign/bulla/internal/durable"
)

// makeCheckpoint has a checkpoint signed, through the gate, and cosigned.
type makeCheckpoint func(ctx context.Context, size uint64, root []byte) ([]byte, error)

// publisher publishes checkpoints. Tessera's own is switched off; the package's comment says why.
type publisher struct {
	log  *Log
	make makeCheckpoint

	last    time.Time // when the last attempt began
	failed  int       // attempts since the last success
	unsaved []byte    // a published checkpoint that the directory does not have yet
	stale   bool      // the checkpoint is to be signed anew
}

// never is the interval at which Tessera's publisher would act by itself.
const never = 20 * 365 * 24 * time.Hour

func (l *Log) tesseraOptions() *tessera.AppendOptions {
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(l.gate, l.cfg.Extra...).
		WithCheckpointInterval(never).
		WithCheckpointRepublishInterval(0).
		// The batches are made by [Log.collect]; this is only to let one of them arrive whole.
		WithBatching(l.cfg.BatchMaxSize, time.Millisecond).
		WithPushback(l.cfg.Pushback)
	if l.cfg.Layout == CT {
		opts = opts.WithCTLayout()
	}
	return opts
}

// tesseraPublisher returns what makes checkpoints, given a reader of the log. The empty tree needs no cosignature: there is
// nothing in it to be witnessed, and a log that waited for one could not take its first entry.
func (l *Log) tesseraPublisher() (func(tessera.LogReader) makeCheckpoint, error) {
	opts := tessera.NewAppendOptions().WithCheckpointSigner(l.gate, l.cfg.Extra...)
	var group tessera.WitnessGroup
	if len(l.cfg.Witnesses) > 0 {
		var err error
		if group, err = tessera.NewWitnessGroupFromPolicy(l.cfg.Witnesses); err != nil {
			return nil, fmt.Errorf("witness policy: %w", err)
		}
		opts = opts.WithWitnesses(group, &tessera.WitnessOptions{
			FailOpen: l.cfg.WitnessFailOpen, Timeout: l.cfg.WitnessTimeout,
		})
	}
	return func(r tessera.LogReader) makeCheckpoint {
		alone := l.tesseraOptions().CheckpointPublisher(r, l.cfg.HTTPClient)
		cosigned := opts.CheckpointPublisher(r, l.cfg.HTTPClient)
		return func(ctx context.Context, size uint64, root []byte) ([]byte, error) {
			if size == 0 {
				return alone(ctx, size, root)
			}
			note, err := cosigned(ctx, size, root)
			if err == nil && !group.Satisfied(note) {
				l.metrics.unwitnessed.Inc()
				l.cfg.Log.Warn("a checkpoint is published without its cosignatures", "log", l.cfg.Origin, "entries", size)
			}
			return note, err
		}
	}, nil
}

// publishedReader is Tessera's reader with the checkpoint that is published, which the directory may not have yet. It is
// only asked for the size that witnesses are likely to know.
type publishedReader struct {
	tessera.LogReader
	log *Log
}

// ReadCheckpoint implements tessera.LogReader.
func (r publishedReader) ReadCheckpoint(context.Context) ([]byte, error) {
	if h, ok := r.log.Head(); ok {
		return h.Checkpoint, nil
	}
	empty, err := r.log.files.root(0)
	return fmt.Appendf(nil, "%s\n0\n%s\n", r.log.cfg.Origin, base64.StdEncoding.EncodeToString(empty[:])), err
}

// run publishes until the log is closed and everything in it is published, or the log refuses.
func (p *publisher) run() {
	l := p.log
	defer l.loops.Done()
	timer := time.NewTimer(p.pause())
	defer timer.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.kick:
		case <-timer.C:
			p.stale = p.failed == 0 && p.unsaved == nil
		}
		if !p.wait() {
			return
		}
		err := p.publish(l.ctx)
		if l.Refusal() != nil {
			return
		}
		if err != nil {
			l.cfg.Log.Error("the checkpoint could not be published", "log", l.cfg.Origin, "error", err)
		} else if l.collected() {
			return
		}
		timer.Reset(p.pause())
	}
}

// wait keeps the shortest time between two publications. It measures with the monotonic clock, so that a step of the wall
// clock changes nothing.
func (p *publisher) wait() bool {
	timer := time.NewTimer(time.Until(p.last.Add(p.log.cfg.CheckpointInterval)))
	defer timer.Stop()
	select {
	case <-p.log.ctx.Done():
		return false
	case <-p.log.closing:
		return true
	case <-timer.C:
		return true
	}
}

// maxBackoff bounds the time between two attempts to publish.
const maxBackoff = 5 * time.Second

// pause is the time after which to publish without new entries.
func (p *publisher) pause() time.Duration {
	switch {
	case p.failed > 0 || p.unsaved != nil:
		return min(maxBackoff, max(p.log.cfg.CheckpointInterval, 100*time.Millisecond)<<min(p.failed, 6))
	case p.log.cfg.RepublishInterval > 0:
		return p.log.cfg.RepublishInterval
	}
	return never
}

// publish signs, records and publishes the tree of all entries that are durable, unless it is published already.
func (p *publisher) publish(ctx context.Context) (err error) {
	l := p.log
	p.last = time.Now()
	defer func() {
		l.metrics.published(time.Since(p.last), err)
		l.behind.Store(err != nil)
		if p.failed++; err == nil {
			p.failed = 0
		}
	}()
	size, signed, head := l.integrated.Load(), l.gate.size(), l.head.Load()
	if head == nil || head.Size < size || head.Size < signed || p.stale {
		if head, err = p.sign(ctx, size); err != nil {
			return err
		}
		p.unsaved, p.stale = head.Checkpoint, false
		l.head.Store(head)
		l.announce()
	}
	return p.save()
}

func (p *publisher) sign(ctx context.Context, size uint64) (*Head, error) {
	l := p.log
	root, err := l.files.root(size)
	if err != nil {
		err = fmt.Errorf("%w; run fsck: %w", ErrFailed, err)
		l.refuse(err)
		return nil, err
	}
	l.gate.expect(Head{Size: size, Root: root})
	defer l.gate.expect(Head{})
	note, err := p.make(ctx, size, root[:])
	if err != nil {
		return nil, err
	}
	head, err := openCheckpoint(note, &l.cfg)
	if err != nil {
		return nil, err
	}
	if head.Size != size || head.Root != root {
		return nil, errors.New("the new checkpoint is about another tree")
	}
	return head, nil
}

// save writes the published checkpoint into the directory, for other readers of it and for the next start.
func (p *publisher) save() error {
	if p.unsaved == nil {
		return nil
	}
	err := durable.WriteFile(filepath.Join(p.log.cfg.Dir, layout.CheckpointPath), p.unsaved, 0o644)
	if err == nil {
		p.unsaved = nil
		return nil
	}
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	err = fmt.Errorf("%w; check the disk, restart, and run fsck: %w", ErrFailed, err)
	p.log.refuse(err)
	return err
}
