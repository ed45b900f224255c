package identity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestEmbeddedSCTsOfBundles verifies the SCT of every real bundle whose issuer is in the public trusted roots.
func TestEmbeddedSCTsOfBundles(t *testing.T) {
	roots := []trustedRoot{
		readRoot(t, "trust", "public-good", "trusted_root.json"),
		readRoot(t, "trust", "staging", "trusted_root.json"),
	}
	verified := 0
	for name, der := range bundleLeaves(t) {
		c := mustParse(t, der)
		scts, err := c.EmbeddedSCTs()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, root := range roots {
			issuer := root.issuer(c.X509)
			if issuer == nil {
				continue
			}
			for _, sct := range scts {
				log, ok := root.logs[sct.LogID]
				if !ok {
					t.Errorf("%s: the log %x is in no root", name, sct.LogID)
					continue
				}
				when, err := c.VerifyEmbeddedSCT(sct, issuer, log.key)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if when.Before(log.start) || !log.end.IsZero() && when.After(log.end) {
					t.Errorf("%s: SCT of %v, outside its log's window", name, when)
				}
				verified++
			}
		}
	}
	if verified < 140 {
		t.Errorf("only %d SCTs were verified; the vectors have more", verified)
	}
}

// javaVector is one of sigstore-java's certificates with its issuer and log.
type javaVector struct {
	cert   *Certificate
	sct    SCT
	issuer *x509.Certificate
	log    crypto.PublicKey
}

func readJavaVector(t testing.TB, dir, cert, ca, key string) javaVector {
	t.Helper()
	c := mustParse(t, pemCert(t, "sigstore-java", "samples", dir, cert))
	scts, err := c.EmbeddedSCTs()
	if err != nil || len(scts) == 0 {
		t.Fatalf("%s: %d SCTs, %v", cert, len(scts), err)
	}
	issuer := mustParse(t, pemCert(t, "sigstore-java", "samples", dir, ca))
	return javaVector{c, scts[0], issuer.X509, pemKey(t, "sigstore-java", "samples", dir, key)}
}

func TestEmbeddedSCT(t *testing.T) {
	fulcio := readJavaVector(t, "fulcio-response/valid", "certWithSct.pem", "fulcio.crt.pem", "ctfe.pub")
	google := readJavaVector(t, "certificatetransparency", "cert-ct-embedded.pem", "ca-cert.pem", "ct-server-key-public.pem")
	for name, v := range map[string]javaVector{"fulcio": fulcio, "rfc6962 test data": google} {
		t.Run(name, func(t *testing.T) {
			when, err := v.cert.VerifyEmbeddedSCT(v.sct, v.issuer, v.log)
			if err != nil {
				t.Fatal(err)
			}
			if !when.Equal(v.sct.Timestamp) || when.Before(time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("time %v", when)
			}
			rejectMutations(t, v)
		})
	}
	reject := func(name string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	_, err := fulcio.cert.VerifyEmbeddedSCT(fulcio.sct, google.issuer, fulcio.log)
	reject("another issuer", err, "does not verify")
	_, err = fulcio.cert.VerifyEmbeddedSCT(fulcio.sct, nil, fulcio.log)
	reject("no issuer", err, "without the issuer")
	_, err = fulcio.cert.VerifyEmbeddedSCT(google.sct, fulcio.issuer, google.log)
	reject("another certificate's SCT", err, "does not verify")
	_, err = fulcio.cert.VerifyEmbeddedSCT(fulcio.sct, fulcio.issuer, google.log)
	reject("another log", err, "of the log")
	_, err = fulcio.cert.VerifyEmbeddedSCT(fulcio.sct, fulcio.issuer, ed25519.PublicKey(make([]byte, 32)))
	reject("a kind of key no CT log has", err, "of the log")
	_, err = fulcio.cert.VerifyDetachedSCT(fulcio.sct, fulcio.log)
	reject("embedded SCT as detached", err, "does not verify")
}

// rejectMutations changes each signed field of the SCT.
func rejectMutations(t *testing.T, v javaVector) {
	mutations := map[string]func(*SCT){
		"timestamp":  func(s *SCT) { s.Timestamp = s.Timestamp.Add(time.Millisecond) },
		"extensions": func(s *SCT) { s.Extensions = append(bytes.Clone(s.Extensions), 0) },
		"log id":     func(s *SCT) { s.LogID[0] ^= 1 },
		"signature":  func(s *SCT) { s.Signature = bytes.Clone(s.Signature); s.Signature[len(s.Signature)-1] ^= 1 },
		"algorithm":  func(s *SCT) { s.sigAlg = tlsECDSA + tlsRSA - s.sigAlg },
	}
	for name, mutate := range mutations {
		s := v.sct
		mutate(&s)
		if _, err := v.cert.VerifyEmbeddedSCT(s, v.issuer, v.log); err == nil {
			t.Errorf("%s changed: accepted", name)
		}
	}
}

func TestPrecertificateIsRefused(t *testing.T) {
	poisoned := mustParse(t, pemCert(t, "sigstore-java", "samples", "certificatetransparency", "cert-ct-poisoned.pem"))
	if _, err := precertTBS(poisoned.X509.RawTBSCertificate); err == nil || !strings.Contains(err.Error(), "poison") {
		t.Errorf("a precertificate: %v", err)
	}
	plain := mustParse(t, pemCert(t, "sigstore-java", "samples", "certificatetransparency", "cert.pem"))
	if scts, err := plain.EmbeddedSCTs(); err != nil || scts != nil {
		t.Errorf("a certificate without SCTs: %v, %v", scts, err)
	}
	if _, err := precertTBS(plain.X509.RawTBSCertificate); err == nil || !strings.Contains(err.Error(), "no SCT list") {
		t.Errorf("a certificate without SCTs: %v", err)
	}
}

// tlsSCT is a well-formed SCT with a signature that verifies nowhere.
func tlsSCT() []byte {
	sct := append([]byte{0}, make([]byte, 32)...)
	sct = append(sct, 0, 0, 1, 0x80, 0, 0, 0, 0) // timestamp
	sct = append(sct, 0, 2, 0xaa, 0xbb)          // extensions
	return append(sct, 4, 3, 0, 3, 1, 2, 3)
}

func sctList(scts ...[]byte) []byte {
	var list []byte
	for _, s := range scts {
		list = append(list, byte(len(s)>>8), byte(len(s)))
		list = append(list, s...)
	}
	return append([]byte{byte(len(list) >> 8), byte(len(list))}, list...)
}

func TestParseSCTList(t *testing.T) {
	good := tlsSCT()
	if scts, err := parseSCTList(sctList(good, good)); err != nil || len(scts) != 2 || !bytes.Equal(scts[1].Extensions, []byte{0xaa, 0xbb}) {
		t.Fatalf("two SCTs: %v, %v", scts, err)
	}
	edit := func(at int, value byte) []byte {
		s := bytes.Clone(good)
		s[at] = value
		return s
	}
	many := make([][]byte, maxSCTs+1)
	for i := range many {
		many[i] = good
	}
	tests := []struct {
		name string
		list []byte
		want string
	}{
		{"nothing", nil, "length"},
		{"empty list", []byte{0, 0}, "empty"},
		{"trailing data", append(sctList(good), 0), "length"},
		{"cut list", sctList(good)[:20], "length"},
		{"inner length too large", []byte{0, 3, 0, 9, 1}, "cut off"},
		{"empty SCT", sctList(nil), "empty"},
		{"version 2", sctList(edit(0, 1)), "version"},
		{"far future", sctList(edit(33, 0x7f)), "9999"},
		{"SHA-384", sctList(edit(45, 5)), "algorithm"},
		{"DSA", sctList(edit(46, 2)), "algorithm"},
		{"cut SCT", sctList(good[:40]), "cut off"},
		{"cut signature", sctList(good[:len(good)-1]), "signature's length"},
		{"data after the signature", sctList(append(bytes.Clone(good), 0)), "signature's length"},
		{"too many", sctList(many...), "more than"},
	}
	for _, tt := range tests {
		if _, err := parseSCTList(tt.list); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	if _, err := parseSCTListExtension([]byte{4, 2, 0, 0, 9}); err == nil {
		t.Error("data after the octet string: accepted")
	}
}

func TestParseSCT(t *testing.T) {
	id := base64.StdEncoding.EncodeToString(make([]byte, 32))
	object := func(members string) []byte { return []byte("{" + members + "}") }
	full := fmt.Sprintf(`"sct_version":0,"id":%q,"timestamp":1651000000000,"extensions":"","signature":"BAMAAwECAw=="`, id)
	for _, good := range [][]byte{object(full), []byte(" {" + strings.Replace(full, `"extensions":"",`, "", 1) + "}\n"), tlsSCT()} {
		if s, err := ParseSCT(good); err != nil || !bytes.Equal(s.Signature, []byte{1, 2, 3}) {
			t.Errorf("%q: %v, %v", good, s, err)
		}
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "neither"},
		{"too long", make([]byte, maxSCTSize+1), "more than"},
		{"array", []byte("[]"), "neither"},
		{"TLS version 2", append([]byte{1}, tlsSCT()[1:]...), "neither"},
		{"unknown member", object(full + `,"x":1`), "unknown"},
		{"a member twice", object(full + `,"timestamp":1`), "duplicate"},
		{"no id", object(strings.Replace(full, fmt.Sprintf(`"id":%q,`, id), "", 1)), "id is missing"},
		{"no version", object(strings.Replace(full, `"sct_version":0,`, "", 1)), "sct_version is missing"},
		{"no timestamp", object(strings.Replace(full, `"timestamp":1651000000000,`, "", 1)), "timestamp is missing"},
		{"no signature", object(strings.Replace(full, `,"signature":"BAMAAwECAw=="`, "", 1)), "signature is missing"},
		{"version 1", object(strings.Replace(full, `"sct_version":0`, `"sct_version":1`, 1)), "v1"},
		{"short id", object(strings.Replace(full, id, "AAAA", 1)), "3 bytes, not 32"},
		{"fraction", object(strings.Replace(full, "1651000000000", "1651000000000.0", 1)), "whole number"},
		{"exponent", object(strings.Replace(full, "1651000000000", "1e3", 1)), "whole number"},
		{"negative", object(strings.Replace(full, "1651000000000", "-1", 1)), "whole number"},
		{"time as text", object(strings.Replace(full, "1651000000000", `"1651000000000"`, 1)), "whole number"},
		{"far future", object(strings.Replace(full, "1651000000000", "9251000000000000", 1)), "9999"},
		{"nested", object(strings.Replace(full, `"BAMAAwECAw=="`, `{"a":"BAMAAwECAw=="}`, 1)), "not a string"},
		{"not base64", object(strings.Replace(full, "BAMAAwECAw==", "?", 1)), "base64"},
		{"trailing data", append(object(full), "{}"...), "after"},
	}
	for _, tt := range tests {
		if _, err := ParseSCT(tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParseSCT(f *testing.F) {
	f.Add(tlsSCT())
	f.Add([]byte(`{"sct_version":0,"id":"","timestamp":1,"extensions":"","signature":"BAMAAwECAw=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := ParseSCT(data); err == nil && len(s.Signature) > len(data) {
			t.Error("a signature longer than its input")
		}
	})
}

func FuzzParseSCTList(f *testing.F) {
	f.Add(sctList(tlsSCT(), tlsSCT()))
	v := readJavaVector(f, "fulcio-response/valid", "certWithSct.pem", "fulcio.crt.pem", "ctfe.pub")
	for _, ext := range v.cert.X509.Extensions {
		if ext.Id.Equal(oidSCTList()) {
			f.Add(ext.Value[2:])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		scts, err := parseSCTList(data)
		if err != nil {
			return
		}
		// What is accepted has one encoding only, so writing it again gives the input.
		var again [][]byte
		for _, s := range scts {
			again = append(again, encodeSCT(s))
		}
		if !bytes.Equal(sctList(again...), data) {
			t.Errorf("%x reads as %v", data, scts)
		}
	})
}

func encodeSCT(s SCT) []byte {
	out := append([]byte{0}, s.LogID[:]...)
	ms := uint64(s.Timestamp.UnixMilli())
	for shift := 56; shift >= 0; shift -= 8 {
		out = append(out, byte(ms>>shift))
	}
	out = append(out, byte(len(s.Extensions)>>8), byte(len(s.Extensions)))
	out = append(out, s.Extensions...)
	out = append(out, tlsSHA256, s.sigAlg, byte(len(s.Signature)>>8), byte(len(s.Signature)))
	return append(out, s.Signature...)
}
