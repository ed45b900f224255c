package ctlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

const (
	// maxAnswer ends an answer of get-entries early, in bytes before base64: entries can be large, and each repeats its chain.
	maxAnswer = 4 << 20
)

// errNoHead is the answer to all who ask before the first checkpoint.
var errNoHead = errors.New("no tree head is published yet")

// head returns the published head.
func (s *Server) head() (treeHead, error) {
	h, ok := s.tree.Head()
	if !ok {
		return treeHead{}, errNoHead
	}
	return s.heads.open(h.Checkpoint)
}

// getRoots answers get-roots (RFC 6962 4.7).
func (s *Server) getRoots(*http.Request) (any, error) {
	roots := [][]byte{}
	if a := s.accept.Load(); a != nil {
		for _, root := range a.roots {
			roots = append(roots, root.Raw)
		}
	}
	return map[string]any{"certificates": roots}, nil
}

// getSTH answers get-sth (RFC 6962 4.3).
func (s *Server) getSTH(*http.Request) (any, error) {
	h, err := s.head()
	if err != nil {
		return nil, err
	}
	return struct {
		Size      uint64 `json:"tree_size"`
		Timestamp uint64 `json:"timestamp"`
		Root      []byte `json:"sha256_root_hash"`
		Signature []byte `json:"tree_head_signature"`
	}{h.size, h.timestamp, h.root[:], h.signature}, nil
}

// getConsistency answers get-sth-consistency (RFC 6962 4.4).
func (s *Server) getConsistency(r *http.Request) (any, error) {
	q, err := numbers(r, "first", "second")
	if err != nil {
		return nil, err
	}
	first, second := q[0], q[1]
	if err := s.covers("second", second); err != nil {
		return nil, err
	}
	if first > second {
		return nil, refuse("first: %d is more than second, %d", first, second)
	}
	proof := [][]byte{}
	if first > 0 && first < second { // every tree extends the empty one, and itself
		if proof, err = s.tree.ConsistencyProof(r.Context(), first, second); err != nil {
			return nil, err
		}
	}
	return map[string]any{"consistency": proof}, nil
}

// getProofByHash answers get-proof-by-hash (RFC 6962 4.5).
func (s *Server) getProofByHash(r *http.Request) (any, error) {
	q, err := numbers(r, "tree_size")
	if err != nil {
		return nil, err
	}
	size := q[0]
	text, err := parameter(r, "hash")
	if err != nil {
		return nil, err
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(hash) != tlog.HashSize {
		return nil, refuse("hash: not the base64 of %d bytes", tlog.HashSize)
	}
	if err := s.covers("tree_size", size); err != nil {
		return nil, err
	}
	place, found, err := s.index.find([tlog.HashSize]byte(hash), size)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refuse("hash: no leaf among the first %d has it", size)
	}
	path, err := s.audit(place, size)
	return struct {
		Index uint64   `json:"leaf_index"`
		Path  [][]byte `json:"audit_path"`
	}{place, path}, err
}

// leafEntry is an entry as RFC 6962 4.6 shows it.
type leafEntry struct {
	Leaf  []byte   `json:"leaf_input"`
	Extra []byte   `json:"extra_data"`
	Path  [][]byte `json:"audit_path,omitzero"` // in get-entry-and-proof
}

// getEntries answers get-entries (RFC 6962 4.6, which leaves their number to the log), with fewer entries than were asked
// for where the bundle ends that the first one is in, or they become too large.
func (s *Server) getEntries(r *http.Request) (any, error) {
	q, err := numbers(r, "start", "end")
	if err != nil {
		return nil, err
	}
	start, end := q[0], q[1]
	if start > end {
		return nil, refuse("start: %d is more than end, %d", start, end)
	}
	h, err := s.head()
	if err != nil {
		return nil, err
	}
	if start >= h.size {
		return nil, refuse("start: the log has %d entries", h.size)
	}
	entries, size := []leafEntry{}, 0
	// All from one bundle, which is read once: it has as many entries as one answer at most.
	bundle := start / tlog.TileWidth
	end = min(end, h.size-1, (bundle+1)*tlog.TileWidth-1)
	data, err := s.tree.Bundle(bundle, int(end%tlog.TileWidth)+1)
	if err != nil {
		return nil, err
	}
	all, err := treelog.CT.Split(data)
	if err == nil && len(all) != int(end%tlog.TileWidth)+1 {
		err = fmt.Errorf("%d entries", len(all))
	}
	if err != nil {
		return nil, fmt.Errorf("bundle %d: %w", bundle, err)
	}
	for at := start; at <= end && size < maxAnswer; at++ {
		e, err := s.shown(at, all[at%tlog.TileWidth])
		if err != nil {
			return nil, err
		}
		size += len(e.Leaf) + len(e.Extra)
		entries = append(entries, e)
	}
	return map[string]any{"entries": entries}, nil
}

// getEntryAndProof answers get-entry-and-proof (RFC 6962 4.8).
func (s *Server) getEntryAndProof(r *http.Request) (any, error) {
	q, err := numbers(r, "leaf_index", "tree_size")
	if err != nil {
		return nil, err
	}
	place, size := q[0], q[1]
	if err := s.covers("tree_size", size); err != nil {
		return nil, err
	}
	if place >= size {
		return nil, refuse("leaf_index: a tree of %d entries does not have %d", size, place)
	}
	e, err := s.entry(place)
	if err != nil {
		return nil, err
	}
	e.Path, err = s.audit(place, size)
	return e, err
}

func (s *Server) audit(place, size uint64) ([][]byte, error) {
	path, err := s.tree.InclusionProof(place, size)
	if path == nil {
		path = [][]byte{} // JSON: the empty list
	}
	return path, err
}

// covers checks that a tree of the given size is published.
func (s *Server) covers(name string, size uint64) error {
	h, ok := s.tree.Head()
	if !ok {
		return errNoHead
	}
	if size > h.Size {
		return refuse("%s: %d is more than the published tree, %d", name, size, h.Size)
	}
	return nil
}

// entry reads an entry of the published tree.
func (s *Server) entry(place uint64) (leafEntry, error) {
	data, err := s.tree.Entry(place)
	if err != nil {
		return leafEntry{}, err
	}
	return s.shown(place, data)
}

// shown turns an entry of a data tile into what RFC 6962 shows.
func (s *Server) shown(place uint64, data []byte) (leafEntry, error) {
	leaf, err := parseTileLeaf(data)
	if err != nil {
		return leafEntry{}, fmt.Errorf("entry %d: %w", place, err)
	}
	extra, err := leaf.extraData(s.issuers.get)
	if err != nil {
		return leafEntry{}, fmt.Errorf("entry %d: %w", place, err)
	}
	return leafEntry{Leaf: append([]byte{0, 0}, leaf.timestamped...), Extra: extra}, nil // version v1, leaf_type timestamped_entry
}

// tileLeaf is an entry of a data tile (static-ct-api, "Log entries").
type tileLeaf struct {
	timestamped    []byte // TimestampedEntry
	precertificate []byte // nil for a certificate
	fingerprints   [][32]byte
}

func parseTileLeaf(data []byte) (*tileLeaf, error) {
	s := cryptobyte.String(data)
	var kind uint16
	var signed, extensions, precertificate, chain cryptobyte.String
	ok := s.Skip(8) && s.ReadUint16(&kind) && kind <= 1 && (kind == 0 || s.Skip(32)) &&
		s.ReadUint24LengthPrefixed(&signed) && s.ReadUint16LengthPrefixed(&extensions)
	if !ok {
		return nil, errors.New("malformed TimestampedEntry")
	}
	leaf := &tileLeaf{timestamped: data[:len(data)-len(s)]}
	if kind == 1 {
		if !s.ReadUint24LengthPrefixed(&precertificate) || len(precertificate) == 0 {
			return nil, errors.New("malformed precertificate")
		}
		leaf.precertificate = precertificate
	}
	if !s.ReadUint16LengthPrefixed(&chain) || !s.Empty() || len(chain)%32 != 0 {
		return nil, errors.New("malformed chain of fingerprints")
	}
	for ; len(chain) > 0; chain = chain[32:] {
		leaf.fingerprints = append(leaf.fingerprints, [32]byte(chain))
	}
	return leaf, nil
}

// extraData is the chain of a certificate, or PrecertChainEntry (RFC 6962 4.6).
func (l *tileLeaf) extraData(issuer func([32]byte) []byte) ([]byte, error) {
	var b cryptobyte.Builder
	if l.precertificate != nil {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(l.precertificate) })
	}
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, fingerprint := range l.fingerprints {
			der := issuer(fingerprint)
			if der == nil {
				b.SetError(fmt.Errorf("the issuer %x is not stored", fingerprint))
				return
			}
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		}
	})
	return b.Bytes()
}

// parameter returns a parameter of the query that must be there once.
func parameter(r *http.Request, name string) (string, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", refuse("query: %w", err)
	}
	if len(q[name]) != 1 {
		return "", refuse("%s: must be given once", name)
	}
	return q[name][0], nil
}

// numbers returns parameters that are decimal numbers, in the order of the names.
func numbers(r *http.Request, names ...string) ([]uint64, error) {
	out := make([]uint64, len(names))
	for i, name := range names {
		text, err := parameter(r, name)
		if err != nil {
			return nil, err
		}
		if out[i], err = strconv.ParseUint(text, 10, 63); err != nil {
			return nil, refuse("%s: not a decimal number", name)
		}
	}
	return out, nil
}
