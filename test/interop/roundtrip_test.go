package interop

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"
)

// direction is who signs and who verifies.
type direction struct {
	name             string
	signer, verifier *program
}

func directions() []direction {
	w := theWorld
	return []direction{
		{"cosign-to-cosign", w.cosign, w.cosign}, // the control: it shows that the table asks the possible
		{"bulla-to-cosign", w.bulla, w.cosign},
		{"cosign-to-bulla", w.cosign, w.bulla},
		{"bulla-to-bulla", w.bulla, w.bulla},
		{"cosign-to-bulla-called-cosign", w.cosign, w.asCosign},
	}
}

// TestRoundTrips signs with one program and verifies with the other: every algorithm, every flow, every registry, in
// every direction; and after each success asks for the three refusals that give it a meaning. CI takes the sample of
// [algorithmsIn]; with BULLA_SOAK it is all of them.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for i, d := range directions() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for j, f := range flows() {
				for _, alg := range algorithmsIn(i, j, f) {
					for name, registry := range registriesOf(f) {
						t.Run(f.name+"/"+alg.name+name, func(t *testing.T) {
							t.Parallel()
							roundTrip(t, d, f, alg, registry)
						})
					}
				}
			}
		})
	}
}

// algorithmsIn are those that a flow is tried with in a direction. The sample has every flow and every algorithm in every
// direction, and each algorithm goes through each flow in one direction. Exceptions are all in the control.
func algorithmsIn(direction, number int, f flow) (in []algorithm) {
	all := algorithmsOf(f)
	for k, alg := range all {
		exception := quirkOf(alg, f) != quirk{}
		switch {
		case os.Getenv("BULLA_SOAK") != "":
			in = append(in, alg)
		case (direction+number+k)%len(directions()) == 0:
			in = append(in, alg)
			if exception { // cosign does not come to the end of the flow with it
				in = append(in, all[0])
			}
		case direction == 0 && exception:
			in = append(in, alg)
		}
	}
	return in
}

// algorithmsOf leaves out what makes no difference to a flow: to a registry, the size of an RSA key.
func algorithmsOf(f flow) []algorithm {
	return slices.DeleteFunc(algorithms(), func(a algorithm) bool { return a.variant && f.image })
}

// TestSample: the sample keeps its word.
func TestSample(t *testing.T) {
	t.Setenv("BULLA_SOAK", "")
	seen := map[string]bool{}
	rounds := 0
	for i := range directions() {
		for j, f := range flows() {
			for _, alg := range algorithmsIn(i, j, f) {
				rounds += len(registriesOf(f))
				seen[fmt.Sprint(i, alg.name)], seen[f.name+alg.name] = true, true
				seen[fmt.Sprint(i, f.name)] = seen[fmt.Sprint(i, f.name)] || quirkOf(alg, f) == quirk{}
			}
		}
	}
	for i, d := range directions() {
		for _, f := range flows() {
			for _, alg := range algorithmsOf(f) {
				if !seen[fmt.Sprint(i, f.name)] || !seen[fmt.Sprint(i, alg.name)] || !seen[f.name+alg.name] {
					t.Errorf("the sample lacks two of %s, %s and %s together", d.name, f.name, alg.name)
				}
			}
		}
	}
	t.Logf("%d rounds", rounds)
}

func registriesOf(f flow) map[string]string {
	if !f.image {
		return map[string]string{"": ""}
	}
	return map[string]string{"/fallback-tag": theWorld.fallback, "/referrers-api": theWorld.referrers}
}

func roundTrip(t *testing.T, d direction, f flow, alg algorithm, registry string) {
	needs(t, d.signer, f.signer, "import-key-pair")
	needs(t, d.verifier, f.verifier, "import-key-pair")
	q := quirkOf(alg, f)
	byCosign := d.signer == theWorld.cosign
	r := newRound(t, f, alg, registry)
	r.key = theWorld.key(t, d.signer, alg, "signer")
	signed := d.signer.run(f.sign(r)...)
	if byCosign && q.sign {
		if signed.code == 0 {
			t.Fatalf("cosign can do this now, take the exception out: %s", q.why)
		}
		return
	}
	signed.wantOK(t)

	// What was signed with one program's key file is verified with the other's copy of the same key.
	r.key = theWorld.key(t, d.verifier, alg, "signer")
	byItself := byCosign && d.verifier == theWorld.cosign
	if byItself && q.verify {
		if got := verify(d.verifier, f, r); got.code == 0 {
			t.Fatalf("cosign can do this now, take the exception out: %s", q.why)
		}
		return
	}
	verify(d.verifier, f, r).wantOK(t)
	refusals(t, d.verifier, f, r)
}

// verify calls the verifier; cosign must be told the digest of the larger curves, bulla finds it by itself.
func verify(p *program, f flow, r *round) result {
	args := f.verify(r)
	if p == theWorld.cosign && r.alg.digest != "" {
		args = append(args, "--signature-digest-algorithm", r.alg.digest)
	}
	return p.run(args...)
}

// refusals asks for what must not verify: another key, another artifact, and a signature without its log entry when
// the caller did not say that there is none.
func refusals(t *testing.T, p *program, f flow, r *round) {
	t.Helper()
	wrongKey := *r
	wrongKey.key = theWorld.key(t, p, r.alg, "stranger")
	verify(p, f, &wrongKey).wantRefused(t).wantStatus(t, p, f, 12)

	swapped := *r
	swapped.artifact, swapped.image = r.other, r.other
	verify(p, f, &swapped).wantRefused(t).wantStatus(t, p, f, 10)

	if p == theWorld.cosign && f.legacy {
		return // cosign asks the public log for an entry: no business of a test
	}
	logged := f
	logged.verify = func(r *round) []string {
		var args []string
		for _, a := range f.verify(r) {
			if a != "--insecure-ignore-tlog" {
				args = append(args, a)
			}
		}
		return append(args, "--trusted-root", theWorld.trustedRoot())
	}
	verify(p, logged, r).wantRefused(t).wantStatus(t, p, f, 12)
}

// wantStatus checks the documented exit status of a refusal: bulla's for images, whatever the format.
func (r result) wantStatus(t *testing.T, p *program, f flow, status int) {
	t.Helper()
	if p == theWorld.bulla && f.image && r.code != status {
		t.Errorf("exit status %d, want %d: %s", r.code, status, r)
	}
}

func random32(t *testing.T) uint32 {
	t.Helper()
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(b[:])
}
