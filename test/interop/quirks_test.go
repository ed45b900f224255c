package interop

// quirk is something that cosign itself cannot do, so that no case may ask it for that. The control direction (cosign
// verifies what cosign signed) checks each of them: one that no longer holds fails the test and leaves the table.
type quirk struct {
	alg, flow string // which round; flow "*" is every flow of the format
	legacy    bool
	sign      bool // cosign cannot sign it
	verify    bool // cosign cannot verify what cosign signed
	why       string
}

func quirks() []quirk {
	return []quirk{
		{
			alg: "ed25519", flow: "*", legacy: false, sign: true,
			why: "cosign signs with ed25519ph and checks its own signature as pure ed25519, so nothing is written (defect 8)",
		},
		{
			alg: "ed25519", flow: "attest-blob/detached", legacy: true, verify: true,
			why: "the envelope is signed with ed25519ph and verified as pure ed25519 (defect 8)",
		},
		{
			alg: "ed25519", flow: "attest-blob/old-bundle", legacy: true, verify: true,
			why: "the envelope is signed with ed25519ph and verified as pure ed25519 (defect 8)",
		},
		{
			alg: "ed25519", flow: "image/legacy", legacy: true, verify: true,
			why: "the payload is signed with ed25519ph and verified as pure ed25519 (defect 8)",
		},
		{
			alg: "ed25519", flow: "attest/legacy", legacy: true, verify: true,
			why: "the envelope is signed with ed25519ph and verified as pure ed25519 (defect 8)",
		},
	}
}

// quirkOf finds the exception for a round, or the zero value.
func quirkOf(alg algorithm, f flow) quirk {
	for _, q := range quirks() {
		if q.alg == alg.name && q.legacy == f.legacy && (q.flow == "*" || q.flow == f.name) {
			return q
		}
	}
	return quirk{}
}
