package treelog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// gate is the only way to the log's key: a note.Signer that signs what extends the checkpoint in the lock store, and
// gives the signature away once the lock store has it.
type gate struct {
	log    *Log
	signer note.Signer

	mu       sync.Mutex
	locked   *Head  // what the lock store has; nil: nothing
	doubtful []byte // what the lock store may have, after it could not be reached
	expected Head   // what the publisher is about to have signed
}

var _ note.Signer = (*gate)(nil)

// Name implements note.Signer.
func (g *gate) Name() string { return g.signer.Name() }

// KeyHash implements note.Signer.
func (g *gate) KeyHash() uint32 { return g.signer.KeyHash() }

// size is that of the last checkpoint signed.
func (g *gate) size() uint64 {
	last, _ := g.last()
	return last.Size
}

// expect announces what will be signed next. Tessera's own publisher announces nothing, and gets nothing signed.
func (g *gate) expect(h Head) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = h
}

// Sign implements note.Signer for the text of a checkpoint.
func (g *gate) Sign(text []byte) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.log.Refusal(); err != nil {
		return nil, err
	}
	head, err := g.read(text)
	if err != nil {
		return nil, err
	}
	if err := g.extends(head); err != nil {
		err = fmt.Errorf("%w: %w; %s", ErrForked, err, g.log.cfg.whatToDo())
		g.log.refuse(err)
		return nil, err
	}
	sig, err := g.signer.Sign(text)
	if err != nil {
		return nil, fmt.Errorf("signing the checkpoint: %w", err)
	}
	head.Checkpoint = g.note(text, sig)
	if err := g.record(head); err != nil {
		return nil, err
	}
	return sig, nil
}

func (g *gate) read(text []byte) (Head, error) {
	var cp log.Checkpoint
	rest, err := cp.Unmarshal(text)
	if err != nil || len(rest) > 0 || cp.Origin != g.signer.Name() || len(cp.Hash) != len(Head{}.Root) {
		return Head{}, fmt.Errorf("the text to sign is no checkpoint of %s", g.signer.Name())
	}
	head := Head{Size: cp.Size, Root: [32]byte(cp.Hash)}
	if head.Size != g.expected.Size || head.Root != g.expected.Root {
		return Head{}, errors.New("only the publisher of the tree log has checkpoints signed")
	}
	return head, nil
}

func (g *gate) extends(head Head) error {
	root, err := g.log.files.root(head.Size)
	if err != nil {
		return err
	}
	if root != head.Root {
		return fmt.Errorf("the tiles for %d entries have the root %x, not %x", head.Size, root, head.Root)
	}
	if g.locked == nil {
		return nil
	}
	if head.Size < g.locked.Size {
		return fmt.Errorf("a checkpoint for %d entries would follow one for %d", head.Size, g.locked.Size)
	}
	return g.log.files.consistent(g.log.ctx, *g.locked, head)
}

// note forms the signed note with the log's signature alone (C2SP signed-note).
func (g *gate) note(text, sig []byte) []byte {
	line := binary.BigEndian.AppendUint32(nil, g.signer.KeyHash())
	line = append(line, sig...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", text, g.signer.Name(), base64.StdEncoding.EncodeToString(line))
}

func (g *gate) record(head Head) error {
	var old []byte
	if g.locked != nil {
		old = g.locked.Checkpoint
	}
	store, name := g.log.cfg.Lock, g.log.cfg.LockName
	err := store.Replace(g.log.ctx, name, old, head.Checkpoint)
	if errors.Is(err, ErrLockConflict) && g.doubtful != nil {
		// The last attempt may have been heard without an answer.
		if now, loadErr := store.Load(g.log.ctx, name); loadErr == nil && bytes.Equal(now, g.doubtful) {
			err = store.Replace(g.log.ctx, name, now, head.Checkpoint)
		}
	}
	switch {
	case err == nil:
		g.locked, g.doubtful = &head, nil
		return nil
	case errors.Is(err, ErrLockUnavailable):
		g.doubtful = head.Checkpoint
		return err
	case errors.Is(err, ErrLockConflict):
		err = fmt.Errorf("%w: %w: another copy of this log goes on elsewhere; stop it, and %s", ErrForked, err, g.log.cfg.whatToDo())
	default:
		err = fmt.Errorf("%w; check the disk of the lock store, and restart: %w", ErrFailed, err)
	}
	g.log.refuse(err)
	return err
}

// last is the last checkpoint signed, with the log's signature alone.
func (g *gate) last() (Head, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.locked == nil {
		return Head{}, false
	}
	return *g.locked, true
}
