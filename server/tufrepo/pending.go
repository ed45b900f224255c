package tufrepo

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bulla-sign/bulla/tuf"
)

// Pending returns the documents that wait for signatures, as files to be carried to where the keys are.
func (s *Server) Pending() ([][]byte, error) {
	var out [][]byte
	for _, role := range []string{tuf.RootRole, tuf.TargetsRole} {
		data, err := readFile(s.repo.path(pendingDir, role+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("TUF repository: %w", err)
		}
		out = append(out, data)
	}
	return out, nil
}

// Sign adds the signature of a key to a document that waits for some, and returns it. It needs no repository: it runs where
// the key is. What is signed should be looked at before.
func Sign(document []byte, key crypto.Signer) ([]byte, error) {
	d, err := tuf.ParseDocument(document)
	if err != nil {
		return nil, err
	}
	if d.Role() != tuf.RootRole && d.Role() != tuf.TargetsRole {
		return nil, fmt.Errorf("%s is signed by the server, not by hand", d.FileName())
	}
	if err := d.Sign(key); err != nil {
		return nil, err
	}
	return d.Encode()
}

// Import takes back a document that waited for signatures, with those that it has now. Once there are enough it is
// published; until then the error is [ErrPending]. A document that is not the one that waits is refused.
func (s *Server) Import(ctx context.Context, document []byte) error {
	given, err := tuf.ParseDocument(document)
	if err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	return s.change(ctx, func(c *current) error {
		waiting, err := s.repo.merge(given, c.root)
		if err != nil {
			return err
		}
		if waiting.Role() == tuf.RootRole {
			err = s.repo.publishRoot(c, waiting)
		} else {
			err = s.repo.publishTargets(c, waiting)
		}
		if err == nil {
			s.published(ctx, waiting)
		}
		return err
	})
}

// merge adds the signatures of a document to the one of its role that waits.
func (r *repository) merge(given, root *tuf.Document) (*tuf.Document, error) {
	waiting, err := r.read(pendingDir, given.Role()+".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no %s waits for signatures", given.Role())
	}
	if err != nil {
		return nil, err
	}
	return waiting, mergeInto(waiting, given, root)
}

// ImportFirst is [Server.Import] for the first root, before which there is no server.
func ImportFirst(ctx context.Context, cfg Config, document []byte) error {
	if err := cfg.complete(); err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	r := &repository{cfg: cfg}
	unlock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	given, err := tuf.ParseDocument(document)
	if err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	if given.Role() != tuf.RootRole || given.Version() != 1 {
		return fmt.Errorf("TUF repository: %s is not the first root", given.FileName())
	}
	waiting, err := r.merge(given, nil)
	if err == nil {
		err = r.publishRoot(&current{}, waiting)
	}
	if err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	return nil
}
