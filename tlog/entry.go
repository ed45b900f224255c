package tlog

// Entry is one entry of a transparency log as it travels with a signature: TransparencyLogEntry of a Sigstore bundle, or
// the rekorBundle of cosign's older formats. Nothing in it is verified.
type Entry struct {
	// LogIndex is the index over all shards of a Rekor v1 log (what the signed entry timestamp covers); for Rekor v2 it
	// equals the index in Proof.
	LogIndex int64
	// LogID is logId.keyId, 32 bytes: SHA-256 of the log's public key (see [KeyIDv1], [KeyIDv2]).
	LogID []byte
	// Kind and Version are what was stated beside the body (kindVersion). They must equal those inside the body.
	Kind, Version string
	// IntegratedTime is in seconds since 1970; 0 means absent. Only the signed entry timestamp vouches for it.
	IntegratedTime int64
	// Promise is the signed entry timestamp (SET) of Rekor v1; nil when there is none.
	Promise []byte
	// Proof is nil when there is none.
	Proof *InclusionProof
	// Body is canonicalizedBody: the exact bytes of the log's leaf.
	Body []byte
}

// InclusionProof says that a leaf is in a tree (RFC 6962 2.1.1), with the checkpoint that signs the tree's head.
type InclusionProof struct {
	// LogIndex is the leaf's index in this tree, from 0. In Rekor v1 it differs from the entry's LogIndex when there are
	// several shards.
	LogIndex int64
	// TreeSize is the number of leaves of the tree.
	TreeSize int64
	// RootHash is 32 bytes when well formed.
	RootHash []byte
	// Hashes is the audit path, from the leaf's sibling upwards; 32 bytes each when well formed.
	Hashes [][]byte
	// Checkpoint is the signed note; empty when there is none.
	Checkpoint string
}
