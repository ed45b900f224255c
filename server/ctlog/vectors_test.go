package ctlog

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// sunlight is a log that Sunlight wrote.
type sunlight struct {
	dir   string
	heads *headSigner
	head  struct {
		Root []byte `json:"sha256_root_hash"`
		Time uint64 `json:"timestamp"`
		Size uint64 `json:"tree_size"`
	}
}

func openSunlight(t testing.TB) *sunlight {
	t.Helper()
	l := &sunlight{dir: filepath.Join(testenv.Vectors(t), "tlog/sunlight-skylight/tree")}
	var described struct {
		Name string `json:"description"`
		Key  []byte `json:"key"`
		ID   []byte `json:"log_id"`
		Head any    `json:"final_tree_head"`
	}
	described.Head = &l.head
	if err := json.Unmarshal(l.read(t, "log.v3.json"), &described); err != nil {
		t.Fatal(err)
	}
	pub, err := x509.ParsePKIXPublicKey(described.Key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{PublicKey: pub.(*ecdsa.PublicKey), Tree: treelog.Config{Origin: described.Name}}
	id := sha256.Sum256(described.Key)
	if string(id[:]) != string(described.ID) {
		t.Fatal("log_id is not the hash of the key")
	}
	l.heads = newHeadSigner(cfg, id)
	return l
}

func (l *sunlight) read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The checkpoint of another implementation verifies: key ID, RFC6962NoteSignature, TreeHeadSignature.
func TestSunlightCheckpoint(t *testing.T) {
	l := openSunlight(t)
	checkpoint := l.read(t, "checkpoint")
	head, err := l.heads.open(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if head.size != l.head.Size || head.timestamp != l.head.Time || string(head.root[:]) != string(l.head.Root) {
		t.Errorf("%+v, want %+v", head, l.head)
	}
	for i := range checkpoint {
		broken := append([]byte(nil), checkpoint...)
		broken[i] ^= 4
		if _, err := l.heads.open(broken); err == nil {
			t.Errorf("verifies with byte %d changed", i)
		}
	}
}

// checkPrecert checks that a precertificate, where there is one, makes the TBSCertificate of its entry.
func checkPrecert(t *testing.T, at int, leaf *tileLeaf) {
	t.Helper()
	if leaf.precertificate == nil {
		return
	}
	cert, err := x509.ParseCertificate(leaf.precertificate)
	if err != nil {
		t.Fatalf("entry %d: %v", at, err)
	}
	s := cryptobyte.String(leaf.timestamped)
	var tbs cryptobyte.String
	if !s.Skip(10+32) || !s.ReadUint24LengthPrefixed(&tbs) {
		t.Fatalf("entry %d: malformed", at)
	}
	got, err := withoutPoison(cert.RawTBSCertificate)
	if err != nil || string(got) != string(tbs) {
		t.Errorf("entry %d: TBSCertificate differs: %v", at, err)
	}
}

// Real entries of a public log: they hash to its tile, name their own index, and without the poison the precertificates are
// what the log signed.
func TestNavigliEntries(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(testenv.Vectors(t), "tlog/sunlight-navigli2025h2/tile", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	hashes := read("0/003.p/10")
	entries, err := treelog.CT.Split(read("data/003.p/10"))
	if err != nil || len(entries) != 10 || len(hashes) != 10*tlog.HashSize {
		t.Fatalf("%d entries, %d bytes of hashes: %v", len(entries), len(hashes), err)
	}
	precerts := 0
	for i, data := range entries {
		leaf, err := parseTileLeaf(data)
		if err != nil {
			t.Fatal(err)
		}
		if hash := tlog.LeafHash(append([]byte{0, 0}, leaf.timestamped...)); string(hash[:]) != string(hashes[i*tlog.HashSize:][:tlog.HashSize]) {
			t.Errorf("entry %d: leaf hash %x", i, hash)
		}
		if ext := string(leaf.timestamped[len(leaf.timestamped)-8:]); ext != string(leafIndex(uint64(3*tlog.TileWidth+i))) {
			t.Errorf("entry %d: extensions %x", i, ext)
		}
		if leaf.precertificate != nil {
			precerts++
			checkPrecert(t, i, leaf)
		}
	}
	if precerts == 0 {
		t.Error("no precertificates")
	}
}
