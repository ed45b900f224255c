package ctlog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

const (
	testPrefix = "/ct/2026-1"
	testOrigin = "log.example.com" + testPrefix
)

var present = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// authority is a CA of the tests, written with crypto/x509 alone.
type authority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	parent *authority // nil for a root
	serial atomic.Int64
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
		NotBefore: present.AddDate(-1, 0, 0), NotAfter: present.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

func newRoot(t testing.TB, name string) *authority {
	t.Helper()
	return (*authority)(nil).authority(t, name, nil)
}

// authority issues an authority below a, or a root if a is nil.
func (a *authority) authority(t testing.TB, name string, edit func(*x509.Certificate)) *authority {
	t.Helper()
	sub := &authority{key: newKey(t, elliptic.P256()), parent: a}
	tmpl := caTemplate(name)
	if a != nil {
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	if edit != nil {
		edit(tmpl)
	}
	issuer, key := tmpl, sub.key
	if a != nil {
		issuer, key = a.cert, a.key
	}
	sub.cert = create(t, tmpl, issuer, sub.key.Public(), key)
	return sub
}

func create(t testing.TB, tmpl, issuer *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, issuer, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// template is a leaf as the certificate authority makes them: its extensions are written by hand, in order.
func (a *authority) template() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1000 + a.serial.Add(1)), NotBefore: present, NotAfter: present.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		EmailAddresses: []string{"alice@example.com"},
	}
}

var (
	poison  = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}, Critical: true, Value: []byte{5, 0}}
	sctList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

var leafKey = func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}()

// leaf issues a certificate.
func (a *authority) leaf(t testing.TB, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	tmpl := a.template()
	if edit != nil {
		edit(tmpl)
	}
	return create(t, tmpl, a.cert, leafKey.Public(), a.key)
}

// precert issues a precertificate, and finish turns its template into the certificate with the SCT.
func (a *authority) precert(t testing.TB) (precert *x509.Certificate, finish func(sct []byte) *x509.Certificate) {
	t.Helper()
	tmpl := a.template()
	tmpl.ExtraExtensions = []pkix.Extension{poison}
	return create(t, tmpl, a.cert, leafKey.Public(), a.key), func(sct []byte) *x509.Certificate {
		var list cryptobyte.Builder
		list.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sct) })
			})
		})
		final := *tmpl
		final.ExtraExtensions = []pkix.Extension{{Id: sctList, Value: list.BytesOrPanic()}}
		return create(t, &final, a.cert, leafKey.Public(), a.key)
	}
}

// chain puts the authority's certificates behind a leaf, up to the root.
func (a *authority) chain(leaf *x509.Certificate) [][]byte {
	out := [][]byte{leaf.Raw}
	for ; a != nil; a = a.parent {
		out = append(out, a.cert.Raw)
	}
	return out
}

// world is what a log can be opened from again and again.
type world struct {
	dir, lock string
	key       *ecdsa.PrivateKey
	root, ca  *authority
	now       atomic.Pointer[time.Time]
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{dir: filepath.Join(t.TempDir(), "ct"), lock: filepath.Join(t.TempDir(), "lock"), key: newKey(t, elliptic.P256())}
	w.root = newRoot(t, "root")
	w.ca = w.root.authority(t, "intermediate", nil)
	w.set(present.Add(time.Second))
	return w
}

func (w *world) set(at time.Time) { w.now.Store(&at) }

func (w *world) config(t testing.TB) Config {
	t.Helper()
	lock, err := treelog.NewFileLock(w.lock)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Prefix: testPrefix, Key: w.key, Roots: []*x509.Certificate{w.root.cert},
		Tree: treelog.Config{Dir: w.dir, Origin: testOrigin, Lock: lock, CheckpointInterval: 10 * time.Millisecond, BatchMaxAge: time.Millisecond},
		Now:  func() time.Time { return *w.now.Load() },
	}
}

func (w *world) open(t testing.TB, change ...func(*Config)) *Server {
	t.Helper()
	cfg := w.config(t)
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, s) })
	return s
}

func closeLog(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// fill logs n precertificates and waits until they are published.
func (w *world) fill(t testing.TB, s *Server, n int) (scts [][]byte) {
	t.Helper()
	for range n {
		precert, _ := w.ca.precert(t)
		sct, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
		if err != nil {
			t.Fatal(err)
		}
		scts = append(scts, sct)
	}
	if _, err := s.tree.Await(t.Context(), indexOf(t, scts[n-1])); err != nil {
		t.Fatal(err)
	}
	return scts
}

// indexOf reads the leaf index of an SCT in TLS encoding.
func indexOf(t testing.TB, sct []byte) uint64 {
	t.Helper()
	if len(sct) < 51 || string(sct[41:46]) != "\x00\x08\x00\x00\x05" {
		t.Fatalf("SCT %x has no leaf index alone", sct)
	}
	var index uint64
	for _, b := range sct[46:51] {
		index = index<<8 | uint64(b)
	}
	return index
}

// get sends a request through a mux with the service's patterns.
func get(s *Server, format string, args ...any) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	for _, p := range s.Patterns() {
		mux.Handle(p, s)
	}
	rw := httptest.NewRecorder()
	mux.ServeHTTP(rw, httptest.NewRequest(http.MethodGet, testPrefix+fmt.Sprintf(format, args...), nil))
	return rw
}

// getJSON is get for an answer that must be there.
func getJSON(t testing.TB, s *Server, to any, format string, args ...any) {
	t.Helper()
	rw := get(s, format, args...)
	if rw.Code != http.StatusOK {
		t.Fatalf("%s: status %d: %s", fmt.Sprintf(format, args...), rw.Code, rw.Body)
	}
	if err := json.Unmarshal(rw.Body.Bytes(), to); err != nil {
		t.Fatal(err)
	}
}
