package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/tlog"
)

// coverTimeout is how long to wait for a checkpoint that covers an entry which the log has acknowledged: logs publish one
// every ten seconds by default.
const coverTimeout = 30 * time.Second

// prove gives the entry an inclusion proof, computed from the log's tiles (C2SP tlog-tiles). Only the checkpoint decides
// what the tiles prove.
func (l *LogV2) prove(ctx context.Context, e *tlog.Entry) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(caller, coverTimeout)
	defer cancel()
	// The API has the files below api/v2 (rekor_service.proto), the tiles specification below the log's own address.
	prefix := "/api/v2/"
	var early error // that a checkpoint does not cover the entry
	for {
		a, err := l.read(ctx, prefix+"checkpoint", tlog.MaxCheckpointSize)
		if err != nil && early != nil && ctx.Err() != nil && caller.Err() == nil {
			return early
		}
		if err != nil && prefix != "/" && notServed(err) {
			prefix = "/"
			continue
		}
		if err != nil {
			return err
		}
		cp, err := tlog.ParseCheckpoint(string(a.body))
		if err != nil {
			return l.s.fail(l.reading(prefix+"checkpoint", 0), a, wrong("the checkpoint: %w", err))
		}
		if cp.Size > e.LogIndex {
			hashes, err := tlog.ProofFromTiles(e.LogIndex, cp.Size, func(t tlog.Tile) ([]byte, error) {
				a, err := l.read(ctx, prefix+t.Path(), int64(tlog.TileWidth*tlog.HashSize))
				if err != nil {
					return nil, err
				}
				return a.body, nil
			})
			var told *Error
			if errors.As(err, &told) { // no answer, and it says of what
				return fmt.Errorf("inclusion proof of entry %d: %w", e.LogIndex, err)
			}
			if err != nil {
				return l.s.fail(l.reading(prefix+"tile", 0), a, wrong("inclusion proof of entry %d: %w", e.LogIndex, err))
			}
			e.Proof = &tlog.InclusionProof{LogIndex: e.LogIndex, TreeSize: cp.Size, RootHash: cp.Root[:], Hashes: hashes, Checkpoint: string(a.body)}
			return nil
		}
		early = l.s.fail(l.reading(prefix+"checkpoint", 0), a, &cause{ErrUnavailable, fmt.Errorf("its checkpoint covers %d entries, and not yet the entry at index %d", cp.Size, e.LogIndex)})
		switch err := sleep(ctx, max(l.s.Pause, 10*time.Millisecond)); {
		case caller.Err() != nil:
			return ended(caller, early)
		case err != nil:
			return early
		}
	}
}

// reading is a request to read a file of the log.
func (l *LogV2) reading(path string, limit int64) *request {
	asked := strings.TrimPrefix(strings.TrimPrefix(path, "/api/v2"), "/")
	return &request{asked: "its " + asked, method: http.MethodGet, url: l.s.base + path, accept: "*/*", limit: limit, said: statusMessage}
}

// notServed says whether a log answered that it has no such file, or serves none.
func notServed(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented)
}

func (l *LogV2) read(ctx context.Context, path string, limit int64) (*answer, error) {
	r := l.reading(path, limit)
	r.good = func(status int) bool { return status == http.StatusOK }
	return l.s.do(ctx, r)
}

// logID says of which log an entry is that a log holds already: the one in the root whose key signed the checkpoint.
func (l *LogV2) logID(e *tlog.Entry) ([]byte, error) {
	if l.s.Root == nil {
		return nil, wrong("without a trusted root nobody can say which log this is")
	}
	cp, err := tlog.ParseCheckpoint(e.Proof.Checkpoint)
	if err != nil {
		return nil, wrong("the checkpoint: %w", err)
	}
	for _, sig := range cp.Signatures {
		for _, log := range l.s.Root.LogHint(sig.KeyHint) {
			if len(log.ID) >= 4 && log.Usable() == nil && signedCheckpoint(cp, log.Name(), log) == nil {
				return log.ID, nil
			}
		}
	}
	return nil, wrong("no log of the trusted root signed the checkpoint of %q (key %08x)", printable(cp.Origin), firstHint(cp))
}

func firstHint(cp *tlog.Checkpoint) uint32 {
	if len(cp.Signatures) == 0 {
		return 0
	}
	return cp.Signatures[0].KeyHint
}
