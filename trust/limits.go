package trust

// Limits of what is read. A trusted root comes from a signed repository or from the user, so these guard against
// mistakes more than against attackers; they are far above everything that exists.
const (
	// maxDocument bounds a trusted root or signing config in bytes. The largest known (GitHub's) has 29,000.
	maxDocument = 1 << 20
	// maxDepth bounds the nesting: root, list, authority, chain, list, certificate are 6, a client config adds one.
	maxDepth = 8
	// maxLogs bounds each list of logs. Public logs are replaced about once a year and never removed.
	maxLogs = 256
	// maxAuthorities bounds each list of authorities. One is added whenever an intermediate is replaced.
	maxAuthorities = 128
	// maxChain bounds a certificate chain; Sigstore's have at most three.
	maxChain = 8
	// maxCertificate bounds a certificate in bytes. RSA-4096 takes about 2,000, ML-DSA-87 about 7,500.
	maxCertificate = 16 << 10
	// maxServices bounds each list of services in a signing config.
	maxServices = 64
	// maxURL bounds an address in bytes: what web servers accept as a request line, and then some.
	maxURL = 4 << 10
	// hintSize is the length of a key ID in a signed note, in bytes (C2SP signed-note, "Signatures").
	hintSize = 4
	// logIDSize is the length of a log ID in bytes: SHA-256 (RFC 6962, 3.2; C2SP signed-note before truncation).
	logIDSize = 32
)
