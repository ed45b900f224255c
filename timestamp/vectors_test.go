package timestamp_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

// authorities reads a trusted root's time-stamp authorities; just enough JSON for these tests.
func authorities(t *testing.T, data []byte) []timestamp.Authority {
	t.Helper()
	type root struct {
		TimestampAuthorities []struct {
			CertChain struct {
				Certificates []struct {
					RawBytes []byte `json:"rawBytes"`
				} `json:"certificates"`
			} `json:"certChain"`
			ValidFor struct {
				Start, End time.Time
			} `json:"validFor"`
		} `json:"timestampAuthorities"`
	}
	var doc struct {
		root
		TrustedRoot *root `json:"trustedRoot"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.TrustedRoot != nil {
		doc.root = *doc.TrustedRoot
	}
	var out []timestamp.Authority
	for _, tsa := range doc.TimestampAuthorities {
		var chain []*x509.Certificate
		for _, c := range tsa.CertChain.Certificates {
			cert, err := x509.ParseCertificate(c.RawBytes)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, cert)
		}
		if err := timestamp.Link(chain); err != nil {
			t.Fatal(err)
		}
		a, err := timestamp.NewAuthority(chain)
		if err != nil {
			t.Fatal(err)
		}
		a.Linked, a.Start, a.End = true, tsa.ValidFor.Start, tsa.ValidFor.End
		out = append(out, a)
	}
	if len(out) == 0 {
		t.Fatal("no time-stamp authorities in the trusted root")
	}
	return out
}

// verifyAny verifies with the first authority that made the token, both with the chain checked beforehand and afresh,
// and with the leaf left out when the token carries it. All must agree.
func verifyAny(t *testing.T, tok *timestamp.Token, message []byte, auths []timestamp.Authority) (*timestamp.Result, error) {
	t.Helper()
	first := timestamp.ErrOtherSigner
	for _, a := range auths {
		res, err := tok.Verify(algorithm.Bytes(message), a)
		a.Linked = false
		if _, err2 := tok.Verify(algorithm.Bytes(message), a); (err == nil) != (err2 == nil) {
			t.Errorf("linked: %v; not linked: %v", err, err2)
		}
		if err == nil && len(tok.Certificates) > 0 {
			a.Leaf = nil
			if _, err := tok.Verify(algorithm.Bytes(message), a); err != nil {
				t.Errorf("with the embedded leaf: %v", err)
			}
		}
		if err == nil {
			return res, nil
		}
		if !errors.Is(err, timestamp.ErrOtherSigner) {
			first = err
		}
	}
	return nil, first
}

// bundleStamps returns the signature and the timestamps of a bundle; just enough JSON for these tests.
func bundleStamps(t *testing.T, data []byte) (sig []byte, stamps [][]byte) {
	t.Helper()
	var b struct {
		VerificationMaterial struct {
			TimestampVerificationData struct {
				RFC3161Timestamps []struct {
					SignedTimestamp []byte `json:"signedTimestamp"`
				} `json:"rfc3161Timestamps"`
			} `json:"timestampVerificationData"`
		} `json:"verificationMaterial"`
		MessageSignature struct{ Signature []byte }
		DSSEEnvelope     struct {
			Signatures []struct{ Sig []byte }
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	sig = b.MessageSignature.Signature
	if len(b.DSSEEnvelope.Signatures) > 0 {
		sig = b.DSSEEnvelope.Signatures[0].Sig
	}
	for _, s := range b.VerificationMaterial.TimestampVerificationData.RFC3161Timestamps {
		stamps = append(stamps, s.SignedTimestamp)
	}
	return sig, stamps
}

func TestBundles(t *testing.T) {
	const publicGood, staging = "trust/public-good/trusted_root.json", "trust/staging/trusted_root.json"
	tests := []struct {
		bundle, root string
		time         string // of the first; empty: refused
		wantErr      string
	}{
		{"conformance-public/rekor2-happy-path/bundle.sigstore.json", staging, "2025-06-12T12:02:20Z", ""},
		{"conformance-public/rekor2-dsse-happy-path/bundle.sigstore.json", staging, "2026-05-13T19:23:33Z", ""},
		{"conformance-public/managed-key-happy-path/bundle.sigstore.json", publicGood, "2025-12-18T17:04:39Z", ""},
		{"conformance-public/rekor2-timestamp-with-embedded-cert/bundle.sigstore.json", ".", "2025-08-06T18:51:36Z", ""},
		{"conformance-public/rekor2-timestamp-with-expired-cert-chain/bundle.sigstore.json", ".", "2025-08-07T15:32:26Z", ""},
		{"conformance-public/rekor2-timestamp-payload-mismatch_fail/bundle.sigstore.json", ".", "", "for another message"},
		{"conformance-public/rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail/bundle.sigstore.json", ".", "", "signed by another certificate"},
		{"conformance-public/rekor2-timestamp-outside-trust-root-tsa-validity_fail/bundle.sigstore.json", ".", "", "outside the time-stamp authority's window"},
		{"conformance-public/intoto-with-custom-trust-root/bundle.sigstore.json", ".", "2023-02-01T00:00:00Z", ""},
		{"conformance-public/intoto-tsa-timestamp-outside-cert-validity_fail/bundle.sigstore.json", ".", "2023-02-02T00:00:00Z", ""}, // outside the *signing* certificate's validity: verify's check
		{"sigstore-python/tsa/bundle.txt.sigstore", "sigstore-python/tsa/staging_root_with_tsa.json", "2024-10-31T10:23:39Z", ""},
		{"sigstore-python/tsa/bundle.many_timestamp.sigstore", "sigstore-python/tsa/staging_root_with_tsa.json", "", "for another message"},
		{"sigstore-python/tsa/bundle.txt.late_timestamp.sigstore", staging, "2025-05-12T19:00:27Z", ""},
		{"sigstore-python/staging-rekor-v2.txt.sigstore.json", staging, "2025-06-09T11:57:38Z", ""},
		{"sigstore-python/a.dsse.staging-rekor-v2.txt.sigstore.json", staging, "2026-05-13T19:23:33Z", ""},
		{"sigstore-rs/bundle_v03.json", publicGood, "2026-04-09T07:23:29Z", ""},
		{"sigstore-java/samples/bundles/bundle-with-timestamp.sigstore", staging, "2025-05-22T15:45:54Z", ""},
		{"sigstore-java/samples/bundles/bundle-with-timestamp.sigstore", publicGood, "", "signed by another certificate"},
		{"sigstore-java/samples/bundles/bundle.dsse.rekor-v2.sigstore", publicGood, "2026-06-03T19:23:26Z", ""},
		{"sigstore-java/samples/bundles/bundle-with-rekor-v2-entry.sigstore", staging, "2025-07-02T18:51:51Z", ""},
		{"sigstore-java/samples/bundles/github-private-no-tlog/attestation.sigstore.json", "sigstore-java/samples/bundles/github-private-no-tlog/github_trusted_root.json", "2026-07-24T15:30:27Z", ""},
		{"sigstore-go/pkg/testing/data/bundles/public-key-validity.sigstore.json", "sigstore-go/pkg/testing/data/trusted-roots/public-key-validity.json", "2026-06-04T17:43:29Z", ""},
		{"github-cli/github_provenance_demo-0.0.12-py3-none-any-bundle.jsonl", "sigstore-java/samples/bundles/github-private-no-tlog/github_trusted_root.json", "2024-04-22T17:33:26Z", ""},
	}
	for _, tt := range tests {
		t.Run(tt.bundle, func(t *testing.T) {
			root := tt.root
			if root == "." {
				root = filepath.Join(filepath.Dir(tt.bundle), "trusted_root.json")
			}
			auths := authorities(t, testenv.ReadVector(t, root))
			sig, stamps := bundleStamps(t, testenv.ReadVector(t, tt.bundle))
			if len(stamps) == 0 {
				t.Fatal("no timestamps in the bundle")
			}
			tok, err := timestamp.Parse(stamps[0])
			if err != nil {
				t.Fatal(err)
			}
			res, err := verifyAny(t, tok, sig, auths)
			switch {
			case tt.time == "":
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v, want %q", err, tt.wantErr)
				}
			case err != nil:
				t.Error(err)
			case res.Time.Format(time.RFC3339Nano) != tt.time:
				t.Errorf("time %s, want %s", res.Time, tt.time)
			}
			if _, err := verifyAny(t, tok, append([]byte("x"), sig...), auths); err == nil {
				t.Error("another message was accepted")
			}
		})
	}
}

func TestResponses(t *testing.T) {
	const dir = "sigstore-java/samples/timestamp-response/"
	auths := authorities(t, testenv.ReadVector(t, "sigstore-java/trustroot/staging_trusted_root.json"))
	tests := []struct {
		file, parseErr, verifyErr string
	}{
		{"valid/sigstage_tsa_response_with_embedded_certs.tsr", "", ""},
		{"valid/sigstage_tsa_response_without_embedded_certs.tsr", "", ""},
		{"valid/sigstore_tsa_response_with_embedded_certs.tsr", "", "signed by another certificate"},
		{"valid/sigstore_tsa_response_without_embedded_certs.tsr", "", "signed by another certificate"},
		{"valid/freetsa_response.tsr", "", "signed by another certificate"},
		{"invalid/sigstore_tsa_response_invalid.tsr", "not one DER", ""},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			tok, err := timestamp.Parse(testenv.ReadVector(t, dir+tt.file))
			if tt.parseErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.parseErr) {
					t.Fatalf("error %v, want %q", err, tt.parseErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = verifyAny(t, tok, []byte("test\n"), auths)
			if tt.verifyErr == "" && err != nil || tt.verifyErr != "" && (err == nil || !strings.Contains(err.Error(), tt.verifyErr)) {
				t.Errorf("error %v, want %q", err, tt.verifyErr)
			}
		})
	}
}

// asImprint is the message whose every digest is the token's imprint, so that all the other checks can be tried on
// tokens whose message is unknown.
type asImprint struct{ *timestamp.Token }

func (m asImprint) Digest(crypto.Hash, []byte) ([]byte, error) { return m.Imprint, nil }

// The sigstore_* tokens are over the hexadecimal text of a digest: genuine, but no message can match them.
func TestGenuineProduction(t *testing.T) {
	auths := authorities(t, testenv.ReadVector(t, "sigstore-java/trustroot/trusted_root.json"))
	for _, name := range []string{"with", "without"} {
		tok := parseVector(t, "sigstore-java/samples/timestamp-response/valid/sigstore_tsa_response_"+name+"_embedded_certs.tsr")
		if _, err := tok.Verify(asImprint{tok}, auths[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tok.Verify(algorithm.Bytes([]byte("test\n")), auths[0]); err == nil {
			t.Errorf("%s: a message was accepted", name)
		}
	}
}

// A third party's token: RSA, SHA-512, the older ESSCertID, its chain embedded.
func TestFreeTSA(t *testing.T) {
	tok := parseVector(t, "sigstore-java/samples/timestamp-response/valid/freetsa_response.tsr")
	root := parseCert(t, tok.Certificates[1])
	res, err := tok.Verify(asImprint{tok}, timestamp.Authority{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if !tok.Ordering || tok.Nonce == nil || tok.Accuracy != 0 || res.Signer.Subject.CommonName != "www.freetsa.org" {
		t.Errorf("ordering %v, nonce %v, accuracy %v, signer %v", tok.Ordering, tok.Nonce, tok.Accuracy, res.Signer.Subject)
	}
}

// GHSA-xm5m-wgh2-rrg3: the token carries a "Spoofed TSA" leaf and a self-signed one with the genuine name before the
// genuine leaf, whose issuer is not there.
func TestInjectedCertificate(t *testing.T) {
	tok := parseVector(t, "timestamp/timestamp-authority/pkg/verification/testdata/response-injected-certs.tsr")
	spoofed, selfSigned, genuine := parseCert(t, tok.Certificates[0]), parseCert(t, tok.Certificates[1]), parseCert(t, tok.Certificates[2])
	if spoofed.Subject.CommonName != "Spoofed TSA" {
		t.Fatalf("unexpected first certificate %v", spoofed.Subject)
	}
	for _, leaf := range []*x509.Certificate{spoofed, selfSigned} {
		if _, err := tok.Verify(asImprint{tok}, timestamp.Authority{Root: selfSigned, Leaf: leaf}); !errors.Is(err, timestamp.ErrOtherSigner) {
			t.Errorf("a policy that asks for %v: error %v", leaf.Subject, err)
		}
	}
	for _, root := range []*x509.Certificate{spoofed, selfSigned} {
		_, err := tok.Verify(asImprint{tok}, timestamp.Authority{Root: root})
		if !errors.Is(err, timestamp.ErrOtherSigner) {
			t.Errorf("root %v: error %v", root.Subject, err)
		}
	}
	// All but the path is in order, and the signer is the genuine leaf: shown with a stand-in for its lost issuer.
	tsa := testenv.NewTSA(t, testenv.TSAOptions{Edit: func(role string, c *x509.Certificate) { c.Subject = genuine.Issuer }})
	res, err := tok.Verify(asImprint{tok}, timestamp.Authority{Root: tsa.Root, Leaf: genuine, Linked: true})
	if err != nil || !res.Signer.Equal(genuine) {
		t.Errorf("signer %v, error %v", res, err)
	}
	_, err = tok.Verify(asImprint{tok}, timestamp.Authority{Root: tsa.Root, Leaf: genuine})
	if err == nil || !strings.Contains(err.Error(), "no path to the root") {
		t.Errorf("a root of the issuer's name: error %v", err)
	}
}

// A token of 2021 that is wrong in three ways (its signing-certificate attribute holds an OCTET STRING); nothing
// accepts it any more.
func TestRekor2021(t *testing.T) {
	_, err := timestamp.Parse(testenv.ReadVector(t, "timestamp/rekor/test.tsr"))
	if err == nil || !strings.Contains(err.Error(), "malformed signing-certificate") {
		t.Errorf("error %v", err)
	}
}

func parseVector(t *testing.T, path string) *timestamp.Token {
	t.Helper()
	tok, err := timestamp.Parse(testenv.ReadVector(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func parseCert(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestPython1482(t *testing.T) {
	tok := parseVector(t, "sigstore-python/tsa/issue1482-timestamp-with-no-cert")
	message := testenv.ReadVector(t, "sigstore-python/tsa/issue1482-message")
	var auths []timestamp.Authority
	for _, root := range []string{"sigstore-python/tsa/trust_config.json", "sigstore-python/tsa/staging_root_with_tsa.json", "trust/staging/trusted_root.json", "trust/public-good/trusted_root.json"} {
		auths = append(auths, authorities(t, testenv.ReadVector(t, root))...)
	}
	if _, err := verifyAny(t, tok, message, auths); err != nil {
		t.Error(err)
	}
}
