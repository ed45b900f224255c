package treelog

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/tlog"
)

// Split takes a bundle apart into its entries, at most 256: for [Entries] without their length prefixes, for [CT] the
// TileLeaf structures whole. The entries share memory with data.
func (y Layout) Split(data []byte) ([][]byte, error) {
	entries := make([][]byte, 0, tlog.TileWidth)
	rest := cryptobyte.String(data)
	for !rest.Empty() {
		if len(entries) == tlog.TileWidth {
			return nil, fmt.Errorf("bundle: more than %d entries", tlog.TileWidth)
		}
		entry, ok := y.next(&rest)
		if !ok {
			return nil, fmt.Errorf("bundle: entry %d is cut off or malformed", len(entries))
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// head returns the bytes of a bundle's first n entries.
func (y Layout) head(data []byte, n int) ([]byte, error) {
	rest := cryptobyte.String(data)
	for i := range n {
		if _, ok := y.next(&rest); !ok {
			return nil, fmt.Errorf("bundle: entry %d is cut off or malformed", i)
		}
	}
	return data[:len(data)-len(rest)], nil
}

// next reads one entry.
func (y Layout) next(s *cryptobyte.String) ([]byte, bool) {
	if y == Entries {
		var entry cryptobyte.String
		ok := s.ReadUint16LengthPrefixed(&entry)
		return entry, ok
	}
	start := *s
	leaf, ok := readTileLeaf(s)
	if !ok {
		return nil, false
	}
	_ = leaf
	return start[:len(start)-len(*s)], true
}

// LeafHash returns the Merkle tree hash of an entry as [Layout.Split] returns it.
func (y Layout) LeafHash(entry []byte) ([tlog.HashSize]byte, error) {
	if y == Entries {
		return tlog.LeafHash(entry), nil
	}
	s := cryptobyte.String(entry)
	timestamped, ok := readTileLeaf(&s)
	if !ok || !s.Empty() {
		return [tlog.HashSize]byte{}, errors.New("entry: not a TileLeaf")
	}
	// MerkleTreeLeaf (RFC 6962 3.4): version v1, leaf_type timestamped_entry, TimestampedEntry.
	return tlog.LeafHash(append([]byte{0, 0}, timestamped...)), nil
}

// readTileLeaf reads a TileLeaf (C2SP static-ct-api, "Log entries") and returns the TimestampedEntry that it begins with.
func readTileLeaf(s *cryptobyte.String) (timestamped []byte, ok bool) {
	start := *s
	var kind uint16
	var skip cryptobyte.String
	if !s.Skip(8) || !s.ReadUint16(&kind) || kind > 1 {
		return nil, false
	}
	if kind == 1 && !s.Skip(tlog.HashSize) {
		return nil, false
	}
	if !s.ReadUint24LengthPrefixed(&skip) || !s.ReadUint16LengthPrefixed(&skip) {
		return nil, false
	}
	timestamped = start[:len(start)-len(*s)]
	if kind == 1 && !s.ReadUint24LengthPrefixed(&skip) {
		return nil, false
	}
	return timestamped, s.ReadUint16LengthPrefixed(&skip) && len(skip)%tlog.HashSize == 0
}
