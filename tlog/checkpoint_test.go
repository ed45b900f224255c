package tlog

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

const behindTheSofa = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
	"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"

func TestParseCheckpoint(t *testing.T) {
	c, err := ParseCheckpoint(behindTheSofa)
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 || len(c.Signatures) != 1 || len(c.Extensions) != 0 ||
		c.Signatures[0].Name != c.Origin || c.Signatures[0].KeyHint != 0x033de0ae || len(c.Signatures[0].Signature) != 64 {
		t.Errorf("%+v", c)
	}
	if string(c.Note) != behindTheSofa[:strings.Index(behindTheSofa, "\n\n")+1] {
		t.Errorf("note %q", c.Note)
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	sig := behindTheSofa[strings.Index(behindTheSofa, "—"):]
	root := "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
	head := "o\n1\n" + root + "\n"
	for name, c := range map[string]struct{ in, want string }{
		"empty":                     {"", "no empty line"},
		"no signature":              {head + "\n", "no signature"},
		"no separator":              {head + sig, "no empty line"},
		"two separators":            {head + "\n\n" + sig, "line 4 is empty"},
		"starts empty":              {"\n\n" + sig, "line 1 is empty"},
		"empty line in text":        {"o\n\n1\n" + root + "\n\n" + sig, "line 2 is empty"},
		"empty line after":          {head + "\n" + sig + "\n", "no signature"},
		"no root":                   {"o\n1\n\n" + sig, "2 lines"},
		"no size":                   {"o\n" + root + "\n\n" + sig, "2 lines"},
		"size with zeros":           {"o\n01\n" + root + "\n\n" + sig, "without leading zeros"},
		"size with sign":            {"o\n+1\n" + root + "\n\n" + sig, "not a decimal"},
		"negative size":             {"o\n-1\n" + root + "\n\n" + sig, "not a decimal"},
		"size too large":            {"o\n9223372036854775808\n" + root + "\n\n" + sig, "not a decimal"},
		"size in words":             {"o\none\n" + root + "\n\n" + sig, "not a decimal"},
		"root too short":            {"o\n1\nAAAA\n\n" + sig, "root hash"},
		"root in url base64":        {"o\n1\n" + strings.ReplaceAll(root, "/", "_") + "\n\n" + sig, "root hash"},
		"root without padding":      {"o\n1\n" + strings.TrimRight(root, "=") + "\n\n" + sig, "root hash"},
		"root with loose bits":      {"o\n1\n" + strings.Replace(root, "I=", "J=", 1) + "\n\n" + sig, "root hash"},
		"carriage return":           {strings.ReplaceAll(behindTheSofa, "\n", "\r\n"), "control character"},
		"tab":                       {"o\tp\n1\n" + root + "\n\n" + sig, "control character"},
		"not UTF-8":                 {"o\xff\n1\n" + root + "\n\n" + sig, "UTF-8"},
		"no final newline":          {strings.TrimSuffix(behindTheSofa, "\n"), "no newline"},
		"hyphen for dash":           {head + "\n- a AAAAAAA=\n", "em dash"},
		"no name":                   {head + "\n—  AAAAAAA=\n", "key name"},
		"plus in name":              {head + "\n— a+b AAAAAAA=\n", "key name"},
		"no-break space in name":    {head + "\n— a\u00a0b AAAAAAA=\n", "key name"},
		"name only":                 {head + "\n— a\n", "no space"},
		"signature not base64":      {head + "\n— a AAAA*AAA\n", "not standard base64"},
		"signature and more":        {head + "\n— a AAAAAAA= x\n", "not standard base64"},
		"signature with loose bits": {head + "\n— a AAAAAAB=\n", "not standard base64"},
		"key ID only":               {head + "\n— a AAAAAA==\n", "has 4 bytes"},
		"too many signatures":       {head + "\n" + strings.Repeat(sig, 101), "101 signatures"},
		"too large":                 {strings.Repeat("o", 1<<20) + "\n1\n" + root + "\n\n" + sig, "more than 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCheckpoint(c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := ParseCheckpoint(head + "\n" + strings.Repeat(sig, 100)); err != nil {
		t.Errorf("100 signatures: %v", err)
	}
}

func TestJavaCheckpoints(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(testenv.Vectors(t, "sigstore-java", "samples", "checkpoints"), "*.txt"))
	if err != nil || len(names) != 9 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	key := rekorKey(t)
	id, err := KeyIDv1(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCheckpoint(string(data))
		if valid := strings.HasPrefix(filepath.Base(name), "valid"); (err == nil) != valid {
			t.Errorf("%s: %v", name, err)
			continue
		} else if !valid {
			continue
		}
		if c.Size != 37795272 || c.Origin != "rekor.sigstore.dev - 2605736670972794746" || c.Extensions[0] != "Timestamp: 1697034484441201852" {
			t.Errorf("%s: %+v", name, c)
		}
		// valid_multi_sig.txt has a second line with the same key ID, another name and a signature that does not verify.
		for _, name := range []string{"", "rekor.sigstore.dev"} {
			if err := c.VerifySignature(name, id, key); err != nil {
				t.Errorf("signer %q: %v", name, err)
			}
		}
		for _, name := range []string{"bob.loblaw.dev", "sigstore.dev", "rekor.sigstore.dev - 2605736670972794746"} {
			if err := c.VerifySignature(name, id, key); !errors.Is(err, ErrCheckpointSignature) {
				t.Errorf("signer %q: %v", name, err)
			}
		}
	}
}

func rekorKey(t testing.TB) crypto.PublicKey {
	t.Helper()
	pub, err := algorithm.ParsePublicKeyPEM(testenv.ReadVector(t, "legacy", "rekor.pub"))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// trustedLog is what these tests need of a transparency log in a trusted root.
type trustedLog struct {
	BaseURL   string `json:"baseUrl"`
	PublicKey struct {
		RawBytes []byte `json:"rawBytes"`
	} `json:"publicKey"`
	LogID struct {
		KeyID []byte `json:"keyId"`
	} `json:"logId"`
}

func trustedLogs(t testing.TB, elem ...string) []trustedLog {
	t.Helper()
	var root struct {
		Tlogs []trustedLog `json:"tlogs"`
	}
	if err := json.Unmarshal(testenv.ReadVector(t, elem...), &root); err != nil {
		t.Fatal(err)
	}
	return root.Tlogs
}

func (l trustedLog) key(t testing.TB) crypto.PublicKey {
	t.Helper()
	pub, err := algorithm.ParsePublicKey(l.PublicKey.RawBytes)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func (l trustedLog) name(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(l.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname()
}

func TestKeyIDsOfTrustedRoots(t *testing.T) {
	v1, v2 := 0, 0
	for _, root := range []string{"public-good", "staging"} {
		for _, log := range trustedLogs(t, "trust", root, "trusted_root.json") {
			pub, name := log.key(t), log.name(t)
			id2, err := KeyIDv2(name, pub)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(id2, log.LogID.KeyID) {
				t.Errorf("%s: %x, want %x", name, id2, log.LogID.KeyID)
			}
			id1, err := KeyIDv1(pub)
			if err != nil {
				t.Fatal(err)
			}
			_, ed := pub.(ed25519.PublicKey)
			if bytes.Equal(id1, log.LogID.KeyID) == ed {
				t.Errorf("%s: version 1 ID %x, log ID %x", name, id1, log.LogID.KeyID)
			}
			if other, _ := KeyIDv2(name+".example", pub); bytes.Equal(other, id2) == ed {
				t.Errorf("%s: ID of another origin: %x", name, other)
			}
			if ed {
				v2++
			} else {
				v1++
			}
		}
	}
	if v1 != 2 || v2 != 5 {
		t.Errorf("%d logs of version 1, %d of version 2; want 2 and 5", v1, v2)
	}
}

func TestConformanceCheckpoints(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(testenv.Vectors(t, "conformance-public"), "rekor2-checkpoint-*"))
	if err != nil || len(dirs) != 6 {
		t.Fatalf("%d directories: %v", len(dirs), err)
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		entry := bundleEntries(t, testenv.ReadVector(t, "conformance-public", name, "bundle.sigstore.json"))[0]
		err := verifyVectorProof(t, entry, trustedLogs(t, "conformance-public", name, "trusted_root.json"))
		if fail := strings.HasSuffix(name, "_fail"); (err != nil) != fail {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// verifyVectorProof checks the inclusion proof of an entry as a caller would, and the checkpoint where there is one (in
// bundles of version 0.1 there need not be).
func verifyVectorProof(t testing.TB, e *Entry, logs []trustedLog) error {
	if err := e.Proof.Verify(LeafHash(e.Body)); err != nil || e.Proof.Checkpoint == "" {
		return err
	}
	c, err := ParseCheckpoint(e.Proof.Checkpoint)
	if err != nil {
		return err
	}
	if err := c.VerifyHead(e.Proof.TreeSize, e.Proof.RootHash); err != nil {
		return err
	}
	for _, log := range logs {
		if bytes.Equal(log.LogID.KeyID, e.LogID) {
			return c.VerifySignature(log.name(t), e.LogID, log.key(t))
		}
	}
	return errors.New("unknown log")
}

// signNote makes a checkpoint signed by each of the signers.
func signNote(t *testing.T, text string, lines ...string) *Checkpoint {
	t.Helper()
	c, err := ParseCheckpoint(text + "\n" + strings.Join(lines, ""))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noteLine(name string, id, signature []byte) string {
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(bytes.Clone(id[:4]), signature...)) + "\n"
}

func TestVerifySignatureAlgorithms(t *testing.T) {
	const origin = "log.example.org"
	text := origin + "\n1\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, c := range map[string]struct {
		signer crypto.Signer
		hash   crypto.Hash
		opts   crypto.SignerOpts
		ok     bool
	}{
		"ed25519":             {ed, 0, crypto.Hash(0), true},
		"ed25519ph":           {ed, crypto.SHA512, crypto.SHA512, false},
		"p256 sha256":         {p256, crypto.SHA256, nil, true},
		"p256 sha384":         {p256, crypto.SHA384, nil, false},
		"p384 sha256":         {p384, crypto.SHA256, nil, true},
		"p384 sha384":         {p384, crypto.SHA384, nil, true},
		"p384 sha512":         {p384, crypto.SHA512, nil, false},
		"p521 sha256":         {p521, crypto.SHA256, nil, true},
		"p521 sha512":         {p521, crypto.SHA512, nil, true},
		"p521 sha384":         {p521, crypto.SHA384, nil, false},
		"p224 sha256":         {p224, crypto.SHA256, nil, false},
		"rsa pkcs1v15 sha256": {rsa2048, crypto.SHA256, nil, true},
		"rsa pkcs1v15 sha512": {rsa2048, crypto.SHA512, nil, false},
		"rsa pss":             {rsa2048, crypto.SHA256, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}, false},
	} {
		t.Run(name, func(t *testing.T) {
			message := []byte(text)
			if c.hash != 0 {
				message = digest(c.hash, message)
			}
			opts := c.opts
			if opts == nil {
				opts = c.hash
			}
			sig, err := c.signer.Sign(rand.Reader, message, opts)
			if err != nil {
				t.Fatal(err)
			}
			id, err := KeyIDv2(origin, c.signer.Public())
			if err != nil {
				t.Fatal(err)
			}
			note := signNote(t, text, noteLine(origin, id, sig))
			if err := note.VerifySignature(origin, id, c.signer.Public()); (err == nil) != c.ok {
				t.Errorf("error %v, want accepted: %v", err, c.ok)
			}
			note.Note[0] ^= 1
			if err := note.VerifySignature(origin, id, c.signer.Public()); err == nil {
				t.Error("accepted over another text")
			}
		})
	}
}

func TestVerifySignatureLines(t *testing.T) {
	const origin = "log.example.org"
	text := origin + "\n1\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	pub, key, _ := ed25519.GenerateKey(rand.Reader)
	id, err := KeyIDv2(origin, pub)
	if err != nil {
		t.Fatal(err)
	}
	good := ed25519.Sign(key, []byte(text))
	bad := bytes.Clone(good)
	bad[7] ^= 1
	otherID := bytes.Clone(id)
	otherID[3] ^= 1
	line, wrong := noteLine(origin, id, good), noteLine(origin, id, bad)
	for name, c := range map[string]struct {
		signer string
		lines  []string
		want   string // "": accepted
	}{
		"only line":                      {origin, []string{line}, ""},
		"twice":                          {origin, []string{line, line}, ""},
		"behind a witness":               {origin, []string{noteLine("w.example", id, bad), line}, ""},
		"before an unknown key":          {origin, []string{line, noteLine(origin, otherID, bad)}, ""},
		"wrong":                          {origin, []string{wrong}, "does not verify"},
		"right, then wrong":              {origin, []string{line, wrong}, "does not verify"},
		"wrong, then right":              {origin, []string{wrong, line}, "does not verify"},
		"good under another name":        {origin, []string{noteLine("x.example", id, good)}, "no signature with key name"},
		"good under another ID":          {origin, []string{noteLine(origin, otherID, good)}, "no signature with key name"},
		"name of another log":            {"x.example", []string{noteLine("x.example", id, good)}, "origin is"},
		"no name: any signer":            {"", []string{noteLine("x.example", id, good)}, ""},
		"no name: wrong and right":       {"", []string{noteLine("x.example", id, bad), line}, ""},
		"no name: wrong":                 {"", []string{wrong, wrong}, "none of 2 signatures"},
		"no name: good under another ID": {"", []string{noteLine(origin, otherID, good)}, "no signature with key ID"},
	} {
		t.Run(name, func(t *testing.T) {
			err := signNote(t, text, c.lines...).VerifySignature(c.signer, id, pub)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrCheckpointSignature)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if err := signNote(t, text, line).VerifySignature(origin, id[:3], pub); err == nil {
		t.Error("a key ID of three bytes was accepted")
	}
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	if err := signNote(t, text, line).VerifySignature(origin, id, &small.PublicKey); err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("small key: %v", err)
	}
	if err := signNote(t, text, line).VerifySignature(origin, id, "key"); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("no key: %v", err)
	}
}

func TestIsV1Origin(t *testing.T) {
	for origin, want := range map[string]bool{
		"rekor.sigstore.dev - 2605736670972794746": true,
		"a - b - 1":                    true,
		"rekor.sigstore.dev":           false,
		"log2025-1.rekor.sigstore.dev": false,
		"rekor.sigstore.dev - ":        false,
		"rekor.sigstore.dev -1":        false,
		"rekor.sigstore.dev - 1a":      false,
		"rekor.sigstore.dev - 1 ":      false,
		"rekor.sigstore.dev - \u0661":  false,
		"":                             false,
	} {
		if got := IsV1Origin(origin); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(behindTheSofa)
	for _, name := range []string{"valid.txt", "valid_multi_sig.txt", "error_header_count.txt", "error_signature_length_insufficient.txt"} {
		f.Add(string(testenv.ReadVector(f, "sigstore-java", "samples", "checkpoints", name)))
	}
	f.Add(string(testenv.ReadVector(f, "tlog", "sunlight-skylight", "tree", "checkpoint")))
	f.Fuzz(func(t *testing.T, in string) {
		c, err := ParseCheckpoint(in)
		if err != nil {
			return
		}
		// What is accepted can be written in one way only: the same note comes out.
		var b strings.Builder
		b.Write(c.Note)
		b.WriteByte('\n')
		for _, s := range c.Signatures {
			b.WriteString(noteLine(s.Name, binary.BigEndian.AppendUint32(nil, s.KeyHint), s.Signature))
		}
		if b.String() != in {
			t.Fatalf("read %q, written %q", in, b.String())
		}
		_ = c.VerifySignature(c.Origin, c.Root[:], ed25519.PublicKey(c.Root[:]))
		_, _ = c.VerifyCosignature(c.Signatures[0].Name, ed25519.PublicKey(c.Root[:]))
		_, _ = c.VerifyTreeHead(c.Origin, ed25519.PublicKey(c.Root[:]))
	})
}
