package log

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

const baseURL = "https://log.example.com"

// world is where a log lives: it can be opened again and again.
type world struct {
	dir string
	key crypto.Signer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &world{dir: t.TempDir(), key: key}
}

func (w *world) config(t testing.TB) Config {
	t.Helper()
	lock, err := treelog.NewFileLock(filepath.Join(w.dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		BaseURL: baseURL, Dir: filepath.Join(w.dir, "tree"), IndexFile: filepath.Join(w.dir, "index.db"), Key: w.key, Lock: lock,
		Window: trust.Window{Start: time.Unix(1700000000, 0)},
	}
}

func (w *world) open(t testing.TB, change ...func(*Config)) (*Log, *httptest.Server) {
	t.Helper()
	cfg := w.config(t)
	for _, c := range change {
		c(&cfg)
	}
	l, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, p := range l.Patterns() {
		mux.Handle(p, l)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(func() { shut(t, l, srv) })
	return l, srv
}

// shut may be called twice.
func shut(t testing.TB, l *Log, srv *httptest.Server) {
	t.Helper()
	srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// signer signs uploads.
type signer struct {
	key     crypto.Signer
	details algorithm.Details
	cert    []byte // nil: uploads the public key
}

func ecdsaSigner(t testing.TB) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key: key, details: algorithm.ECDSAP256SHA256}
}

func (s *signer) verifier(t testing.TB) map[string]any {
	t.Helper()
	if s.cert != nil {
		return map[string]any{"x509Certificate": map[string]any{"rawBytes": s.cert}, "keyDetails": s.details.String()}
	}
	der, err := algorithm.MarshalPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"publicKey": map[string]any{"rawBytes": der}, "keyDetails": s.details.String()}
}

func (s *signer) sign(t testing.TB, digest []byte) []byte {
	t.Helper()
	alg, err := algorithm.ForDetails(s.details)
	if err != nil {
		t.Fatal(err)
	}
	var opts crypto.SignerOpts = alg.Hash()
	if s.details == algorithm.Ed25519ph {
		opts = &ed25519.Options{Hash: crypto.SHA512}
	}
	sig, err := s.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// upload forms a request over a message.
func (s *signer) upload(t testing.TB, message string) map[string]any {
	t.Helper()
	alg, err := algorithm.ForDetails(s.details)
	if err != nil {
		t.Fatal(err)
	}
	h := alg.Hash().New()
	h.Write([]byte(message))
	digest := h.Sum(nil)
	return map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest":    digest,
		"signature": map[string]any{"content": s.sign(t, digest), "verifier": s.verifier(t)},
	}}
}

func post(t testing.TB, srv *httptest.Server, request any) (int, http.Header, []byte) {
	t.Helper()
	body, ok := request.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(request); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Post(srv.URL+"/api/v2/log/entries", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, answer
}

func get(t testing.TB, srv *httptest.Server, path string) (int, http.Header, []byte) {
	t.Helper()
	resp, err := http.Get(srv.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, answer
}

// entry reads an answer, and verifies it as a client would.
func entry(t testing.TB, l *Log, answer []byte) *tlog.Entry {
	t.Helper()
	var a struct {
		LogIndex       string
		LogID          struct{ KeyID []byte }
		KindVersion    struct{ Kind, Version string }
		IntegratedTime string
		InclusionProof struct {
			LogIndex, TreeSize string
			RootHash           []byte
			Hashes             [][]byte
			Checkpoint         struct{ Envelope string }
		}
		CanonicalizedBody []byte
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	e := &tlog.Entry{
		LogIndex: number(t, a.LogIndex), LogID: a.LogID.KeyID, Kind: a.KindVersion.Kind, Version: a.KindVersion.Version,
		IntegratedTime: number(t, a.IntegratedTime), Body: a.CanonicalizedBody,
		Proof: &tlog.InclusionProof{
			LogIndex: number(t, a.InclusionProof.LogIndex), TreeSize: number(t, a.InclusionProof.TreeSize),
			RootHash: a.InclusionProof.RootHash, Hashes: a.InclusionProof.Hashes, Checkpoint: a.InclusionProof.Checkpoint.Envelope,
		},
	}
	verifyEntry(t, l, e)
	return e
}

func number(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func verifyEntry(t testing.TB, l *Log, e *tlog.Entry) {
	t.Helper()
	trusted, err := l.TrustedLog()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.LogID, trusted.ID) {
		t.Errorf("log ID is %x, in the trusted root %x", e.LogID, trusted.ID)
	}
	if err := e.Proof.Verify(tlog.LeafHash(e.Body)); err != nil {
		t.Error(err)
	}
	cp, err := tlog.ParseCheckpoint(e.Proof.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.VerifySignature(trusted.Name(), trusted.ID, trusted.Key); err != nil {
		t.Error(err)
	}
	if err := cp.VerifyHead(e.Proof.TreeSize, e.Proof.RootHash); err != nil {
		t.Error(err)
	}
}

func TestUpload(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t)
	s := ecdsaSigner(t)
	request := s.upload(t, "hello")
	status, header, answer := post(t, srv, request)
	if status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	if got := header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type is %q", got)
	}
	e := entry(t, l, answer)
	sum := sha256.Sum256([]byte("hello"))
	der, _ := algorithm.MarshalPublicKey(s.key.Public())
	sig := request["hashedRekordRequestV002"].(map[string]any)["signature"].(map[string]any)["content"].([]byte)
	b64 := base64.StdEncoding.EncodeToString
	want := fmt.Sprintf(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},`+
		`"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}}`,
		b64(sum[:]), b64(sig), b64(der))
	if string(e.Body) != want {
		t.Errorf("body is\n%s, want\n%s", e.Body, want)
	}
	if !bytes.Contains(answer, []byte(`"integratedTime":"0","inclusionPromise":null,`)) {
		t.Errorf("the answer lacks the fields that Rekor never fills: %s", answer)
	}
}

func TestRepeatedUploadIsTheSameEntry(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t)
	request := ecdsaSigner(t).upload(t, "hello")
	var first *tlog.Entry
	same := func() {
		t.Helper()
		status, _, answer := post(t, srv, request)
		if status != http.StatusCreated {
			t.Fatalf("%d: %s", status, answer)
		}
		e := entry(t, l, answer)
		if first == nil {
			first = e
		}
		if e.LogIndex != first.LogIndex || !bytes.Equal(e.Body, first.Body) {
			t.Errorf("the repeated upload is entry %d, the first was %d", e.LogIndex, first.LogIndex)
		}
	}
	same()
	same()
	post(t, srv, ecdsaSigner(t).upload(t, "another"))
	same()
	shut(t, l, srv)
	l, srv = w.open(t)
	same()
	if size, _, _ := l.Head(); size != 2 {
		t.Errorf("the log has %d entries", size)
	}
}
