package verify_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/test/splice"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// holds checks what must be true of the report on changed evidence: it says why, or every change is of a field that no
// signature covers.
func holds(t *testing.T, e *evidence, changed *bundle.Bundle, r *verify.Report) {
	t.Helper()
	wellRefused(t, r)
	if !r.Verified {
		return
	}
	for _, field := range splice.Differences(e.bundle, changed) {
		if exception(field, e, splice.Spliced{Kind: splice.Swapped, Bundle: changed}) == nil && !onlyWrapping(field, e.bundle, changed) {
			t.Errorf("verified, though %s was changed", field)
		}
	}
}

// onlyWrapping says that of two notes the same text is signed, or that two tokens say the same: the names before the
// signatures of v1 logs' notes are ignored, and a token's list of digest algorithms is signed by nobody (RFC 5652 5.1). A
// messageDigest may be absent altogether: it identifies the artifact and vouches for nothing.
func onlyWrapping(field string, a, b *bundle.Bundle) bool {
	switch field {
	case "Message.Hash", "Message.Digest":
		return b.Message.Hash == 0 && len(b.Message.Digest) == 0
	case "Material.Entries[].Proof.Checkpoint":
		for i := range a.Material.Entries {
			x, y := a.Material.Entries[i].Proof, b.Material.Entries[i].Proof
			if x == nil || y == nil {
				continue
			}
			text, _, _ := strings.Cut(x.Checkpoint, "\n\n")
			if other, _, _ := strings.Cut(y.Checkpoint, "\n\n"); text != other {
				return false
			}
		}
		return true
	case "Material.Timestamps[]":
		for i := range a.Material.Timestamps {
			x, err1 := timestamp.Parse(a.Material.Timestamps[i])
			y, err2 := timestamp.Parse(b.Material.Timestamps[i])
			if err1 != nil || err2 != nil || !x.ClaimedTime.Equal(y.ClaimedTime) || x.Accuracy != y.Accuracy ||
				x.SerialNumber.Cmp(y.SerialNumber) != 0 || !x.Policy.Equal(y.Policy) || !bytes.Equal(x.Imprint, y.Imprint) {
				return false
			}
		}
		return true
	}
	return false
}

// editable is encoded evidence, with what it decodes to.
type editable struct {
	evidence *evidence
	encoded  []byte
	request  *verify.Request
}

func editables(t testing.TB, sc *scene) []editable {
	t.Helper()
	var out []editable
	all := shapes()
	for i := range all {
		if all[i].spec.Algorithm != algorithm.Unspecified {
			continue
		}
		e := all[i].make(t, sc, sc.w, all[i].spec)
		encoded, err := e.bundle.Encode()
		if err != nil {
			continue // a conversion from cosign's older formats
		}
		if e.bundle, err = bundle.Decode(encoded); err != nil {
			t.Fatal(err)
		}
		req := e.request(t, sc.root)
		if all[i].demand != nil {
			all[i].demand(&req.Policy)
		}
		accepted(t, req)
		out = append(out, editable{e, encoded, req})
	}
	return out
}

// try verifies changed bytes.
func (e *editable) try(t *testing.T, data []byte) bool {
	b, err := bundle.Decode(data)
	req := *e.request
	req.Candidates = []verify.Candidate{{Name: "edited", Bundle: b, Err: err}}
	r := verify.Verify(&req)
	holds(t, e.evidence, b, r)
	return r.Verified
}

// TestEdited changes encoded bundles at random places, the same ones each time.
func TestEdited(t *testing.T) {
	testenv.Unwatched(t)
	sc := newScene(t)
	rounds := 150
	if soak() {
		rounds = 20_000
	}
	random := rand.New(rand.NewPCG(1, 2))
	tried, decoded, verified := 0, 0, 0
	for _, e := range editables(t, sc) {
		for range rounds {
			data := slices.Clone(e.encoded)
			at := random.IntN(len(data))
			switch random.IntN(4) {
			case 0: // another character of base64 or of a number
				data[at] = "0123456789ABCDabcd+/"[random.IntN(20)]
			case 1:
				data[at] ^= 1 << random.IntN(8)
			case 2:
				data = slices.Delete(data, at, at+1)
			case 3:
				to := random.IntN(len(data))
				data[at], data[to] = data[to], data[at]
			}
			tried++
			if _, err := bundle.Decode(data); err == nil {
				decoded++
			}
			if e.try(t, data) {
				verified++
			}
		}
	}
	t.Logf("%d edits, %d still bundles, %d still verified", tried, decoded, verified)
	if decoded < tried/10 {
		t.Error("too few edits reach the verification")
	}
}

// FuzzEdited edits bundles of a world that exists only in this process: which bundle, where, how much to cut, what to put.
func FuzzEdited(f *testing.F) {
	sc := newScene(f)
	all := editables(f, sc)
	for i := range all {
		f.Add(uint8(i), uint16(0), uint8(0), []byte(nil))
		f.Add(uint8(i), uint16(40*i), uint8(1), []byte("A"))
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, cut uint8, put []byte) {
		e := &all[int(which)%len(all)]
		from := int(at) % len(e.encoded)
		to := min(from+int(cut), len(e.encoded))
		e.try(t, slices.Concat(e.encoded[:from], put, e.encoded[to:]))
	})
}

// FuzzVerify feeds any bytes as a bundle, starting from a real one that verifies.
func FuzzVerify(f *testing.F) {
	root, err := trust.DecodeRoot(testenv.ReadVector(f, "conformance-public", "rekor2-happy-path", "trusted_root.json"))
	if err != nil {
		f.Fatal(err)
	}
	data := testenv.ReadVector(f, "conformance-public", "rekor2-happy-path", "bundle.sigstore.json")
	original, err := bundle.Decode(data)
	if err != nil {
		f.Fatal(err)
	}
	e := &evidence{spec: world.Spec{Signer: world.Cert}, bundle: original}
	request := verify.Request{
		Artifact: verify.Artifact{Message: algorithm.Bytes(testenv.ReadVector(f, "conformance-public", "a.txt"))},
		Root:     root, Policy: beaconPolicy(f), Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	}
	f.Add(data)
	for _, spec := range []string{"{}", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`} {
		f.Add([]byte(spec))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Decode(data)
		req := request
		req.Candidates = []verify.Candidate{{Name: "fuzzed", Bundle: b, Err: err}}
		verify.Needs(req.Candidates, &req.Policy)
		holds(t, e, b, verify.Verify(&req))
	})
}

// TestFuzzSeed makes sure that the fuzz target starts from a bundle that verifies.
func TestFuzzSeed(t *testing.T) {
	root, err := trust.DecodeRoot(testenv.ReadVector(t, "conformance-public", "rekor2-happy-path", "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Decode(testenv.ReadVector(t, "conformance-public", "rekor2-happy-path", "bundle.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, &verify.Request{
		Candidates: []verify.Candidate{{Bundle: b}},
		Artifact:   verify.Artifact{Message: algorithm.Bytes(testenv.ReadVector(t, "conformance-public", "a.txt"))},
		Root:       root, Policy: beaconPolicy(t), Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	})
}
