package interop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sigstore/fulcio/pkg/api"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/client/read"
	"github.com/sigstore/rekor-tiles/v2/pkg/client/write"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	tessera "github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	tiles "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"
)

// logClients are rekor-tiles' own writer and reader of a log, with what they verify with.
type logClients struct {
	writer   write.Client
	reader   read.Client
	verifier note.Verifier
	id       []byte
	origin   string
}

func rekorClients(t *testing.T, in *instance) *logClients {
	t.Helper()
	log := the(t, in.published(t).RekorLogs())
	address, err := url.Parse(log.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	c := &logClients{id: log.ID, origin: address.Hostname()}
	key, err := signature.LoadDefaultVerifier(log.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if c.verifier, err = rekornote.NewNoteVerifier(c.origin, key); err != nil {
		t.Fatal(err)
	}
	if _, id, err := rekornote.KeyHash(c.origin, log.PublicKey); err != nil || !bytes.Equal(id[:4], log.ID[:4]) {
		t.Fatalf("the trusted root says log ID %x, and rekor-tiles %x, %v", log.ID, id, err)
	}
	if c.writer, err = write.NewWriter(log.BaseURL); err != nil {
		t.Fatal(err)
	}
	if c.reader, err = read.NewReader(log.BaseURL, c.origin, key); err != nil {
		t.Fatal(err)
	}
	return c
}

// entry is a request to log a signature over some text.
func entry(signed string, sig []byte, verifier *rekorpb.Verifier) *rekorpb.HashedRekordRequestV002 {
	digest := sha256.Sum256([]byte(signed))
	return &rekorpb.HashedRekordRequestV002{Digest: digest[:], Signature: &rekorpb.Signature{Content: sig, Verifier: verifier}}
}

func byKey(der []byte) *rekorpb.Verifier {
	return &rekorpb.Verifier{
		KeyDetails: protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
		Verifier:   &rekorpb.Verifier_PublicKey{PublicKey: &rekorpb.PublicKey{RawBytes: der}},
	}
}

func byCertificate(der []byte) *rekorpb.Verifier {
	return &rekorpb.Verifier{
		KeyDetails: protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
		Verifier:   &rekorpb.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: der}},
	}
}

// TestRekorClients writes to our log with rekor-tiles' client, holds the answers against its verification and the log's
// files against Tessera's client and fsck.
func TestRekorClients(t *testing.T) {
	in := sharedInstance(t)
	c := rekorClients(t, in)
	before, _, err := c.reader.ReadCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("entries", func(t *testing.T) { c.entries(t, in) })
	t.Run("refused", func(t *testing.T) { c.refused(t) })
	t.Run("tiles", func(t *testing.T) { c.tiles(t, in.URL, before.Size, before.Hash) })
	t.Run("fsck", func(t *testing.T) { c.fsck(t, in.URL) })
	t.Run("fsck below /api/v2", func(t *testing.T) { c.fsck(t, in.URL+"/api/v2") })
}

func (c *logClients) entries(t *testing.T, in *instance) {
	key := newPair(t)
	text := fmt.Sprintf("signed at %s", time.Now())
	address, err := url.Parse(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := api.NewClient(address).SigningCert(api.CertificateRequest{CertificateSigningRequest: key.request(t)}, in.word(t, identity))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(issued.CertPEM)
	for name, request := range map[string]*rekorpb.HashedRekordRequestV002{
		"key":         entry(text, key.signature(t, text), byKey(key.der)),
		"certificate": entry(text, key.signature(t, text), byCertificate(block.Bytes)),
	} {
		first := c.logged(t, name, request)
		again := c.logged(t, name+", again", request)
		if first.GetLogIndex() != again.GetLogIndex() || !bytes.Equal(first.GetCanonicalizedBody(), again.GetCanonicalizedBody()) {
			t.Errorf("%s: the same entry is at %d and at %d", name, first.GetLogIndex(), again.GetLogIndex())
		}
	}
}

// logged writes an entry and makes the checks of rekor-tiles' own tests.
func (c *logClients) logged(t *testing.T, name string, request *rekorpb.HashedRekordRequestV002) *protorekor.TransparencyLogEntry {
	t.Helper()
	e, err := c.writer.Add(t.Context(), request)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := rekorverify.VerifyLogEntry(e, c.verifier); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if kind := e.GetKindVersion(); kind.GetKind() != "hashedrekord" || kind.GetVersion() != "0.0.2" {
		t.Errorf("%s: the entry is a %v", name, kind)
	}
	if !bytes.Equal(e.GetLogId().GetKeyId(), c.id) || e.GetIntegratedTime() != 0 || e.GetInclusionPromise() != nil { // Rekor v1 had both of the latter
		t.Errorf("%s: %v", name, e)
	}
	var body rekorpb.Entry
	if err := protojson.Unmarshal(e.GetCanonicalizedBody(), &body); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	record := body.GetSpec().GetHashedRekordV002()
	if !bytes.Equal(record.GetData().GetDigest(), request.GetDigest()) || !bytes.Equal(record.GetSignature().GetContent(), request.GetSignature().GetContent()) {
		t.Errorf("%s: the entry has another digest or signature: %s", name, e.GetCanonicalizedBody())
	}
	// The checks can fail.
	e.CanonicalizedBody[0]++
	if rekorverify.VerifyLogEntry(e, c.verifier) == nil {
		t.Errorf("%s: another entry verifies with the same proof", name)
	}
	e.CanonicalizedBody[0]--
	return e
}

// refused: what rekor-tiles refuses of its own client.
func (c *logClients) refused(t *testing.T) {
	key, other := newPair(t), newPair(t)
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edDER, err := x509.MarshalPKIXPublicKey(edPublic)
	if err != nil {
		t.Fatal(err)
	}
	ofEd25519 := byKey(edDER)
	ofEd25519.KeyDetails = protocommon.PublicKeyDetails_PKIX_ED25519
	short := entry("text", key.signature(t, "text"), byKey(key.der))
	short.Digest = short.Digest[:31]
	for name, request := range map[string]*rekorpb.HashedRekordRequestV002{
		"a signature by another key":      entry("text", other.signature(t, "text"), byKey(key.der)),
		"a signature over something else": entry("text", key.signature(t, "other"), byKey(key.der)),
		"no signature":                    entry("text", nil, byKey(key.der)),
		"no key":                          entry("text", key.signature(t, "text"), nil),
		"bytes that are no key":           entry("text", key.signature(t, "text"), byKey([]byte("key"))),
		"bytes that are no certificate":   entry("text", key.signature(t, "text"), byCertificate([]byte("certificate"))),
		"a short digest":                  short,
		"an algorithm without a digest":   entry("text", ed25519.Sign(edPrivate, []byte("text")), ofEd25519),
	} {
		if e, err := c.writer.Add(t.Context(), request); err == nil {
			t.Errorf("%s is logged: %v", name, e)
		} else if want := "unexpected response: 4"; !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tiles reads the log with rekor-tiles' and Tessera's client: it grew from what it was, and the entries are in it.
func (c *logClients) tiles(t *testing.T, address string, size uint64, root []byte) {
	now, signed, err := c.reader.ReadCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now.Size < size+2 || len(signed.Sigs) == 0 {
		t.Fatalf("the log has %d entries, and had %d", now.Size, size)
	}
	proofs, err := tiles.NewProofBuilder(t.Context(), now.Size, c.reader.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	if size > 0 {
		proof, err := proofs.ConsistencyProof(t.Context(), size, now.Size)
		if err != nil {
			t.Fatal(err)
		}
		raw := get(t, address+"/checkpoint")
		if err := rekorverify.VerifyConsistencyProof(proof, size, root, string(raw), c.verifier); err != nil {
			t.Error(err)
		}
	}
	last := now.Size - 1
	bundle, err := c.reader.ReadEntryBundle(t.Context(), last/layout.EntryBundleWidth, layout.PartialTileSize(0, last/layout.EntryBundleWidth, now.Size))
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := leafHashes(bundle)
	if err != nil || uint64(len(hashes)) != last%layout.EntryBundleWidth+1 {
		t.Fatalf("%d entries in the last bundle of %d, %v", len(hashes), now.Size, err)
	}
	inclusion, err := proofs.InclusionProof(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	e := &protorekor.TransparencyLogEntry{LogIndex: int64(last), InclusionProof: &protorekor.InclusionProof{
		Hashes: inclusion, Checkpoint: &protorekor.Checkpoint{Envelope: string(get(t, address+"/checkpoint"))},
	}}
	if err := rekorverify.VerifyLogEntryWithHash(e, c.verifier, hashes[len(hashes)-1]); err != nil {
		t.Error(err)
	}
}

// fsck builds the whole tree again from the entries, with Tessera's fsck, over HTTP.
func (c *logClients) fsck(t *testing.T, address string) {
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := tiles.NewHTTPFetcher(at, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsck.New(c.origin, c.verifier, fetcher, leafHashes, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// leafHashes are those of the entries of a bundle (tlog-tiles).
func leafHashes(bundle []byte) (out [][]byte, err error) {
	var b tessera.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	for _, e := range b.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return out, nil
}
