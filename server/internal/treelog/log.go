package treelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/ctonly"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/bulla-sign/bulla/tlog"
)

// Errors of [Log].
var (
	// ErrPushback means that too many entries wait already. Later is better.
	ErrPushback = errors.New("too many entries wait to be logged")
	// ErrFull means that the log's disk, or the lock store's, has no room. Nothing was acknowledged and nothing is lost; the
	// log goes on by itself when there is room again.
	ErrFull = errors.New("the log's disk is full")
	// ErrFrozen means that the log takes no more entries, ever.
	ErrFrozen = errors.New("this log is frozen")
	// ErrForked means that the directory does not contain what the log has signed. The text says what to do.
	ErrForked = errors.New("the log's directory does not extend what the log has signed")
	// ErrFailed means that the disk has failed: whether what was written is there cannot be known any more.
	ErrFailed = errors.New("the log has stopped after a failure of its storage")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("the log is closed")
	// ErrNotCovered is wrapped by the errors of reads beyond the published checkpoint.
	ErrNotCovered = errors.New("not covered by the published checkpoint")
)

// Head is a tree that the log has signed.
type Head struct {
	// Size is the number of entries.
	Size uint64
	// Root is the Merkle tree hash (RFC 6962 2.1).
	Root [tlog.HashSize]byte
	// Checkpoint is the signed note.
	Checkpoint []byte
}

// Log is an open log. All methods may be called at once by many.
type Log struct {
	cfg     Config
	files   files
	metrics *metrics
	// subtrees are those of the published tree.
	subtrees tlog.Subtrees

	// The writing half; nil when the log is only read.
	appender *tessera.Appender
	addCT    func(context.Context, *ctonly.Entry) tessera.IndexFuture
	shutdown func(context.Context) error
	gate     *gate
	owner    *os.File
	queue    chan *item
	kick     chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup

	integrated atomic.Uint64        // entries that are durable and in the tree
	head       atomic.Pointer[Head] // what is published; nil: nothing yet
	behind     atomic.Bool          // no attempt to publish has come to its end, or the last one failed
	refusal    atomic.Pointer[error]
	gathered   chan struct{} // closed when the collector has left
	mu         sync.Mutex
	changed    chan struct{} // closed and replaced when head or refusal changes
	closing    chan struct{}
	closed     bool

	ending sync.Mutex // held by Close
	stuck  error      // why a Close did not come to its end
}

// Open opens the log in cfg.Dir, or makes one. An error means that the configuration is wrong or that the directory cannot
// be read at all. A log that can be read but must not be written is opened, and says why with [Log.Refusal].
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, files: files{dir: cfg.Dir, layout: cfg.Layout, cache: &tileCache{}},
		changed: make(chan struct{}), closing: make(chan struct{}), gathered: make(chan struct{}),
		queue: make(chan *item, cfg.Pushback), kick: make(chan struct{}, 1),
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if l.metrics, err = newMetrics(cfg.Metrics, l); err != nil {
		return nil, fmt.Errorf("tree log %s: %w", cfg.Origin, err)
	}
	if err := l.open(ctx); err != nil {
		l.cancel()
		l.release()
		return nil, fmt.Errorf("tree log %s in %s: %w", cfg.Origin, cfg.Dir, err)
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	if l.cfg.Frozen || isFrozen(l.cfg.Dir) {
		return l.openFrozen()
	}
	if err := makeDir(filepath.Join(l.cfg.Dir, stateDir), 0o755); err != nil {
		return err
	}
	var err error
	if l.owner, err = lockFile(filepath.Join(l.cfg.Dir, stateDir, "owner.lock"), false); err != nil {
		return fmt.Errorf("another process may have it open: %w", err)
	}
	if _, err := l.files.sweep(); err != nil {
		return err
	}
	if err := syncTree(l.cfg.Dir); err != nil {
		return err
	}
	refusal, err := l.judge(ctx)
	if err != nil {
		return err
	}
	if refusal != nil {
		l.refuse(refusal)
		return nil
	}
	return l.start(ctx)
}

// start begins writing. The directory has been judged.
func (l *Log) start(ctx context.Context) error {
	publish, err := l.tesseraPublisher()
	if err != nil {
		return err
	}
	if err := beginTree(l.cfg.Dir); err != nil {
		return err
	}
	below, err := posix.New(ctx, posix.Config{Path: l.cfg.Dir, HTTPClient: l.cfg.HTTPClient})
	if err != nil {
		return err
	}
	appender, shutdown, reader, err := tessera.NewAppender(l.ctx, driver{below, l}, l.tesseraOptions())
	if err != nil {
		return err
	}
	l.appender, l.shutdown, l.addCT = appender, shutdown, tessera.NewCertificateTransparencyAppender(appender)
	l.behind.Store(true)
	return l.publishFirst(ctx, &publisher{log: l, make: publish(publishedReader{reader, l})})
}

// publishFirst publishes what the directory has, asks the witnesses, and lets the log run. An empty tree is signed first:
// without a checkpoint the witnesses cannot be asked.
func (l *Log) publishFirst(ctx context.Context, p *publisher) error {
	try := func() {
		if err := p.publish(l.ctx); err != nil && l.Refusal() == nil {
			l.cfg.Log.Warn("the first checkpoint could not be published yet", "log", l.cfg.Origin, "error", err)
		}
	}
	if l.integrated.Load() == 0 {
		try()
	}
	if err := l.judgeWitnesses(ctx); err != nil {
		return err
	}
	if l.Refusal() != nil {
		return nil
	}
	try()
	l.loops.Add(2)
	go l.collect()
	go p.run()
	return nil
}

// Refusal returns why the log takes no entries, or nil: an error that wraps [ErrFrozen], [ErrForked], [ErrFailed] or
// [ErrClosed].
func (l *Log) Refusal() error {
	if err := l.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// Ready returns nil when the log can do what it is there for: take entries and prove them, or, frozen, be read.
func (l *Log) Ready(context.Context) error {
	if err := l.Refusal(); err != nil && !errors.Is(err, ErrFrozen) {
		return err
	}
	head := l.head.Load()
	if head == nil {
		return errors.New("tree log: no checkpoint is published yet")
	}
	// A checkpoint on its way, to the disk or round the witnesses, is how every publication begins: only one that did not get
	// through counts, and one that the last process left.
	if l.gate != nil && l.behind.Load() {
		if signed := l.gate.size(); head.Size < signed {
			return fmt.Errorf("tree log: the published checkpoint has %d entries, the last one signed has %d", head.Size, signed)
		}
	}
	return nil
}

// refuse makes the log refuse entries from now on. The first reason stays.
func (l *Log) refuse(err error) {
	if l.refusal.CompareAndSwap(nil, &err) {
		l.cfg.Log.Error("the log refuses entries", "log", l.cfg.Origin, "error", err)
		l.announce()
	}
}

// announce wakes everybody who waits for a change.
func (l *Log) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Head returns the published tree, or false if there is none yet.
func (l *Log) Head() (Head, bool) {
	if h := l.head.Load(); h != nil {
		return *h, true
	}
	return Head{}, false
}

// Await waits until a published checkpoint covers the entry at index and returns it. It ends early with the context, and
// when the log stops.
func (l *Log) Await(ctx context.Context, index uint64) (Head, error) {
	for {
		changed := l.change()
		if h := l.head.Load(); h != nil && h.Size > index {
			return *h, nil
		}
		if err := l.Refusal(); err != nil {
			return Head{}, err
		}
		select {
		case <-ctx.Done():
			return Head{}, ctx.Err()
		case <-changed:
		}
	}
}

// Close waits until what was added is published, as far as the context allows, and lets go of the directory. When the
// context ended first, the directory stays this process's, and so say all further calls.
func (l *Log) Close(ctx context.Context) error {
	l.ending.Lock()
	defer l.ending.Unlock()
	if l.stuck != nil {
		return l.stuck
	}
	err := l.drain(ctx)
	if closed := error(ErrClosed); l.refusal.CompareAndSwap(nil, &closed) {
		l.announce()
	}
	l.cancel()
	if err != nil {
		// A batch may still be being written: the directory stays ours until the process ends.
		l.stuck = err
		l.metrics.unregister()
		return err
	}
	l.release()
	return nil
}

// drain stops taking entries, and waits until all that were taken are published. It waits each time that it is called:
// whoever called it first may have left.
func (l *Log) drain(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	if l.appender == nil {
		return nil
	}
	done := make(chan struct{})
	go func() { l.loops.Wait(); close(done) }()
	select {
	case <-ctx.Done():
		return fmt.Errorf("closing the log %s: %w", l.cfg.Origin, ctx.Err())
	case <-done:
	}
	if l.Refusal() != nil {
		return nil // it has been reported, and nothing is published any more
	}
	return l.shutdown(ctx)
}

// collected tells whether the log is closing and all its entries are in the tree.
func (l *Log) collected() bool {
	select {
	case <-l.gathered:
		h := l.head.Load()
		return h != nil && h.Size >= l.integrated.Load()
	default:
		return false
	}
}

func (l *Log) release() {
	l.metrics.unregister()
	if l.owner != nil {
		l.owner.Close()
	}
}
