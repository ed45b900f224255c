//go:build linux

package crash

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// logView is one of the two logs as a client sees it: by its tiles.
type logView struct {
	at    *place
	path  string // below which it lies
	size  int64
	root  [tlog.HashSize]byte
	tiles map[tlog.Tile][]byte
}

// audit asks the server on the state in dir for proof of everything in the ledger, and that each log only grew. What it sees becomes part of the
// ledger, so that the next audit asks for that too.
func (l *ledger) audit(ctx context.Context, dir string) error {
	root, err := trustedRoot(dir)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	log, err := l.view(ctx, "")
	if err != nil {
		return err
	}
	if err := log.signed(l.checkpoints[""], root.Logs); err != nil {
		return err
	}
	for _, e := range l.entries {
		if err := log.includes(e.index, tlog.LeafHash(e.body)); err != nil {
			return fmt.Errorf("an acknowledged entry of the transparency log: %w", err)
		}
	}
	if len(root.CTLogs) != 1 {
		return fmt.Errorf("%d CT logs in the trusted root", len(root.CTLogs))
	}
	base, err := url.Parse(root.CTLogs[0].BaseURL)
	if err != nil {
		return err
	}
	ct, err := l.ctView(ctx, base.Path)
	if err != nil {
		return err
	}
	for _, c := range l.certificates {
		if err := ct.promised(ctx, c, root.CTLogs[0].Key); err != nil {
			return fmt.Errorf("the CT log's promise in a certificate: %w", err)
		}
	}
	return nil
}

// trustedRoot is what the server's TUF repository publishes, from the copy that init leaves for people.
func trustedRoot(dir string) (*trust.Root, error) {
	data, err := os.ReadFile(filepath.Join(dir, "public", "trusted_root.json"))
	if err != nil {
		return nil, err
	}
	return trust.DecodeRoot(data)
}

// view reads a log's checkpoint and holds it against every one that was seen before.
func (l *ledger) view(ctx context.Context, path string) (*logView, error) {
	note, err := l.at.read(ctx, path+"/checkpoint")
	if err != nil {
		return nil, err
	}
	now, err := tlog.ParseCheckpoint(string(note))
	if err != nil {
		return nil, err
	}
	v := &logView{at: l.at, path: path, size: now.Size, root: now.Root, tiles: map[tlog.Tile][]byte{}}
	for _, seen := range append(l.checkpoints[path], string(note)) {
		c, err := tlog.ParseCheckpoint(seen)
		if err != nil {
			return nil, err
		}
		if c.Size > v.size {
			return nil, fmt.Errorf("the log %q had %d entries and has %d", path, c.Size, v.size)
		}
		root, err := tlog.RootFromTiles(c.Size, v.reader(ctx))
		if err != nil {
			return nil, fmt.Errorf("the log %q at size %d: %w", path, c.Size, err)
		}
		if root != c.Root {
			return nil, fmt.Errorf("the log %q forked: its tiles at size %d are not what was signed", path, c.Size)
		}
	}
	l.checkpoints[path] = append(l.checkpoints[path], string(note))
	return v, nil
}

// publication is how long the CT log may take from an SCT to a checkpoint that covers it: its interval is a second.
const publication = time.Minute

// ctView is view once the checkpoint covers every certificate: an SCT promises that it soon will.
func (l *ledger) ctView(ctx context.Context, path string) (*logView, error) {
	for deadline := time.Now().Add(publication); ; time.Sleep(50 * time.Millisecond) {
		v, err := l.view(ctx, path)
		if err != nil || l.covered(v.size) || time.Now().After(deadline) {
			return v, err
		}
	}
}

func (l *ledger) covered(size int64) bool {
	for _, c := range l.certificates {
		scts, err := embedded(c)
		if err != nil {
			return true // for promised to say
		}
		if index, err := leafIndex(scts[0].Extensions); err == nil && index >= size {
			return false
		}
	}
	return true
}

func (v *logView) reader(ctx context.Context) tlog.TileReader {
	return func(t tlog.Tile) ([]byte, error) {
		if data, ok := v.tiles[t]; ok {
			return data, nil
		}
		data, err := v.at.read(ctx, v.path+"/"+t.Path())
		if err == nil {
			v.tiles[t] = data
		}
		return data, err
	}
}

// signed checks that the log's key signed the checkpoints that came with entries.
func (v *logView) signed(checkpoints []string, logs []trust.Log) error {
	for _, envelope := range checkpoints {
		c, err := tlog.ParseCheckpoint(envelope)
		if err != nil {
			return err
		}
		var valid bool
		for _, l := range logs {
			if c.VerifySignature("localhost", l.CheckpointID, l.Key) == nil {
				valid = true
			}
		}
		if !valid {
			return fmt.Errorf("a checkpoint that no log of the trusted root signed:\n%s", envelope)
		}
	}
	return nil
}

func (v *logView) includes(index int64, leaf [tlog.HashSize]byte) error {
	if index >= v.size {
		return fmt.Errorf("index %d of a log with %d entries", index, v.size)
	}
	proof, err := tlog.ProofFromTiles(index, v.size, v.reader(context.Background()))
	if err != nil {
		return err
	}
	return tlog.VerifyInclusion(index, v.size, leaf, v.root, proof)
}

// promised checks that the log has what its SCT in the certificate says: the SCT's signature is over the very bytes of the
// entry at the index that it names (RFC 6962 3.2 and 3.4 sign and hash the same bytes).
func (v *logView) promised(ctx context.Context, c *x509.Certificate, key any) error {
	scts, err := embedded(c)
	if err != nil {
		return err
	}
	index, err := leafIndex(scts[0].Extensions)
	if err != nil {
		return err
	}
	if index >= v.size {
		return fmt.Errorf("leaf %d of a CT log with %d entries", index, v.size)
	}
	leaf, err := v.leaf(ctx, index)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(leaf)
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(public, digest[:], scts[0].Signature) {
		return fmt.Errorf("leaf %d is not what the SCT is about", index)
	}
	return v.includes(index, tlog.LeafHash(leaf))
}

// embedded returns the certificate's one SCT.
func embedded(c *x509.Certificate) ([]identity.SCT, error) {
	cert, err := identity.FromX509(c)
	if err != nil {
		return nil, err
	}
	scts, err := cert.EmbeddedSCTs()
	if err == nil && len(scts) != 1 {
		err = fmt.Errorf("%d SCTs", len(scts))
	}
	return scts, err
}

// leafIndex reads the extension that says where an entry lies (C2SP static-ct-api).
func leafIndex(extensions []byte) (int64, error) {
	s := cryptobyte.String(extensions)
	var kind uint8
	var data cryptobyte.String
	if !s.ReadUint8(&kind) || kind != 0 || !s.ReadUint16LengthPrefixed(&data) || len(data) != 5 {
		return 0, fmt.Errorf("extensions %x name no leaf", extensions)
	}
	var index int64
	for _, b := range data {
		index = index<<8 | int64(b)
	}
	return index, nil
}

// leaf returns the MerkleTreeLeaf at an index, out of its data tile.
func (v *logView) leaf(ctx context.Context, index int64) ([]byte, error) {
	tile := tlog.Tile{Index: index / tlog.TileWidth, Width: int(min(v.size-index/tlog.TileWidth*tlog.TileWidth, tlog.TileWidth))}
	data, err := v.at.read(ctx, v.path+"/"+strings.Replace(tile.EntriesPath(), "tile/entries/", "tile/data/", 1))
	if err != nil {
		return nil, err
	}
	rest := cryptobyte.String(data)
	for i := tile.Index * tlog.TileWidth; ; i++ {
		start := rest
		var precert, chain cryptobyte.String
		if !skipEntry(&rest) {
			return nil, errors.New("a data tile that is malformed")
		}
		entry := start[:len(start)-len(rest)]
		if !rest.ReadUint24LengthPrefixed(&precert) || !rest.ReadUint16LengthPrefixed(&chain) {
			return nil, errors.New("a data tile that is malformed")
		}
		if i == index {
			return append([]byte{0, 0}, entry...), nil // version v1, leaf type timestamped_entry
		}
	}
}

// skipEntry steps over a TimestampedEntry that is a precertificate; the CA submits nothing else.
func skipEntry(s *cryptobyte.String) bool {
	var kind uint16
	var tbs, extensions cryptobyte.String
	return s.Skip(8) && s.ReadUint16(&kind) && kind == 1 && s.Skip(sha256.Size) &&
		s.ReadUint24LengthPrefixed(&tbs) && s.ReadUint16LengthPrefixed(&extensions)
}
