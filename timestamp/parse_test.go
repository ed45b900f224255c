package timestamp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

func TestGenTime(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	tests := []struct{ in, want string }{
		{"20260504030201Z", "2026-05-04T03:02:01Z"},
		{"20260504030201.5Z", "2026-05-04T03:02:01.5Z"},
		{"20260504030201.000000001Z", "2026-05-04T03:02:01.000000001Z"},
		{"20240229000000Z", "2024-02-29T00:00:00Z"},
		{"20260504030201.50Z", ""},
		{"20260504030201.0Z", ""},
		{"20260504030201.Z", ""},
		{"20260504030201,5Z", ""},
		{"20260504030201.0000000001Z", ""},
		{"20260504030201.+1Z", ""},
		{"20260504030201", ""},
		{"20260504030201z", ""},
		{"20260504030201+0000", ""},
		{"20260504030201Z ", ""},
		{"202605040302Z", ""},
		{"260504030201Z", ""},
		{"20260504030260Z", ""},
		{"20260504240000Z", ""},
		{"20250229000000Z", ""},
		{"20260004030201Z", ""},
		{"+0260504030201Z", ""},
		{"", ""},
	}
	for _, tt := range tests {
		der, err := a.StampWith(message, stamped, testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Time.Bytes = []byte(tt.in) }})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := timestamp.Parse(der)
		if tt.want == "" {
			wantError(t, err, "genTime")
		} else if err != nil || tok.ClaimedTime.Format(time.RFC3339Nano) != tt.want || tok.ClaimedTime.Location() != time.UTC {
			t.Errorf("%q: %v, error %v", tt.in, tok, err)
		}
	}
}

func TestAccuracy(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	tests := []struct {
		der  []byte
		want time.Duration
		err  string
	}{
		{nil, 0, ""},
		{[]byte{0x30, 0}, 0, ""},
		{[]byte{0x30, 9, 2, 1, 2, 0x80, 1, 3, 0x81, 1, 4}, 2*time.Second + 3*time.Millisecond + 4*time.Microsecond, ""},
		{[]byte{0x30, 3, 0x81, 1, 4}, 4 * time.Microsecond, ""},
		{[]byte{0x30, 3, 0x80, 1, 0}, 0, "accuracy"},
		{[]byte{0x30, 4, 0x80, 2, 3, 0xe8}, 0, "accuracy"},                // 1000
		{[]byte{0x30, 3, 2, 1, 0xff}, 0, "accuracy"},                      // -1
		{[]byte{0x30, 6, 0x81, 1, 4, 0x80, 1, 3}, 0, "accuracy"},          // order
		{[]byte{0x30, 7, 2, 5, 0x7f, 0xff, 0xff, 0xff, 0xff}, 0, "accur"}, // a thousand years
	}
	for _, tt := range tests {
		der, err := a.StampWith(message, stamped, testenv.TSAToken{Info: func(i *testenv.TSAInfo) {
			i.Accuracy = asn1.RawValue{FullBytes: tt.der}
		}})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := timestamp.Parse(der)
		wantError(t, err, tt.err)
		if err == nil && tok.Accuracy != tt.want {
			t.Errorf("%x: %v, want %v", tt.der, tok.Accuracy, tt.want)
		}
	}
}

// Tokens that are wrong in a way that parsing finds.
func TestMalformed(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	extension := func(critical bool) asn1.RawValue {
		der, err := asn1.Marshal(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: critical, Value: []byte{5, 0}})
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{Class: 2, Tag: 1, IsCompound: true, Bytes: der}
	}
	sha1 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}}
	drop := func(n int) func([][]byte) [][]byte {
		return func(attrs [][]byte) [][]byte { return append(attrs[:n:n], attrs[n+1:]...) }
	}
	tests := []struct {
		name string
		o    testenv.TSAToken
		want string
	}{
		{"nothing", testenv.TSAToken{}, ""},
		{"extension", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Extensions = extension(false) }}, ""},
		{"critical extension", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Extensions = extension(true) }}, "unknown critical extension 1.2.3"},
		{"TSTInfo version", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Version = 2 }}, "version is not 1"},
		{"SHA-1 imprint", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Imprint.Algorithm = sha1 }}, "1.3.14.3.2.26 is not SHA-256"},
		{"imprint algorithm with parameters", testenv.TSAToken{Info: func(i *testenv.TSAInfo) {
			i.Imprint.Algorithm.Parameters = asn1.RawValue{FullBytes: []byte{2, 1, 1}}
		}}, "is not SHA-256"},
		{"huge serial number", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Serial = new(big.Int).Lsh(big.NewInt(1), 8*70) }}, "serial"},
		{"huge nonce", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Nonce = new(big.Int).Lsh(big.NewInt(1), 8*70) }}, "nonce"},
		{"nonce", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Nonce = new(big.Int).Lsh(big.NewInt(1), 255) }}, ""},
		{"ordering", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Ordering = true }}, ""},
		{"UTCTime", testenv.TSAToken{Info: func(i *testenv.TSAInfo) { i.Time.Tag = asn1.TagUTCTime }}, "genTime is missing"},
		{"SHA-1 digest algorithm", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].Digest = sha1 }}, "digestAlgorithm"},
		{"no signer", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers = nil }}, "not exactly one SignerInfo"},
		{"two signers", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers = append(sd.Signers, sd.Signers[0]) }}, "not exactly one SignerInfo"},
		{"version 3 with issuer", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].Version = 3 }}, "issuerAndSerialNumber"},
		{"version 1 with key identifier", testenv.TSAToken{KeyID: true, Signed: func(sd *testenv.TSASignedData) { sd.Signers[0].Version = 1 }}, "subjectKeyIdentifier"},
		{"no signed attributes", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Attributes = asn1.RawValue{Tag: asn1.TagNull}
		}}, "signedAttrs are missing"},
		{"other content", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) { sd.Content.Type = asn1.ObjectIdentifier{1, 2, 3} }}, "is not TSTInfo"},
		{"no content-type", testenv.TSAToken{Attributes: drop(0)}, "lack"},
		{"no message-digest", testenv.TSAToken{Attributes: drop(1)}, "lack"},
		{"no signing-certificate", testenv.TSAToken{Attributes: drop(3)}, "lack"},
		{"no signing time", testenv.TSAToken{Attributes: drop(2)}, ""},
		{"attribute twice", testenv.TSAToken{Attributes: func(attrs [][]byte) [][]byte {
			return append(attrs, testenv.TSAAttribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, make([]byte, 32)))
		}}, "stands twice"},
		{"attribute with two values", testenv.TSAToken{Attributes: func(attrs [][]byte) [][]byte {
			attrs[1] = testenv.TSAAttribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, make([]byte, 32), make([]byte, 32))
			return attrs
		}}, "malformed value"},
		{"attribute repeated whole", testenv.TSAToken{Attributes: func(attrs [][]byte) [][]byte { return append(attrs, attrs[1]) }}, "not in DER order"},
		{"attributes unsorted", testenv.TSAToken{Unsorted: true, Attributes: func(attrs [][]byte) [][]byte {
			attrs[0], attrs[1] = attrs[1], attrs[0]
			return attrs
		}}, "not in DER order"},
		{"too many attributes", testenv.TSAToken{Attributes: func(attrs [][]byte) [][]byte {
			for i := range timestamp.MaxAttributes {
				attrs = append(attrs, testenv.TSAAttribute(asn1.ObjectIdentifier{1, 2, 3, i}, 1))
			}
			return attrs
		}}, "signed attributes"},
		{"too many certificates", testenv.TSAToken{Embed: bytes.SplitAfter(bytes.Repeat(a.Leaf.Raw, timestamp.MaxCertificates+1), a.Leaf.Raw)}, "certificates"},
		{"content in pieces (BER)", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			inner := sd.Content.Content.Bytes
			sd.Content.Content.Bytes = append([]byte{0x24, 0x81, byte(len(inner))}, inner...)
		}}, "encapContentInfo"},
		{"unknown field in SignerInfo", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Unsigned = asn1.RawValue{Class: 2, Tag: 5, IsCompound: true}
		}}, "unsignedAttrs"},
		{"unknown field in TSTInfo", testenv.TSAToken{Info: func(i *testenv.TSAInfo) {
			i.Extensions = asn1.RawValue{FullBytes: []byte{0xa2, 0}}
		}}, "unknown field at the end"},
		{"too large", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Unsigned = asn1.RawValue{Class: 2, Tag: 1, IsCompound: true, Bytes: make([]byte, timestamp.MaxTokenSize)}
		}}, "the limit is"},
		{"unsigned attributes are passed over", testenv.TSAToken{Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Unsigned = asn1.RawValue{Class: 2, Tag: 1, IsCompound: true, Bytes: a.Leaf.Raw}
		}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der, err := a.StampWith(message, stamped, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = timestamp.Parse(der)
			wantError(t, err, tt.want)
			_, err = timestamp.Parse(tokenOf(t, der)) // and the token alone
			wantError(t, err, tt.want)
		})
	}
}

// tokenOf returns the second element of a response.
func tokenOf(t *testing.T, der []byte) []byte {
	t.Helper()
	var resp struct{ Status, Token asn1.RawValue }
	if _, err := asn1.Unmarshal(der, &resp); err != nil {
		t.Fatal(err)
	}
	return resp.Token.FullBytes
}

// Encodings of a good response that are not DER, or not all of it.
func TestStrictDER(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	good, err := a.StampWith(message, stamped, testenv.TSAToken{Embed: [][]byte{a.Leaf.Raw}})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := timestamp.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	bare := tok.Raw()
	if again, err := timestamp.Parse(bare); err != nil || !again.ClaimedTime.Equal(stamped) {
		t.Fatalf("the bare token: %v, %v", again, err)
	}
	for _, der := range [][]byte{good, bare} {
		body := der[4:] // both have more than 255 bytes
		bad := map[string][]byte{
			"empty":               nil,
			"one byte":            der[:1],
			"trailing byte":       append(bytes.Clone(der), 0),
			"twice":               append(bytes.Clone(der), der...),
			"indefinite length":   append(append([]byte{0x30, 0x80}, body...), 0, 0),
			"long form of length": append([]byte{0x30, 0x83, 0, der[2], der[3]}, body...),
			"huge length":         append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, body...),
			"length of 8 bytes":   append([]byte{0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, body...),
			"not SignedData":      bytes.Replace(der, []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"), 1),
			"set":                 append([]byte{0x31}, der[1:]...),
			"too large":           make([]byte, timestamp.MaxTokenSize+1),
		}
		for name, in := range bad {
			if _, err := timestamp.Parse(in); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		for n := range der {
			if _, err := timestamp.Parse(der[:n]); err == nil {
				t.Fatalf("accepted when cut at %d of %d", n, len(der))
			}
		}
	}
	// No byte of a token can be changed without either being refused or changing nothing that is returned.
	auth := authority(a)
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 0x01
		tok, err := timestamp.Parse(changed)
		if err != nil {
			continue
		}
		if res, err := tok.Verify(algorithm.Bytes(message), auth); err == nil && (!res.Time.Equal(stamped) || !res.Signer.Equal(a.Leaf)) {
			t.Errorf("byte %d: changed result %+v", i, res)
		}
	}
}

func TestPSSParameters(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{Key: rsaKey(t, 2048)})
	params := stampPSSParams(t, a)
	mutate := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("%x is not in %x", old, b)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		}
	}
	tests := []struct {
		name string
		f    func([]byte) []byte
		want string
	}{
		{"nothing", bytes.Clone, ""},
		{"absent", func([]byte) []byte { return nil }, "PSS"},
		{"defaults (SHA-1)", func([]byte) []byte { return []byte{0x30, 0} }, "PSS"},
		{"other hash", mutate("\x04\x02\x01", "\x04\x02\x02"), "PSS"},
		{"other hash of the mask", func(b []byte) []byte { i := bytes.LastIndex(b, []byte("\x04\x02\x01")); b[i+2] = 3; return b }, "PSS"},
		{"other mask", mutate("\x01\x01\x08", "\x01\x01\x09"), "PSS"},
		{"salt 0 (any)", mutate("\x02\x01\x20", "\x02\x01\x00"), "PSS"},
		{"salt -1 (hash's length)", mutate("\x02\x01\x20", "\x02\x01\xff"), "PSS"},
		{"other salt", mutate("\x02\x01\x20", "\x02\x01\x1f"), "does not verify"},
	}
	for _, tt := range tests {
		tok := stamp(t, a, stamped, testenv.TSAToken{PSS: true, Signed: func(sd *testenv.TSASignedData) {
			sd.Signers[0].Algorithm.Parameters = asn1.RawValue{FullBytes: tt.f(bytes.Clone(params))}
		}})
		_, err := verify(t, tok, authority(a))
		t.Run(tt.name, func(t *testing.T) { wantError(t, err, tt.want) })
	}
}

func stampPSSParams(t *testing.T, a *testenv.TSA) (params []byte) {
	stamp(t, a, stamped, testenv.TSAToken{PSS: true, Signed: func(sd *testenv.TSASignedData) {
		params = sd.Signers[0].Algorithm.Parameters.FullBytes
	}})
	return params
}

func TestRequest(t *testing.T) {
	req, err := timestamp.NewRequest(algorithm.Bytes(message), crypto.SHA384, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Policy, req.Certificates = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, true
	der, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := timestamp.ParseRequest(der)
	if err != nil || fmt.Sprint(back) != fmt.Sprint(req) {
		t.Errorf("read back %v, error %v, want %v", back, err, req)
	}
	for name, bad := range map[string][]byte{
		"trailing": append(bytes.Clone(der), 0), "cut": der[:len(der)-1], "empty": nil,
		"version":    bytes.Replace(der, []byte{2, 1, 1, 0x30}, []byte{2, 1, 2, 0x30}, 1),
		"large":      make([]byte, 1<<20),
		"extensions": append(append([]byte{0x30, der[1] + 2}, der[2:]...), 0xa0, 0),
		"SHA-224":    bytes.Replace(der, []byte{4, 2, 2}, []byte{4, 2, 4}, 1),
		"length":     bytes.Replace(der, []byte{4, 2, 2}, []byte{4, 2, 1}, 1),
	} {
		if _, err := timestamp.ParseRequest(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := timestamp.NewRequest(algorithm.Bytes(message), crypto.SHA1, rand.Reader); err == nil {
		t.Error("a SHA-1 request was made")
	}
	if _, err := timestamp.NewRequest(algorithm.Bytes(message), crypto.SHA256, bytes.NewReader(nil)); err == nil {
		t.Error("a request without randomness was made")
	}
	if _, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, Imprint: []byte{1}}).Marshal(); err == nil {
		t.Error("a short imprint was written")
	}
}

func TestRequestCheck(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	req, err := timestamp.NewRequest(algorithm.Bytes(message), crypto.SHA256, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(nonce *big.Int, embed ...[]byte) *timestamp.Token {
		return stamp(t, a, stamped, testenv.TSAToken{Embed: embed, Info: func(i *testenv.TSAInfo) { i.Nonce = nonce }})
	}
	wantError(t, req.Check(answer(req.Nonce)), "")
	wantError(t, req.Check(answer(nil)), "nonce")
	wantError(t, req.Check(answer(big.NewInt(1))), "nonce")
	with := *req
	with.Certificates = true
	wantError(t, with.Check(answer(req.Nonce)), "carries no certificate")
	wantError(t, with.Check(answer(req.Nonce, a.Leaf.Raw)), "")
	with = *req
	with.Policy = asn1.ObjectIdentifier{1, 2, 3}
	wantError(t, with.Check(answer(req.Nonce)), "policy")
	with = *req
	with.Imprint = sum256([]byte("other"))
	wantError(t, with.Check(answer(req.Nonce)), "another message")
}

func TestResponseStatus(t *testing.T) {
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	good, err := a.Stamp(message, stamped)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := timestamp.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	seq := func(parts ...[]byte) []byte {
		der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(parts, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	status := func(n byte, more ...[]byte) []byte { return seq(append([][]byte{{2, 1, n}}, more...)...) }
	text := seq([]byte("\x0c\x06not me"))
	tests := []struct {
		name string
		der  []byte
		want string
	}{
		{"granted", seq(status(0), tok.Raw()), ""},
		{"granted with modifications", seq(status(1), tok.Raw()), ""},
		{"granted, text", seq(status(0, text), tok.Raw()), ""},
		{"rejected", seq(status(2, text, []byte{3, 2, 5, 0x20})), `rejection, transaction not permitted or supported, "not me"`},
		{"rejected, bad algorithm and time", seq(status(2, []byte{3, 3, 0, 0x80, 0x02})), "unsupported algorithm, the authority's time source is not available"},
		{"waiting", seq(status(3)), "waiting"},
		{"unknown status", seq(status(9)), "status 9"},
		{"rejected with a token", seq(status(2), tok.Raw()), "yet there is a token"},
		{"granted without a token", seq(status(0)), "there is no token"},
		{"negative status", seq(status(0xff), tok.Raw()), "malformed status"},
		{"text of another kind", seq(status(2, seq([]byte("\x13\x06not me")))), "malformed status"},
		{"long failure", seq(status(2, []byte{3, 6, 0, 1, 1, 1, 1, 1})), "malformed status"},
		{"two tokens", seq(status(0), tok.Raw(), tok.Raw()), "not one DER"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := timestamp.Parse(tt.der)
			wantError(t, err, tt.want)
		})
	}
}
