package monitor

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/tlog"
)

const testOrigin = "log.bulla.test"

// treeLog is a log that serves what it is told to, honestly or not. Trees and signatures are computed here anew.
type treeLog struct {
	kind Kind
	key  crypto.Signer

	mu       sync.Mutex
	entries  [][]byte // as they stand in bundles, without length prefixes
	origin   string
	signWith crypto.Signer // instead of key
	at       time.Time     // of CT tree heads
	note     string        // instead of the checkpoint
	tamper   func(path string, data []byte) []byte
	pruned   bool // partial tiles are gone where full ones are there
	status   int  // instead of any answer
	asked    []string
}

func newTreeLog(t testing.TB, kind Kind) *treeLog {
	t.Helper()
	l := &treeLog{kind: kind, origin: testOrigin, at: mint.Epoch}
	if kind == CT {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		l.key = key
		return l
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l.key = key
	return l
}

// fill adds entries of no interest, up to a size.
func (l *treeLog) fill(n int) {
	for i := len(l.entries); i < n; i++ {
		l.entries = append(l.entries, l.filler(fmt.Sprint("entry ", i)))
	}
}

func (l *treeLog) filler(text string) []byte {
	if l.kind == CT {
		return leafOf(0, nil, []byte(text))
	}
	return []byte(text)
}

// leafOf is a TileLeaf: a certificate, or with an issuer's key hash a TBSCertificate.
func leafOf(kind uint16, issuer, content []byte) []byte {
	var b cryptobyte.Builder
	b.AddUint64(1)
	b.AddUint16(kind)
	b.AddBytes(issuer)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(content) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 0, 5, 0, 0, 0, 0, 1}) })
	if kind == 1 {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("precertificate")) })
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 64)) })
	return b.BytesOrPanic()
}

func (l *treeLog) leaf(i int) hash {
	data := l.entries[i]
	if l.kind == CT { // without what follows the extensions
		s := cryptobyte.String(data)
		kind := binary.BigEndian.Uint16(data[8:])
		var skip cryptobyte.String
		s.Skip(10)
		if kind == 1 {
			s.Skip(32)
		}
		s.ReadUint24LengthPrefixed(&skip)
		s.ReadUint16LengthPrefixed(&skip)
		data = append([]byte{0, 0}, data[:len(data)-len(s)]...)
	}
	return sha256.Sum256(append([]byte{0}, data...))
}

// mth is MTH of RFC 6962 2.1, literally, over entries from to to.
func (l *treeLog) mth(from, to int) hash {
	switch n := to - from; n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return l.leaf(from)
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		left, right := l.mth(from, from+k), l.mth(from+k, to)
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

func (l *treeLog) checkpoint() string {
	size, root := len(l.entries), l.mth(0, len(l.entries))
	text := fmt.Sprintf("%s\n%d\n%s\n", l.origin, size, base64.StdEncoding.EncodeToString(root[:]))
	key := l.key
	if l.signWith != nil {
		key = l.signWith
	}
	var sig []byte
	if l.kind == CT {
		spki, _ := x509.MarshalPKIXPublicKey(key.Public())
		id := sha256.Sum256(spki)
		hint := sha256.Sum256(append([]byte(l.origin+"\n\x05"), id[:]...))
		var head cryptobyte.Builder
		head.AddUint8(0)
		head.AddUint8(1)
		head.AddUint64(uint64(l.at.UnixMilli()))
		head.AddUint64(uint64(size))
		head.AddBytes(root[:])
		sum := sha256.Sum256(head.BytesOrPanic())
		raw, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			panic(err)
		}
		var b cryptobyte.Builder
		b.AddBytes(hint[:4])
		b.AddUint64(uint64(l.at.UnixMilli()))
		b.AddUint8(4)
		b.AddUint8(3)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(raw) })
		sig = b.BytesOrPanic()
	} else {
		hint := sha256.Sum256(append([]byte(l.origin+"\n\x01"), key.Public().(ed25519.PublicKey)...))
		raw, err := key.Sign(rand.Reader, []byte(text), crypto.Hash(0))
		if err != nil {
			panic(err)
		}
		sig = append(hint[:4:4], raw...)
	}
	return text + "\n— " + l.origin + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// ServeHTTP serves checkpoint, tiles and bundles.
func (l *treeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	l.asked = append(l.asked, path)
	if l.status != 0 {
		w.WriteHeader(l.status)
		return
	}
	var data []byte
	switch {
	case path == "checkpoint" && l.note != "":
		data = []byte(l.note)
	case path == "checkpoint":
		data = []byte(l.checkpoint())
	default:
		if data = l.tile(path); data == nil {
			http.NotFound(w, r)
			return
		}
	}
	if l.tamper != nil {
		data = l.tamper(path, data)
	}
	if l.kind == CT && strings.Contains(path, "/data/") { // as real ones do
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(data)
		_ = z.Close()
		return
	}
	_, _ = w.Write(data)
}

// tile answers "tile/<L>/<N>[.p/<W>]" and the bundles.
func (l *treeLog) tile(path string) []byte {
	rest, ok := strings.CutPrefix(path, "tile/")
	level, name, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return nil
	}
	name, w, partial := strings.Cut(name, ".p/")
	width := 256
	if partial {
		width, _ = strconv.Atoi(w)
	}
	index := 0
	for _, part := range strings.Split(name, "/") {
		n, err := strconv.Atoi(strings.TrimPrefix(part, "x"))
		if err != nil {
			return nil
		}
		index = index*1000 + n
	}
	if level == "entries" || level == "data" {
		if (level == "data") != (l.kind == CT) || index*256+width > len(l.entries) || partial && l.pruned && (index+1)*256 <= len(l.entries) {
			return nil
		}
		var out bytes.Buffer
		for _, e := range l.entries[index*256 : index*256+width] {
			if l.kind == Rekor {
				_ = binary.Write(&out, binary.BigEndian, uint16(len(e)))
			}
			out.Write(e)
		}
		return out.Bytes()
	}
	depth, err := strconv.Atoi(level)
	if err != nil {
		return nil
	}
	span := 1
	for range depth {
		span *= 256
	}
	if (index*256+width)*span > len(l.entries) || partial && l.pruned && (index+1)*256*span <= len(l.entries) {
		return nil
	}
	var out []byte
	for i := range width {
		h := l.mth((index*256+i)*span, (index*256+i+1)*span)
		out = append(out, h[:]...)
	}
	return out
}

func (l *treeLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// bench is a monitor of one log, looked through step by step.
type bench struct {
	*follower
	t       testing.TB
	log     *treeLog
	conf    Log
	cfg     *Config
	watches []Watch
	path    string
	clock   time.Time
	logged  bytes.Buffer
}

func watchLog(t testing.TB, l *treeLog, watches ...Watch) *bench {
	t.Helper()
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	b := &bench{
		t: t, log: l, watches: watches, path: filepath.Join(t.TempDir(), "log.json"), clock: mint.Epoch,
		conf: Log{Name: "log", Kind: l.kind, URL: srv.URL, Origin: testOrigin, Key: l.key.Public()},
	}
	b.reopen()
	return b
}

// reopen is a restart.
func (b *bench) reopen() {
	b.t.Helper()
	if err := b.tryReopen(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) tryReopen() error {
	cfg, err := Config{
		Logs: []Log{b.conf}, Dir: filepath.Dir(b.path), Now: func() time.Time { return b.clock }, Log: slog.New(slog.NewTextHandler(&b.logged, nil)),
	}.filled()
	if err != nil {
		return err
	}
	b.cfg = &cfg
	watches, err := newWatches(b.watches)
	if err != nil {
		return err
	}
	m, err := newMetrics(nil)
	if err != nil {
		return err
	}
	b.follower, err = newFollower(b.conf, b.cfg, watches, m, b.path)
	return err
}

// lookAll looks until there is nothing more to read.
func (b *bench) lookAll() {
	b.t.Helper()
	for range 1000 {
		if !b.look(b.t.Context()) {
			return
		}
	}
	b.t.Fatal("it never ends")
}

// want looks, and compares the alarms, in their order.
func (b *bench) want(alarms ...Alarm) {
	b.t.Helper()
	b.lookAll()
	var got []Alarm
	var texts []string
	for _, r := range b.follower.status().Alarms {
		got = append(got, r.Alarm)
		texts = append(texts, r.Text)
	}
	if fmt.Sprint(got) != fmt.Sprint(alarms) {
		b.t.Errorf("alarms %v, want %v: %q", got, alarms, texts)
	}
}

func (b *bench) wantRead(n int64) {
	b.t.Helper()
	if s := b.follower.status(); s.Read != n || s.Size != n {
		b.t.Errorf("read %d of %d, want %d", s.Read, s.Size, n)
	}
}

// requests are those for bundles since the last call.
func (l *treeLog) requests() (bundles int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.asked {
		if strings.Contains(p, "/entries/") || strings.Contains(p, "/data/") {
			bundles++
		}
	}
	l.asked = nil
	return bundles
}

// rekorBody is an entry of a log of signatures: of a certificate, or of its key alone.
func rekorBody(t testing.TB, cert []byte, key crypto.PublicKey) []byte {
	t.Helper()
	s := tlog.BodySignature{Signature: []byte("signature"), Certificate: cert, Details: algorithm.ECDSAP256SHA256}
	if cert == nil {
		s.PublicKey = mint.SPKI(t, key)
	}
	body, err := tlog.HashedRekordV2Body(tlog.Digest{Hash: crypto.SHA256, Sum: make([]byte, 32)}, s)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// tamperedTiles reads the log's tiles with some bytes changed.
func tamperedTiles(l *treeLog, at int, change []byte) tlog.TileReader {
	return func(tile tlog.Tile) ([]byte, error) {
		data := l.tile(tile.Path())
		if data == nil {
			return nil, fmt.Errorf("no %s", tile.Path())
		}
		data = bytes.Clone(data)
		for i, c := range change {
			data[(at+i)%len(data)] ^= c
		}
		return data, nil
	}
}
