// Package reason names why evidence was refused. The codes are stable: they stand in reports, in text and as JSON, and
// programs branch on them. Exit statuses are made of them, and docs/report.md lists them.
package reason

// Code says in one stable word why a check failed; programs branch on it.
type Code string

// The codes of failed checks and of refused reports.
const (
	Malformed       Code = "malformed"             // the evidence cannot be decoded or breaks its format's rules
	WrongMaterial   Code = "wrong-material"        // a key was demanded and a certificate found, or the reverse
	NoTrust         Code = "no-trust"              // no trusted root was given, or it lacks what is needed
	Timestamp       Code = "timestamp-invalid"     // an RFC 3161 timestamp does not verify
	NoTimestamp     Code = "timestamp-missing"     // fewer timestamp authorities vouch than demanded
	LogEntry        Code = "log-entry-invalid"     // a log entry does not verify
	LogMismatch     Code = "log-entry-mismatch"    // a log entry is of another signature, key or artifact
	NoLog           Code = "log-entry-missing"     // fewer logs vouch than demanded
	NoTime          Code = "time-missing"          // nothing trusted says when the signature was made
	Certificate     Code = "certificate-untrusted" // no trusted authority issued the certificate
	CertificateTime Code = "certificate-expired"   // the certificate or one above it is not valid at a verified time
	SCT             Code = "sct-invalid"           // a signed certificate timestamp does not verify
	NoSCT           Code = "sct-missing"           // fewer certificate logs vouch than demanded
	KeyTime         Code = "key-expired"           // the key is not valid at a verified time
	Signature       Code = "signature-mismatch"    // the signature is not one of this key over this artifact
	Artifact        Code = "artifact-mismatch"     // what was signed is another artifact
	DigestUnknown   Code = "digest-unavailable"    // the artifact's digest in the algorithm needed is not known
	Claim           Code = "claim-not-accepted"    // the kind of claim is not one the policy accepts
	Predicate       Code = "predicate-mismatch"    // the predicate type is not the one demanded
	Annotation      Code = "annotation-mismatch"   // an annotation is missing or has another value
	Identity        Code = "identity-mismatch"     // the certificate names somebody else
	NoEvidence      Code = "no-signatures"         // there was no candidate at all
	Threshold       Code = "too-few-signers"       // fewer distinct signers vouch than demanded
	EmptyPolicy     Code = "empty-policy"          // the policy names nobody, so nobody can satisfy it
	NoCertificate   Code = "no-certificate"        // a certificate was demanded and the evidence has none
	Revoked         Code = "revoked"               // the artifact, the key or the identity was revoked at the time of the signature
	NoImage         Code = "image-not-found"       // there is no such image; nothing was verified
	Unknown         Code = "unknown"               // a registry did not let one find out; this is not "unsigned"
	UnsupportedKey  Code = "unsupported-algorithm" // a key or signature of a kind that is not accepted
)
