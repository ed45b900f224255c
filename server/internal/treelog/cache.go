package treelog

import "sync"

// maxCached bounds the hash tiles kept in memory, 8 KiB each at most: the right edge of the tree, and what proofs of
// recent entries lead past.
const maxCached = 512

// cacheKey names the content of a tile: that never changes for a given width.
type cacheKey struct {
	level, index uint64
	width        int
}

// tileCache keeps hash tiles that were read lately.
type tileCache struct {
	mu    sync.RWMutex
	tiles map[cacheKey][]byte
}

func (c *tileCache) get(k cacheKey) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tiles[k]
}

// put throws out any tile when there are too many. Which one hardly matters: all are read again in microseconds.
func (c *tileCache) put(k cacheKey, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tiles == nil {
		c.tiles = make(map[cacheKey][]byte, maxCached)
	}
	for old := range c.tiles {
		if len(c.tiles) < maxCached {
			break
		}
		delete(c.tiles, old)
	}
	c.tiles[k] = data
}
