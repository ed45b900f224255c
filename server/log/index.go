package log

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// index finds entries by their leaf hash and by what they are about. It is derived from the tree, is never asked whether
// something is true, and may be lost.
//
//	meta: "origin", "version", "next" (uint64: entries indexed), "last" (leaf hash of entry next-1)
//	leaf: leaf hash → uint64
//	term: SHA-256 of the term, uint64 → nothing
type index struct {
	db *bbolt.DB
}

// indexVersion changes when the terms do; an index of another version is made anew.
const indexVersion = "1"

var (
	bucketMeta = []byte("meta")
	bucketLeaf = []byte("leaf")
	bucketTerm = []byte("term")
)

var errIndex = errors.New("the search index is damaged; it can be deleted, and will be made again")

// openIndex opens the index in path for a log, and makes it anew if it is damaged, of another version or of another log.
func openIndex(path, origin string, log *slog.Logger) (*index, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("search index: %w", err)
	}
	x, err := tryIndex(path, origin, log)
	if errors.Is(err, errIndex) {
		log.Warn("the search index is damaged and is made anew from the tree", "log", origin, "error", err)
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("search index: %w", err)
		}
		x, err = tryIndex(path, origin, log)
	}
	return x, err
}

func tryIndex(path, origin string, log *slog.Logger) (*index, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("search index: %s is in use by another process", path)
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return nil, fmt.Errorf("search index: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errIndex, path, err)
	}
	x := &index{db: db}
	var other bool
	err = x.update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketMeta, bucketLeaf, bucketTerm} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		other = meta.Get([]byte("origin")) != nil &&
			(string(meta.Get([]byte("origin"))) != origin || string(meta.Get([]byte("version"))) != indexVersion)
		if err := meta.Put([]byte("origin"), []byte(origin)); err != nil {
			return err
		}
		return meta.Put([]byte("version"), []byte(indexVersion))
	})
	if err == nil && other {
		log.Info("the search index is of another version or of another log, and is made anew from the tree", "log", origin)
		err = x.reset()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return x, nil
}

// guarded runs one transaction. bbolt panics about pages that make no sense.
func guarded(run func(func(*bbolt.Tx) error) error, f func(*bbolt.Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errIndex, r)
		}
	}()
	return run(f)
}

func (x *index) view(f func(*bbolt.Tx) error) error   { return guarded(x.db.View, f) }
func (x *index) update(f func(*bbolt.Tx) error) error { return guarded(x.db.Update, f) }

// reset forgets everything that was indexed.
func (x *index) reset() error {
	return x.update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketLeaf, bucketTerm} {
			if err := tx.DeleteBucket(b); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(b); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		return errors.Join(meta.Delete([]byte("next")), meta.Delete([]byte("last")))
	})
}

// progress returns how many entries are indexed, and the leaf hash of the last one.
func (x *index) progress() (next uint64, last []byte, err error) {
	err = x.view(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if v := meta.Get([]byte("next")); len(v) == 8 {
			next = binary.BigEndian.Uint64(v)
		}
		last = bytes.Clone(meta.Get([]byte("last")))
		return nil
	})
	return next, last, err
}

// indexed is an entry to be indexed.
type indexed struct {
	leaf  [sha256.Size]byte
	terms []string
}

// add indexes the entries from next on, all or none.
func (x *index) add(next uint64, entries []indexed) error {
	if len(entries) == 0 {
		return nil
	}
	return x.update(func(tx *bbolt.Tx) error {
		leaves, terms, meta := tx.Bucket(bucketLeaf), tx.Bucket(bucketTerm), tx.Bucket(bucketMeta)
		for i, e := range entries {
			position := binary.BigEndian.AppendUint64(nil, next+uint64(i))
			// The first of several equal entries is the one that is given out.
			if leaves.Get(e.leaf[:]) == nil {
				if err := leaves.Put(e.leaf[:], position); err != nil {
					return err
				}
			}
			for _, t := range e.terms {
				key := sha256.Sum256([]byte(t))
				if err := terms.Put(append(key[:], position...), nil); err != nil {
					return err
				}
			}
		}
		end := next + uint64(len(entries))
		return errors.Join(meta.Put([]byte("next"), binary.BigEndian.AppendUint64(nil, end)),
			meta.Put([]byte("last"), entries[len(entries)-1].leaf[:]))
	})
}

// lookup returns the entry that has the leaf hash, if it is indexed.
func (x *index) lookup(leaf [sha256.Size]byte) (position uint64, ok bool, err error) {
	err = x.view(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bucketLeaf).Get(leaf[:]); len(v) == 8 {
			position, ok = binary.BigEndian.Uint64(v), true
		}
		return nil
	})
	return position, ok, err
}

// find returns at most limit entries from the position from on that have the term.
func (x *index) find(term string, from uint64, limit int) (positions []uint64, err error) {
	prefix := sha256.Sum256([]byte(term))
	err = x.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketTerm).Cursor()
		for k, _ := c.Seek(binary.BigEndian.AppendUint64(prefix[:], from)); len(k) == sha256.Size+8; k, _ = c.Next() {
			if !bytes.Equal(k[:sha256.Size], prefix[:]) || len(positions) == limit {
				break
			}
			positions = append(positions, binary.BigEndian.Uint64(k[sha256.Size:]))
		}
		return nil
	})
	return positions, err
}

func (x *index) close() error { return x.db.Close() }
