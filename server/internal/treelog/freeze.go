package treelog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/bulla-sign/bulla/internal/durable"
)

// Freeze ends the log: no more entries are taken, those that were are published, and the directory is marked, so that it
// is opened for reading only from now on. The log stays open for reading. A log that refuses because it is forked is
// frozen at its published checkpoint.
func (l *Log) Freeze(ctx context.Context) error {
	refusal := l.Refusal()
	if errors.Is(refusal, ErrFrozen) {
		return nil
	}
	if refusal != nil && !errors.Is(refusal, ErrForked) {
		return refusal
	}
	if err := l.drain(ctx); err != nil {
		return fmt.Errorf("freezing the log %s: %w", l.cfg.Origin, err)
	}
	if now := l.Refusal(); refusal == nil && now != nil {
		return now
	}
	head, ok := l.Head()
	if !ok {
		return fmt.Errorf("freezing the log %s: it has no checkpoint", l.cfg.Origin)
	}
	if err := durable.WriteFile(filepath.Join(l.cfg.Dir, stateDir, frozenFile), head.Checkpoint, 0o644); err != nil {
		return fmt.Errorf("freezing the log %s: %w", l.cfg.Origin, err)
	}
	frozen := error(ErrFrozen)
	l.refusal.Store(&frozen)
	l.announce()
	return nil
}
