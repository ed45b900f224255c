package trust

import "time"

// Revocation withdraws an artifact, a key or an identity from a time on. Package revocation reads them; whoever signed
// them is trusted to revoke.
type Revocation struct {
	// Exactly one of these says what is revoked: an artifact or a key by the lower-case hexadecimal SHA-256 of its bytes or
	// of its PKIX form, or whoever a certificate with this name and this OpenID issuer was given to.
	Artifact, Key   string
	Subject, Issuer string
	// From is the first moment at which signatures no longer count; zero: they never did.
	From   time.Time
	Reason string
	By     string // who revoked: the fingerprint of the key that signed the statement
}

// At says whether a signature that was made at the given time is struck. From belongs to the time that is.
func (r *Revocation) At(t time.Time) bool { return !t.Before(r.From) }
