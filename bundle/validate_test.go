package bundle

import (
	"bytes"
	"crypto"
	"reflect"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tlog"
)

// valid returns a bundle that passes, with everything in it.
func valid(t *testing.T) *Bundle {
	t.Helper()
	b, err := Decode([]byte(withEntries(minimalEntry)))
	if err != nil {
		t.Fatal(err)
	}
	b.Material.Timestamps = [][]byte{{1}, {2}}
	if err := b.Validate(ValidateOptions{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// chainOf returns the certificates of a vector: leaf, intermediate, root.
func chainOf(t *testing.T) [][]byte {
	t.Helper()
	b, err := Decode(testenv.ReadVector(t, "sigstore-go", "examples", "bundle-provenance.json"))
	if err != nil || len(b.Material.Certificates) != 3 {
		t.Fatal("the vector has no chain of three", err)
	}
	return b.Material.Certificates
}

func TestValidateRefuses(t *testing.T) {
	chain := chainOf(t)
	hint := "h"
	envelope := func(b *Bundle, e Envelope) {
		b.Message, b.Envelope = nil, &e
	}
	entry := func(b *Bundle) *tlog.Entry { return &b.Material.Entries[0] }
	certs := func(b *Bundle, chain bool, c ...[]byte) {
		b.Material.KeyHint, b.Material.Chain, b.Material.Certificates = nil, chain, c
	}
	huge := make([]byte, maxItem+1)
	for name, tc := range map[string]struct {
		change func(b *Bundle)
		want   string
	}{
		"no version":           {func(b *Bundle) { b.Version = 0 }, "unknown version"},
		"later version":        {func(b *Bundle) { b.Version = Cosign + 1 }, "unknown version"},
		"no content":           {func(b *Bundle) { b.Message = nil }, "exactly one of"},
		"two contents":         {func(b *Bundle) { b.Envelope = &Envelope{} }, "exactly one of"},
		"key and certificate":  {func(b *Bundle) { b.Material.Certificates = chain[:1] }, "both publicKey"},
		"key and empty chain":  {func(b *Bundle) { b.Material.Chain = true }, "both publicKey"},
		"no key":               {func(b *Bundle) { b.Material.KeyHint = nil }, "names neither"},
		"no key, marked":       {func(b *Bundle) { b.Material.KeyHint, b.Material.NoKey = nil, true }, "marked as naming no key"},
		"no key and a key":     {func(b *Bundle) { b.Version, b.Material.NoKey = Cosign, true }, "marked as naming no key"},
		"sct":                  {func(b *Bundle) { b.Material.SCT = []byte{1} }, "detached signed certificate timestamp"},
		"chain in v0.3":        {func(b *Bundle) { certs(b, true, chain[:2]...) }, "x509CertificateChain: not allowed"},
		"empty chain":          {func(b *Bundle) { b.Version = V02; certs(b, true) }, "certificates: empty"},
		"several, no chain":    {func(b *Bundle) { certs(b, false, chain...) }, "outside of a chain"},
		"11 certificates":      {func(b *Bundle) { b.Version = V02; certs(b, true, make([][]byte, 11)...) }, "11 certificates"},
		"empty certificate":    {func(b *Bundle) { certs(b, false, nil) }, "verificationMaterial.certificate.rawBytes: missing"},
		"huge certificate":     {func(b *Bundle) { certs(b, false, huge) }, "certificate.rawBytes: 65537 bytes"},
		"empty intermediate":   {func(b *Bundle) { b.Version = V01; certs(b, true, chain[0], nil) }, "certificates[1].rawBytes: missing"},
		"not a certificate":    {func(b *Bundle) { b.Version = V01; certs(b, true, chain[0], []byte{0x30, 0}) }, "certificates[1].rawBytes: not a DER"},
		"trailing data":        {func(b *Bundle) { b.Version = V01; certs(b, true, chain[0], append(bytes.Clone(chain[1]), 0)) }, "certificates[1].rawBytes: not a DER"},
		"root in the middle":   {func(b *Bundle) { b.Version = V02; certs(b, true, chain[0], chain[2], chain[1]) }, "certificates[1].rawBytes: self-signed"},
		"33 entries":           {func(b *Bundle) { b.Material.Entries = make([]tlog.Entry, 33) }, "33 log entries"},
		"entry twice":          {func(b *Bundle) { b.Material.Entries = append(b.Material.Entries, *entry(b)) }, "tlogEntries[1]: the same log and index as tlogEntries[0]"},
		"negative index":       {func(b *Bundle) { entry(b).LogIndex = -1 }, "tlogEntries[0].logIndex: negative"},
		"no log id":            {func(b *Bundle) { entry(b).LogID = nil }, "logId: missing"},
		"long log id":          {func(b *Bundle) { entry(b).LogID = make([]byte, 65) }, "logId.keyId: longer"},
		"no kind":              {func(b *Bundle) { entry(b).Kind = "" }, "kindVersion: missing"},
		"no kind's version":    {func(b *Bundle) { entry(b).Version = "" }, "kindVersion: missing"},
		"negative time":        {func(b *Bundle) { entry(b).IntegratedTime = -1 }, "integratedTime: negative"},
		"no body":              {func(b *Bundle) { entry(b).Body = nil }, "canonicalizedBody: missing"},
		"empty promise":        {func(b *Bundle) { entry(b).Promise = []byte{} }, "signedEntryTimestamp: missing"},
		"huge promise":         {func(b *Bundle) { entry(b).Promise = huge }, "signedEntryTimestamp: 65537"},
		"v0.1 without promise": {func(b *Bundle) { b.Version, entry(b).Promise = V01, nil }, "inclusionPromise: missing, required in bundle v0.1"},
		"v0.2 without proof":   {func(b *Bundle) { b.Version, entry(b).Proof = V02, nil }, "inclusionProof: missing, required in bundle v0.2"},
		"v0.3 without proof":   {func(b *Bundle) { entry(b).Proof = nil }, "inclusionProof: missing, required in bundle v0.3"},
		"cosign, neither":      {func(b *Bundle) { b.Version, entry(b).Proof, entry(b).Promise = Cosign, nil, nil }, "neither inclusion promise"},
		"no tree size":         {func(b *Bundle) { entry(b).Proof.TreeSize = 0 }, "treeSize: missing"},
		"index outside":        {func(b *Bundle) { entry(b).Proof.LogIndex = 2 }, "inclusionProof.logIndex: is 2, outside of a tree of size 2"},
		"index negative":       {func(b *Bundle) { entry(b).Proof.LogIndex = -1 }, "inclusionProof.logIndex: is -1"},
		"short root":           {func(b *Bundle) { entry(b).Proof.RootHash = make([]byte, 31) }, "rootHash: 31 bytes"},
		"no root":              {func(b *Bundle) { entry(b).Proof.RootHash = nil }, "rootHash: 0 bytes"},
		"short hash":           {func(b *Bundle) { entry(b).Proof.Hashes = [][]byte{make([]byte, 32), {1}} }, "hashes[1]: 1 bytes"},
		"64 hashes":            {func(b *Bundle) { entry(b).Proof.Hashes = make([][]byte, 64) }, "hashes: 64 hashes"},
		"no checkpoint":        {func(b *Bundle) { entry(b).Proof.Checkpoint = "" }, "checkpoint: missing"},
		"no checkpoint, v0.1":  {func(b *Bundle) { b.Version, entry(b).Proof.Checkpoint = V01, "" }, "checkpoint: missing"},
		"huge checkpoint":      {func(b *Bundle) { entry(b).Proof.Checkpoint = string(huge) }, "checkpoint.envelope: longer"},
		"33 timestamps":        {func(b *Bundle) { b.Material.Timestamps = make([][]byte, 33) }, "33 timestamps"},
		"timestamp twice":      {func(b *Bundle) { b.Material.Timestamps = [][]byte{{1}, {2}, {1}} }, "rfc3161Timestamps[2]: the same as rfc3161Timestamps[0]"},
		"empty timestamp":      {func(b *Bundle) { b.Material.Timestamps = [][]byte{{1}, {}} }, "rfc3161Timestamps[1].signedTimestamp: missing"},
		"huge timestamp":       {func(b *Bundle) { b.Material.Timestamps = [][]byte{huge} }, "rfc3161Timestamps[0].signedTimestamp: 65537"},
		"no signature":         {func(b *Bundle) { b.Message.Signature = nil }, "messageSignature.signature: missing"},
		"huge signature":       {func(b *Bundle) { b.Message.Signature = huge }, "messageSignature.signature: 65537"},
		"digest of no hash":    {func(b *Bundle) { b.Message.Hash = 0 }, "messageDigest.algorithm: missing"},
		"hash of no digest":    {func(b *Bundle) { b.Message.Digest = nil }, "messageDigest.digest: 0 bytes, want 32"},
		"other hash":           {func(b *Bundle) { b.Message.Hash = crypto.SHA384 }, "messageDigest.digest: 32 bytes, want 48 of SHA-384"},
		"no payload type":      {func(b *Bundle) { envelope(b, Envelope{}) }, "dsseEnvelope.payloadType: missing"},
		"no payload":           {func(b *Bundle) { envelope(b, Envelope{PayloadType: "t"}) }, "dsseEnvelope.payload: missing"},
		"no dsse signature":    {func(b *Bundle) { envelope(b, Envelope{PayloadType: "t", Payload: []byte("p")}) }, "0 signatures, want exactly one"},
		"two dsse signatures": {func(b *Bundle) {
			envelope(b, Envelope{PayloadType: "t", Payload: []byte("p"), Signatures: []EnvelopeSignature{{Sig: []byte{1}}, {Sig: []byte{2}}}})
		}, "2 signatures, want exactly one"},
		"empty dsse signature": {func(b *Bundle) {
			envelope(b, Envelope{PayloadType: "t", Payload: []byte("p"), Signatures: []EnvelopeSignature{{KeyID: hint}}})
		}, "signatures[0].sig: missing"},
	} {
		b := valid(t)
		tc.change(b)
		if err := b.Validate(ValidateOptions{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestValidateChains(t *testing.T) {
	chain := chainOf(t)
	for name, tc := range map[string]struct {
		version Version
		certs   [][]byte
		want    string
	}{
		"root last, old":    {V01, chain, ""},
		"intermediates old": {V02, chain[:2], ""},
		"intermediates new": {V03, chain[:2], ""},
		"root last, new":    {V03, chain, "certificates[2].rawBytes: self-signed"},
		"only a leaf":       {V03, chain[:1], ""},
	} {
		b := valid(t)
		b.Version, b.Material.KeyHint, b.Material.Chain, b.Material.Certificates = tc.version, nil, true, tc.certs
		err := b.Validate(ValidateOptions{AllowCertificateChain: true})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestUpgrade(t *testing.T) {
	old, err := Decode(testenv.ReadVector(t, "sigstore-js", "bundles", "bundleV01-dsse-with-proof.sigstore"))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := old.Encode()
	up, err := old.Upgrade()
	if err != nil {
		t.Fatal(err)
	}
	if up.Version != V03 || up.MediaType != MediaType || up.Material.Chain || len(up.Material.Certificates) != 1 || !reflect.DeepEqual(up.Envelope, old.Envelope) {
		t.Errorf("%+v", up)
	}
	out, err := up.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(out)
	if err != nil || !reflect.DeepEqual(up, again) {
		t.Errorf("does not decode to itself: %v", err)
	}
	if after, _ := old.Encode(); !bytes.Equal(before, after) {
		t.Error("the old bundle was modified")
	}

	noProof, err := Decode(testenv.ReadVector(t, "sigstore-js", "bundles", "bundleV01-dsse-no-proof.sigstore"))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(b *Bundle){
		"tlogEntries[0].inclusionProof: missing": func(b *Bundle) { b.Material, b.Envelope, b.Message = noProof.Material, noProof.Envelope, nil },
		"detached signed certificate timestamp":  func(b *Bundle) { b.Version, b.Material.SCT = Cosign, []byte{1} },
		"signed payload has no place":            func(b *Bundle) { b.Version, b.Message.Payload = Cosign, []byte{1} },
		"neither a key hint nor a certificate":   func(b *Bundle) { b.Version, b.Material.NoKey, b.Material.KeyHint = Cosign, true, nil },
	} {
		b := valid(t)
		change(b)
		if _, err := b.Upgrade(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for want, change := range map[string]func(b *Bundle){
		"cosign format has no encoding": func(b *Bundle) { b.Version = Cosign },
		"exactly one of":                func(b *Bundle) { b.Message = nil },
		"both a key hint":               func(b *Bundle) { b.Material.Chain = true },
		"neither a key hint":            func(b *Bundle) { b.Material.KeyHint = nil },
		"2 certificates without Chain":  func(b *Bundle) { b.Material.KeyHint, b.Material.Certificates = nil, [][]byte{{1}, {2}} },
		"not valid UTF-8":               func(b *Bundle) { *b.Material.KeyHint = "\xff" },
	} {
		b := valid(t)
		change(b)
		if _, err := b.Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestEncodeMediaType(t *testing.T) {
	for _, tc := range []struct {
		in      string
		version Version
		want    string
	}{
		{"", V01, "application/vnd.dev.sigstore.bundle+json;version=0.1"},
		{MediaType, V02, "application/vnd.dev.sigstore.bundle+json;version=0.2"},
		{"", V03, MediaType},
		{"application/vnd.dev.sigstore.bundle+json;version=0.3", V03, "application/vnd.dev.sigstore.bundle+json;version=0.3"},
		{"nonsense", V03, MediaType},
	} {
		b := valid(t)
		b.MediaType, b.Version = tc.in, tc.version
		out, err := b.Encode()
		if err != nil || !bytes.HasPrefix(out, []byte(`{"mediaType":"`+tc.want+`",`)) {
			t.Errorf("%+v: %v %.90s", tc, err, out)
		}
	}
}

// TestEncodeBytes fixes the canonical form.
func TestEncodeBytes(t *testing.T) {
	in := withEntries(minimalEntry)
	b := valid(t)
	b.Material.Timestamps = nil
	out, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(in, `{"tlogEntries":[`+minimalEntry+`],"publicKey":{"hint":"h"}}`, `{"publicKey":{"hint":"h"},"tlogEntries":[`+minimalEntry+`]}`, 1)
	if string(out) != want {
		t.Errorf("\n got %s\nwant %s", out, want)
	}
}
