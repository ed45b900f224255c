// Package cache keeps content that is addressed by its digest in a directory, so that what was read once need not be asked
// of a registry again. It may be used by many processes at once. What it holds is believed no more than what a registry
// sends: each answer is hashed, and what does not have its digest is removed and was never there.
//
// It does not say what there is, or what belongs to what: lists and tags change, and are for the registry to answer.
package cache

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
)

const (
	// maxMediaType bounds the line before the content; media types have less than 256 bytes (RFC 6838, 4.2).
	maxMediaType = 256
	// share is the part of a cache that one entry may take: larger ones would drive out everything else.
	share = 8
	// touch is how old an entry may look that is still used; it keeps reading from writing each time.
	touch = time.Hour
	// abandoned is the age at which a file that is no entry may go: whoever wrote it is gone.
	abandoned = 24 * time.Hour
)

// Cache is a directory of content. It may be used by several goroutines at once.
type Cache struct {
	dir   string
	limit int64

	mu   sync.Mutex
	used int64 // bytes, as far as this process knows; negative: not looked yet
}

// Open returns the cache in a directory, which is made when it is missing, readable by its owner only. It keeps about limit
// bytes: when an entry goes above, those that were not used for longest are removed; processes that write at the same time
// know of each other only when they look again.
func Open(dir string, limit int64) (*Cache, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("cache %s: its size is %d bytes, want more than none", dir, limit)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return &Cache{dir: dir, limit: limit, used: -1}, nil
}

// path is where a digest's content is; empty for what is no digest.
func (c *Cache) path(digest string) string {
	algorithm, value, _ := strings.Cut(digest, ":")
	length := map[string]int{"sha256": 2 * sha256.Size, "sha512": 2 * sha512.Size}[algorithm]
	if length == 0 || len(value) != length || strings.Trim(value, "0123456789abcdef") != "" {
		return ""
	}
	return filepath.Join(c.dir, algorithm, value[:2], value[2:])
}

// Get returns content of at most limit bytes by its digest, and the media type that it was kept with, which nothing
// vouches for. A nil Cache is empty.
func (c *Cache) Get(digest string, limit int64) (content []byte, mediaType string, ok bool) {
	if c == nil {
		return nil, "", false
	}
	path := c.path(digest)
	f, err := os.Open(path)
	if path == "" || err != nil {
		return nil, "", false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+maxMediaType+1))
	if err != nil {
		return nil, "", false
	}
	kind, content, found := bytes.Cut(data, []byte{'\n'})
	if !found || len(kind) >= maxMediaType || int64(len(content)) > limit || hash(digest, content) != digest {
		if int64(len(data)) <= limit { // otherwise it may be whole, and too large for who asks
			_ = os.Remove(path) // if it cannot be removed, it is not believed the next time either
		}
		return nil, "", false
	}
	if at, err := f.Stat(); err == nil && time.Since(at.ModTime()) > touch {
		_ = os.Chtimes(path, time.Time{}, time.Now()) // it may go sooner than it should
	}
	return content, string(kind), true
}

// Put keeps content that has the digest. That it could not be kept is not an error of whoever has the content; the error
// is for a log. A nil Cache keeps nothing.
func (c *Cache) Put(digest, mediaType string, content []byte) error {
	if c == nil || int64(len(content)) > c.limit/share {
		return nil
	}
	path := c.path(digest)
	if path == "" || strings.ContainsRune(mediaType, '\n') || len(mediaType) >= maxMediaType || hash(digest, content) != digest {
		return fmt.Errorf("cache: %q is not kept: the content does not have this digest, or its media type is none", digest)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	data := slices.Concat([]byte(mediaType), []byte{'\n'}, content)
	if err := durable.WriteVolatile(path, data, 0o600); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return c.grew(int64(len(data)))
}

// grew counts what was added, and makes room.
func (c *Cache) grew(by int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used >= 0 && c.used+by <= c.limit {
		c.used += by
		return nil
	}
	entries, total, err := c.entries()
	if err != nil {
		return err
	}
	if c.used = total; total <= c.limit {
		return nil
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	// A quarter at a time, so that not every entry after it has to look again.
	for _, e := range entries {
		if c.used <= c.limit/4*3 {
			break
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cache: %w", err)
		}
		c.used -= e.size
	}
	return nil
}

type entry struct {
	path string
	size int64
	used time.Time
}

// entries looks at all there is. Files of those who are writing right now are counted and stay.
func (c *Cache) entries() (list []entry, total int64, err error) {
	for _, algorithm := range []string{"sha256", "sha512"} {
		err = filepath.WalkDir(filepath.Join(c.dir, algorithm), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went meanwhile
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return nil // it went meanwhile
			}
			total += info.Size()
			rel, _ := filepath.Rel(filepath.Join(c.dir, algorithm), path) // both are absolute or both are not
			if c.path(algorithm+":"+strings.ReplaceAll(filepath.ToSlash(rel), "/", "")) != "" || time.Since(info.ModTime()) > abandoned {
				list = append(list, entry{path, info.Size(), info.ModTime()})
			}
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("cache: %w", err)
		}
	}
	return list, total, nil
}

// hash is the digest of content by the algorithm of another digest.
func hash(like string, content []byte) string {
	if strings.HasPrefix(like, "sha512:") {
		sum := sha512.Sum512(content)
		return "sha512:" + hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
