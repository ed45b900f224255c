package interop

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/ctutil"
	"github.com/google/certificate-transparency-go/jsonclient"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
	"github.com/sigstore/fulcio/pkg/api"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// TestCTClients reads our CT log with ct-go's client, as its monitors and auditors do: heads, entries and proofs.
func TestCTClients(t *testing.T) {
	in := sharedInstance(t)
	trusted := in.published(t)
	log := the(t, trusted.CTLogs())
	spki, err := x509.MarshalPKIXPublicKey(log.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	// With the key, the client verifies every head and every SCT that it gets.
	c, err := client.New(log.BaseURL, http.DefaultClient, jsonclient.Options{PublicKeyDER: spki, UserAgent: "ct-go/test"})
	if err != nil {
		t.Fatal(err)
	}
	_, first := certify(t, in)
	before := headWith(t, c, leafIndex(t, first))
	chain, sct := certify(t, in)
	after := headWith(t, c, leafIndex(t, sct))
	index := included(t, c, after, chain, sct)
	consistent(t, c, before, after)
	entries(t, c, after, index, chain)
	roots, err := c.GetAcceptedRoots(t.Context())
	authority := trusted.FulcioCertificateAuthorities()[0].(*root.FulcioCertificateAuthority)
	if err != nil || len(roots) != 1 || !bytes.Equal(roots[0].Data, authority.Root.Raw) {
		t.Errorf("%d accepted roots, %v", len(roots), err)
	}
	submitted(t, c, chain)
}

// certify gets a certificate and returns its chain and its SCT.
func certify(t *testing.T, in *instance) ([]*ctx509.Certificate, *ct.SignedCertificateTimestamp) {
	t.Helper()
	address, err := url.Parse(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := api.NewClient(address).SigningCert(api.CertificateRequest{CertificateSigningRequest: newPair(t).request(t)}, in.word(t, identity))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := x509util.CertificatesFromPEM(append(append(answer.CertPEM, '\n'), answer.ChainPEM...))
	if err != nil {
		t.Fatal(err)
	}
	scts, err := x509util.ParseSCTsFromSCTList(&chain[0].SCTList)
	if err != nil || len(scts) != 1 {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	return chain, scts[0]
}

// leafIndex is where an SCT says that the entry is (static-ct-api): extension type 0, a length of 5, the index in 40 bits.
func leafIndex(t *testing.T, sct *ct.SignedCertificateTimestamp) uint64 {
	t.Helper()
	x := []byte(sct.Extensions)
	if len(x) != 8 || !bytes.Equal(x[:3], []byte{0, 0, 5}) {
		t.Fatalf("the SCT has extensions %x", x)
	}
	return binary.BigEndian.Uint64(append(make([]byte, 3), x[3:]...))
}

// headWith waits for a signed tree head with an entry in it. An SCT promises one within a while.
func headWith(t *testing.T, c *client.LogClient, index uint64) *ct.SignedTreeHead {
	t.Helper()
	for deadline := time.Now().Add(runLimit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		head, err := c.GetSTH(t.Context())
		if err != nil {
			t.Fatal(said(err))
		}
		if head.TreeSize > index {
			return head
		}
	}
	t.Fatalf("entry %d is in no tree head", index)
	return nil
}

// included: the log can prove that the certificate is in it, at the index that the SCT says (static-ct-api).
func included(t *testing.T, c *client.LogClient, head *ct.SignedTreeHead, chain []*ctx509.Certificate, sct *ct.SignedCertificateTimestamp) int64 {
	t.Helper()
	leaf, err := ct.MerkleTreeLeafForEmbeddedSCT(chain, sct.Timestamp)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 6962, 3.4: the extensions are part of the leaf. ctutil.LeafHash forgets them, as no log had any for long.
	leaf.TimestampedEntry.Extensions = sct.Extensions
	hash, err := ct.LeafHashForLeaf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.GetProofByHash(t.Context(), hash[:], head.TreeSize)
	if err != nil {
		t.Fatal(said(err))
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(answer.LeafIndex), head.TreeSize, hash[:], answer.AuditPath, head.SHA256RootHash[:]); err != nil {
		t.Error(err)
	}
	if says := leafIndex(t, sct); answer.LeafIndex < 0 || says != uint64(answer.LeafIndex) {
		t.Errorf("the SCT says entry %d, and it is at %d", says, answer.LeafIndex)
	}
	hash[0]++
	if _, err := c.GetProofByHash(t.Context(), hash[:], head.TreeSize); err == nil {
		t.Error("the log proves what is not in it")
	}
	return answer.LeafIndex
}

func consistent(t *testing.T, c *client.LogClient, before, after *ct.SignedTreeHead) {
	t.Helper()
	if before.TreeSize >= after.TreeSize {
		t.Fatalf("the log had %d entries and has %d", before.TreeSize, after.TreeSize)
	}
	path, err := c.GetSTHConsistency(t.Context(), before.TreeSize, after.TreeSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, before.TreeSize, after.TreeSize, path, before.SHA256RootHash[:], after.SHA256RootHash[:]); err != nil {
		t.Error(err)
	}
}

// entries: ct-go parses all of them, they hash to the head, and the certificate is where it should be.
func entries(t *testing.T, c *client.LogClient, head *ct.SignedTreeHead, index int64, chain []*ctx509.Certificate) {
	t.Helper()
	raw, err := c.GetRawEntries(t.Context(), index, index)
	if err != nil || len(raw.Entries) != 1 {
		t.Fatalf("%v, %v", raw, err)
	}
	all, err := c.GetEntries(t.Context(), index, index)
	if err != nil || len(all) != 1 || all[0].Precert == nil {
		t.Fatalf("%v, %v", all, err)
	}
	precert := all[0].Precert
	if precert.TBSCertificate.SerialNumber.Cmp(chain[0].SerialNumber) != 0 {
		t.Error("the entry is another certificate's")
	}
	if issuer := sha256.Sum256(chain[1].RawSubjectPublicKeyInfo); precert.IssuerKeyHash != issuer {
		t.Error("the entry names another issuer's key")
	}
	if len(all[0].Chain) != 2 || !bytes.Equal(all[0].Chain[0].Data, chain[1].Raw) {
		t.Errorf("the entry has a chain of %d certificates", len(all[0].Chain))
	}
	with, err := c.GetEntryAndProof(t.Context(), uint64(index), head.TreeSize)
	if err != nil || !bytes.Equal(with.LeafInput, raw.Entries[0].LeafInput) {
		t.Fatalf("get-entry-and-proof: %v", err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), head.TreeSize, rfc6962.DefaultHasher.HashLeaf(with.LeafInput), with.AuditPath, head.SHA256RootHash[:]); err != nil {
		t.Error(err)
	}
}

// submitted: the client adds a chain itself. A final certificate is logged as one; a chain that ends elsewhere is refused.
func submitted(t *testing.T, c *client.LogClient, chain []*ctx509.Certificate) {
	t.Helper()
	var list []ct.ASN1Cert
	for _, cert := range chain {
		list = append(list, ct.ASN1Cert{Data: cert.Raw})
	}
	sct, err := c.AddChain(t.Context(), list)
	if err != nil {
		t.Fatal(said(err))
	}
	if err := c.VerifySCTSignature(*sct, ct.X509LogEntryType, list); err != nil {
		t.Error(err)
	}
	if err := ctutil.VerifySCT(c.Verifier.PubKey, chain, sct, false); err != nil {
		t.Error(err)
	}
	if err := ctutil.VerifySCT(c.Verifier.PubKey, chain, sct, true); err == nil {
		t.Error("an SCT of a certificate is taken for one of its precertificate")
	}
	if _, err := c.AddPreChain(t.Context(), list); !strings.Contains(said(err), "no precertificate") {
		t.Errorf("a certificate as a precertificate: %s", said(err))
	}
	if _, err := c.AddChain(t.Context(), []ct.ASN1Cert{{Data: foreignRoot(t)}}); !strings.Contains(said(err), "no accepted root") {
		t.Errorf("a certificate of an unknown authority: %s", said(err))
	}
}

// foreignRoot is a certificate of an authority that nobody knows.
func foreignRoot(t *testing.T) []byte {
	t.Helper()
	key := newPair(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// said is the error and what the log answered.
func said(err error) string {
	var answer jsonclient.RspError
	if errors.As(err, &answer) {
		return err.Error() + ": " + string(answer.Body)
	}
	return fmt.Sprint(err)
}
