package bundle

// Limits on what Decode accepts, each with its reason.
const (
	// MaxBytes bounds a whole bundle or statement. SBOM attestations of large
	// images reach tens of megabytes; cosign stops at 128 MiB. 64 MiB keeps the
	// memory for one document below about 200 MiB.
	MaxBytes = 64 << 20
	// maxEntries and maxTimestamps are those of the other Sigstore clients: each
	// costs signature checks, and nobody publishes to dozens of logs.
	maxEntries    = 32
	maxTimestamps = 32
	// MaxCertificates bounds a chain: leaf and a few intermediates; path building
	// gets expensive with more.
	MaxCertificates = 10
	// maxSubjects and maxDigests (per subject) are those of the other clients.
	maxSubjects = 1024
	maxDigests  = 32

	// maxSignatures bounds what Decode keeps of a DSSE envelope; Validate wants
	// exactly one.
	maxSignatures = 32
	// maxHashes is the height of a Merkle tree with 2^63 leaves.
	maxHashes = 63
	// maxItem bounds a certificate, a signature, a timestamp and a checkpoint:
	// the largest standardised signature (SLH-DSA-256f) takes 49856 bytes, and
	// real certificates and timestamps take below 8 KiB.
	maxItem = 64 << 10
	// maxAnnotations bounds the annotations of a subject or payload: people
	// write them by hand, on the command line.
	maxAnnotations = 1024
	// maxDepth bounds nesting in bundles (the format's own is 7) and in what they
	// carry: predicates of deeply nested CycloneDX components stay below 100.
	maxDepth = 512
)
