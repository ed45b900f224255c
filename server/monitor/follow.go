package monitor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/tlog"
)

const (
	// chunk is the number of bundles that are read between two checks and saves.
	chunk = 16
	// chunks is the number of chunks after which the checkpoint is looked at again: some 65,000 entries.
	chunks = 16
)

// follower watches one log.
type follower struct {
	log     Log
	cfg     *Config
	watches []watch
	metrics *metrics
	source  source
	keyID   []byte // Rekor's
	path    string // of the state

	mu       sync.Mutex // guards what follows against readers of the status; only the follower's goroutine writes
	state    state
	head     *tlog.Checkpoint // nil: none yet
	headTime time.Time        // what a CT log's tree head says
	front    frontier
	raised   map[Alarm]Raised
	looked   time.Time // the last time that everything was in order; at first, when it began
	checked  bool      // everything was in order once
}

func newFollower(l Log, cfg *Config, watches []watch, m *metrics, path string) (*follower, error) {
	f := &follower{log: l, cfg: cfg, watches: watches, metrics: m, path: path, raised: make(map[Alarm]Raised), looked: cfg.Now()}
	f.source = source{client: cfg.Client, base: l.base(), kind: l.Kind, got: func(n int) { m.bytes.WithLabelValues(l.Name).Add(float64(n)) }}
	var err error
	if l.Kind == Rekor {
		if f.keyID, err = tlog.KeyIDv2(l.Origin, l.Key); err != nil {
			return nil, err
		}
	}
	if f.state, err = load(path, l); err != nil {
		return nil, err
	}
	if f.front, err = decodeFrontier(f.state.Read, f.state.Frontier); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.state.Head != "" {
		if f.head, f.headTime, err = f.verified(f.state.Head); err != nil {
			return nil, fmt.Errorf("%s: the checkpoint in it: %w", path, err)
		}
	}
	if size := f.size(); f.front.size > size || f.front.size == size && f.head != nil && f.front.root() != f.head.Root {
		return nil, fmt.Errorf("%s: %d entries are said to be read of a tree of %d, or the hashes do not fit", path, f.front.size, size)
	}
	if f.state.Forked != nil {
		f.raise(Fork, errors.New("two checkpoints that contradict each other are in the state file"))
	}
	f.show()
	return f, nil
}

func (f *follower) size() int64 {
	if f.head == nil {
		return 0
	}
	return f.head.Size
}

// verified reads a checkpoint and checks that the log's key signed it. The time is that of a CT log's tree head.
func (f *follower) verified(note string) (*tlog.Checkpoint, time.Time, error) {
	cp, err := tlog.ParseCheckpoint(note)
	if err != nil {
		return nil, time.Time{}, err
	}
	if cp.Size == 0 && cp.Root != sha256.Sum256(nil) {
		return nil, time.Time{}, fmt.Errorf("checkpoint: the empty tree's root is not %x", cp.Root)
	}
	if f.log.Kind == CT {
		ms, err := cp.VerifyTreeHead(f.log.Origin, f.log.Key)
		return cp, time.UnixMilli(ms), err
	}
	return cp, time.Time{}, cp.VerifySignature(f.log.Origin, f.keyID, f.log.Key)
}

// look is one look at the log. more says that there is more to read at once.
func (f *follower) look(ctx context.Context) (more bool) {
	// Tiles are held during one look only: one that is wrong may be put right, and those of another history must be seen.
	f.source.tiles = nil
	more, err := f.follow(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now()
	switch kind := kindOf(err); {
	case err == nil:
		f.looked, f.checked = now, true
		for _, a := range []Alarm{Rollback, Signature, Tiles, Unreachable, Storage} {
			f.lower(a)
		}
	case ctx.Err() != nil:
		return false
	case kind == Unreachable && now.Sub(f.looked) < unreachableAfter:
		f.cfg.Log.Debug("log cannot be read now", "log", f.log.Name, "err", err)
	default:
		f.raise(kind, err)
	}
	f.stall(now)
	f.show()
	return more && err == nil
}

// stall judges how old the latest news is.
func (f *follower) stall(now time.Time) {
	if f.log.Stall == 0 {
		return
	}
	latest := f.state.Grown
	if f.log.Kind == CT {
		latest = f.headTime
	}
	if latest.IsZero() {
		latest = f.looked
	}
	if age := now.Sub(latest); age > f.log.Stall {
		f.raise(Stall, fmt.Errorf("nothing new since %s", latest.UTC().Format(time.RFC3339)))
	} else {
		f.lower(Stall)
	}
}

// follow reads the checkpoint and what is new.
func (f *follower) follow(ctx context.Context) (more bool, err error) {
	note, err := f.source.get(ctx, "checkpoint", tlog.MaxCheckpointSize)
	if err != nil {
		return false, err
	}
	cp, at, err := f.verified(string(note))
	if err != nil {
		return false, &alarm{Signature, err}
	}
	if err := f.advance(ctx, cp, at, string(note)); err != nil {
		return false, err
	}
	for range chunks {
		if f.front.size >= f.size() {
			return false, nil
		}
		if err := f.readChunk(ctx); err != nil {
			return false, err
		}
	}
	return true, nil
}

// advance takes a checkpoint as the new head if it continues the old one.
func (f *follower) advance(ctx context.Context, cp *tlog.Checkpoint, at time.Time, note string) error {
	size := f.size()
	switch {
	case cp.Size < size:
		return &alarm{Rollback, fmt.Errorf("the tree has %d entries, and had %d before", cp.Size, size)}
	case f.head != nil && cp.Size == size && cp.Root != f.head.Root:
		return f.fork(note, fmt.Errorf("two roots of size %d: %x and %x", size, f.head.Root, cp.Root))
	case f.head != nil && cp.Size == size:
		f.mu.Lock()
		defer f.mu.Unlock()
		if at.After(f.headTime) {
			f.headTime = at
		}
		return nil
	}
	front := f.front
	if size > 0 {
		before, err := prefix(size, cp.Size, cp.Root, f.source.tile(ctx))
		if err != nil {
			return asTiles(err)
		}
		if root := before.root(); root != f.head.Root {
			return f.fork(note, fmt.Errorf("the tree of %d entries does not continue the tree of %d: its root there is %x, and %x was signed",
				cp.Size, size, root, f.head.Root))
		}
	} else if f.log.FromHead && f.head == nil && cp.Size > 0 {
		var err error
		if front, err = prefix(cp.Size, cp.Size, cp.Root, f.source.tile(ctx)); err != nil {
			return asTiles(err)
		}
	}
	return f.commit(func(s *state) {
		s.Head, s.Grown = note, f.cfg.Now().UTC()
		s.Read, s.Frontier = front.size, front.encode()
	}, func() { f.head, f.headTime, f.front = cp, at, front })
}

// asTiles makes an alarm of tiles that do not lead to the signed root, and leaves alone what could not be fetched.
func asTiles(err error) error {
	if errors.Is(err, tlog.ErrProof) {
		return &alarm{Tiles, err}
	}
	return err
}

// fork keeps the proof and raises the alarm. The head stays: it was first.
func (f *follower) fork(second string, why error) error {
	if f.state.Forked == nil {
		err := f.commit(func(s *state) {
			s.Forked = &forked{Seen: f.cfg.Now().UTC(), First: s.Head, Second: second}
		}, func() {})
		if err != nil {
			why = errors.Join(why, err)
		}
	}
	return &alarm{Fork, why}
}

// commit changes the state: on the disk first, then in memory.
func (f *follower) commit(change func(*state), then func()) error {
	next := f.state
	change(&next)
	if err := next.save(f.path); err != nil {
		return &alarm{Storage, fmt.Errorf("state of the monitor: %w", err)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = next
	then()
	return nil
}

// readChunk reads some bundles, makes sure that they are what the tree contains, and reports what is found in them.
func (f *follower) readChunk(ctx context.Context) error {
	front, size := f.front.clone(), f.head.Size
	var found []Finding
	unread := unreadable{}
	for range chunk {
		if front.size == size || len(found) >= maxChunkFindings {
			break
		}
		index := front.size / tlog.TileWidth
		entries, err := f.source.bundle(ctx, index, width(index, size))
		if err != nil {
			return err
		}
		for _, e := range entries[front.size%tlog.TileWidth:] {
			leaf, err := f.log.Kind.layout().LeafHash(e)
			if err != nil {
				return &alarm{Tiles, fmt.Errorf("entry %d: %w", front.size, err)}
			}
			found = f.compare(e, front.size, found, &unread)
			front.add(leaf)
		}
	}
	want, err := prefix(front.size, size, f.head.Root, f.source.tile(ctx))
	if err != nil {
		return asTiles(err)
	}
	if !front.equal(want) {
		return &alarm{Tiles, fmt.Errorf("the entries from %d to %d are not those of the signed tree of size %d", f.front.size, front.size-1, size)}
	}
	f.report(found, unread)
	return f.commit(func(s *state) {
		s.Read, s.Frontier = front.size, front.encode()
		if len(found) > 0 {
			all := append(slices.Clone(s.Found), found...)
			s.Found = all[max(0, len(all)-maxFindings):]
		}
	}, func() { f.front = front })
}

// unreadable counts entries that the watch list could not be compared with.
type unreadable struct {
	count int
	first int64
	err   error
}

// maxChunkFindings is how many findings are held at which a chunk ends early: they are told of only when its entries are
// known to be genuine.
const maxChunkFindings = 10_000

func (f *follower) compare(entry []byte, index int64, found []Finding, unread *unreadable) []Finding {
	signatures, err := f.log.Kind.signatures(entry)
	if err != nil {
		if unread.count == 0 {
			unread.first, unread.err = index, err
		}
		unread.count++
	}
	for _, w := range f.watches {
		for _, s := range signatures {
			if w.finds(s) {
				found = append(found, s.finding(f.log.Name, w.name, index, f.cfg.Now()))
				break
			}
		}
	}
	return found
}

// report tells of findings, before the state says that the entries were read.
func (f *follower) report(found []Finding, unread unreadable) {
	for _, x := range found {
		f.metrics.found.WithLabelValues(x.Log, x.Watch).Inc()
		f.cfg.Log.Warn("watched identity", "log", x.Log, "watch", x.Watch, "index", x.Index, "subjects", x.Subjects,
			"issuer", x.Issuer, "signed", x.Signed, "key", x.Key)
	}
	if unread.count > 0 {
		f.metrics.unreadable.WithLabelValues(f.log.Name).Add(float64(unread.count))
		f.cfg.Log.Warn("entries that cannot be compared with the watch list", "log", f.log.Name, "count", unread.count,
			"first", unread.first, "err", cut(unread.err.Error()))
	}
}

// raise begins an alarm, or goes on with it. The lock is held, except at the beginning.
func (f *follower) raise(a Alarm, why error) {
	r, ok := f.raised[a]
	if !ok {
		r = Raised{Alarm: a, Since: f.cfg.Now().UTC().Truncate(time.Second)}
		f.cfg.Log.Error("alarm", "log", f.log.Name, "alarm", string(a), "err", cut(why.Error()))
	}
	r.Text = cut(why.Error())
	f.raised[a] = r
}

// lower ends an alarm. That of a fork has no end.
func (f *follower) lower(a Alarm) {
	if _, ok := f.raised[a]; ok && a != Fork {
		delete(f.raised, a)
		f.cfg.Log.Info("alarm has ended", "log", f.log.Name, "alarm", string(a))
	}
}

// show sets the gauges.
func (f *follower) show() {
	f.metrics.size.WithLabelValues(f.log.Name).Set(float64(f.size()))
	f.metrics.read.WithLabelValues(f.log.Name).Set(float64(f.front.size))
	for _, a := range alarms {
		value := 0.0
		if _, ok := f.raised[a]; ok {
			value = 1
		}
		f.metrics.alarm.WithLabelValues(f.log.Name, string(a)).Set(value)
	}
}
