package interop

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/go-openapi/runtime"
	"github.com/sigstore/sigstore-go/pkg/root"
	tsaclient "github.com/sigstore/timestamp-authority/v2/pkg/client"
	generated "github.com/sigstore/timestamp-authority/v2/pkg/generated/client/timestamp"
	"github.com/sigstore/timestamp-authority/v2/pkg/verification"
	tsax509 "github.com/sigstore/timestamp-authority/v2/pkg/x509"
)

// stamping is one request to a timestamp authority, in one of its two forms.
type stamping struct {
	contentType string
	body        []byte
}

// TestTSAClients asks our timestamp authority with timestamp-authority's client and holds the answers against its
// verification.
func TestTSAClients(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	authority := in.published(t).TimestampingAuthorities()[0].(*root.SigstoreTimestampingAuthority)
	c, err := tsaclient.GetTimestampClient(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Timestamp.GetTimestampCertChain(generated.NewGetTimestampCertChainParams())
	if err != nil {
		t.Fatal(err)
	}
	chain := certificates(t, []byte(answer.Payload))
	if err := tsax509.VerifyCertChain(chain, publicOnly{chain[0].PublicKey}, true); err != nil {
		t.Errorf("timestamp-authority would not take the chain: %v", err)
	}
	if !chain[0].Equal(authority.Leaf) || !chain[len(chain)-1].Equal(authority.Root) {
		t.Error("the chain is not that of the trusted root")
	}
	signature, nonce := []byte("a signature"), big.NewInt(4711)
	opts := verification.VerifyOpts{TSACertificate: authority.Leaf, Intermediates: authority.Intermediates, Roots: []*x509.Certificate{authority.Root}, Nonce: nonce}
	for name, request := range requests(t, signature, nonce) {
		t.Run(name, func(t *testing.T) {
			stamp, err := ask(t, in, request)
			if err != nil {
				t.Fatal(err)
			}
			verified, err := verification.VerifyTimestampResponse(stamp, bytes.NewReader(signature), opts)
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(verified.Time); age < -time.Minute || age > time.Minute {
				t.Errorf("the time is %s", verified.Time)
			}
			if _, err := verification.VerifyTimestampResponse(stamp, strings.NewReader("another"), opts); err == nil {
				t.Error("the timestamp verifies for another signature")
			}
			other := opts
			other.Nonce = big.NewInt(4712)
			if _, err := verification.VerifyTimestampResponse(stamp, bytes.NewReader(signature), other); err == nil {
				t.Error("the timestamp verifies with another nonce")
			}
		})
	}
	refusedStamps(t, in, signature)
}

// requests are the same request in both of the forms that timestamp-authority takes.
func requests(t *testing.T, signature []byte, nonce *big.Int) map[string]stamping {
	t.Helper()
	return map[string]stamping{
		"DER": {tsaclient.TimestampQueryMediaType, query(t, signature, timestamp.RequestOptions{Hash: crypto.SHA256, Certificates: true, Nonce: nonce})},
		"DER with SHA-512 and without certificates": {tsaclient.TimestampQueryMediaType, query(t, signature, timestamp.RequestOptions{Hash: crypto.SHA512, Nonce: nonce})},
		"JSON": {tsaclient.JSONMediaType, asJSON(t, signature, "sha256", nonce)},
	}
}

func query(t *testing.T, signature []byte, opts timestamp.RequestOptions) []byte {
	t.Helper()
	der, err := timestamp.CreateRequest(bytes.NewReader(signature), &opts)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func asJSON(t *testing.T, signature []byte, algorithm string, nonce *big.Int) []byte {
	t.Helper()
	digest := sha256.Sum256(signature)
	body, err := json.Marshal(map[string]any{"artifactHash": digest[:], "hashAlgorithm": algorithm, "certificates": true, "nonce": nonce})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func ask(t *testing.T, in *instance, request stamping) ([]byte, error) {
	t.Helper()
	c, err := tsaclient.GetTimestampClient(in.URL, tsaclient.WithContentType(request.contentType), tsaclient.WithUserAgent("tsa/test"))
	if err != nil {
		t.Fatal(err)
	}
	params := generated.NewGetTimestampResponseParams().WithTimeout(30 * time.Second)
	params.Request = io.NopCloser(bytes.NewReader(request.body))
	var out bytes.Buffer
	_, _, err = c.Timestamp.GetTimestampResponse(params, &out, func(op *runtime.ClientOperation) {
		op.ConsumesMediaTypes = []string{request.contentType}
	})
	return out.Bytes(), err
}

// refusedStamps: what timestamp-authority refuses of its own client.
func refusedStamps(t *testing.T, in *instance, signature []byte) {
	t.Helper()
	for name, request := range map[string]stamping{
		"no request":                  {tsaclient.TimestampQueryMediaType, []byte("no request")},
		"a digest of SHA-1":           {tsaclient.TimestampQueryMediaType, query(t, signature, timestamp.RequestOptions{Hash: crypto.SHA1})},
		"a policy that is not ours":   {tsaclient.TimestampQueryMediaType, query(t, signature, timestamp.RequestOptions{Hash: crypto.SHA256, TSAPolicyOID: asn1.ObjectIdentifier{1, 2, 3, 4, 5}})},
		"no JSON":                     {tsaclient.JSONMediaType, []byte("{")},
		"a digest of another length":  {tsaclient.JSONMediaType, asJSON(t, signature, "sha512", big.NewInt(1))},
		"DER that is said to be JSON": {tsaclient.JSONMediaType, query(t, signature, timestamp.RequestOptions{Hash: crypto.SHA256})},
	} {
		if _, err := ask(t, in, request); err == nil || !strings.Contains(err.Error(), "[400]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// publicOnly stands for a signer where only its public half is looked at.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }

func (p publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("nothing is signed here")
}
