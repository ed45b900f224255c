package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// FsckReport is what a check found, when it found nothing wrong.
type FsckReport = treelog.FsckReport

// Fsck reads a whole log and verifies it: every entry is a canonical one and has its leaf hash, every tile follows from
// the entries, the checkpoint from the tiles, and the lock store has no other. It needs BaseURL, Dir, a key or its public
// half, and Lock if there is one; it changes nothing and may run while the log is being written. progress may be nil.
func Fsck(ctx context.Context, cfg Config, progress func(done, total uint64)) (FsckReport, error) {
	origin, err := Origin(cfg.BaseURL)
	if err != nil {
		return FsckReport{}, fmt.Errorf("transparency log: %w", err)
	}
	if cfg.PublicKey == nil && cfg.Key != nil {
		cfg.PublicKey = cfg.Key.Public()
	}
	key, err := newNoteKey(origin, cfg.PublicKey, nil)
	if err != nil {
		return FsckReport{}, fmt.Errorf("transparency log %s: %w", origin, err)
	}
	return treelog.Fsck(ctx, treelog.FsckConfig{
		Dir: cfg.Dir, Origin: origin, Layout: treelog.Entries, Verifier: key, Lock: cfg.Lock, Progress: progress,
		Entry: checkEntry,
	})
}

// checkEntry checks that an entry is one that this log makes.
func checkEntry(index uint64, entry []byte) error {
	b, err := tlog.ParseBody(entry)
	if err == nil && (b.Kind != "hashedrekord" || b.Version != "0.0.2" || len(b.Digests) != 1 || len(b.Signatures) != 1) {
		err = fmt.Errorf("an entry of kind %s %s", b.Kind, b.Version)
	}
	var again []byte
	if err == nil {
		again, err = tlog.HashedRekordV2Body(b.Digests[0], b.Signatures[0])
	}
	if err == nil && !bytes.Equal(again, entry) {
		err = errors.New("not in canonical form")
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	return nil
}

// RebuildIndex makes the search index anew from the tree, and returns when all that was published is in it again.
// Meanwhile searches are incomplete, and a repeated upload may become a second entry.
func (l *Log) RebuildIndex(ctx context.Context) error {
	if err := l.follow.rebuild(ctx); err != nil {
		return fmt.Errorf("transparency log %s: %w", l.origin, err)
	}
	return nil
}
