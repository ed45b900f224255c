// Package timestamp reads and checks RFC 3161 time-stamp tokens: a third party's signed word that some bytes existed at
// a moment. It also writes the requests and reads the responses of the protocol.
//
// A token is CMS SignedData (RFC 5652) over a TSTInfo (RFC 3161 2.4.2), and names its signer by a hash of the signer's
// certificate (RFC 5035, RFC 5816). The package is pure: it takes bytes and values, reads no clock and no network. All
// DER is read strictly: definite, minimal lengths, nothing after the end.
//
// The API is stable from the first release on.
package timestamp

import (
	"crypto"
	"encoding/asn1"
	"math/big"
	"time"
)

// Limits of what is read. Nothing is allocated by a length that the input states; these bound work and error text.
const (
	// MaxTokenSize is the largest response or token in bytes. Tokens that embed a chain of RSA-4096 certificates have
	// some 8 KiB; bundles carry several tokens, so the limit is a small multiple of that.
	MaxTokenSize = 64 << 10
	// MaxCertificates is the most certificates that a token may embed. Public authorities embed two to four.
	MaxCertificates = 16
	// MaxAttributes is the most signed attributes of a token. Public authorities write four to six.
	MaxAttributes = 32
	// maxInteger is the largest serial number or nonce in bytes. RFC 3161 2.4.2 asks for 20, clients send up to 32.
	maxInteger = 64
)

// Token is a time-stamp token as it was read, before any check of its signature. Its fields are claims of whoever made
// the bytes; [Token.Verify] turns them into a [Result].
type Token struct {
	// ClaimedTime is genTime, in UTC: what the token says. Decisions use [Result.Time], which exists only after the
	// token's signature was checked.
	ClaimedTime time.Time
	// Accuracy is how far the true time may lie from the stated one, either way; 0 when the token states none.
	Accuracy time.Duration
	// Ordering says that tokens of this authority are ordered by their times alone (RFC 3161 2.4.2).
	Ordering bool
	// Policy is the policy of the authority under which the token was made.
	Policy asn1.ObjectIdentifier
	// SerialNumber is the authority's number of the token.
	SerialNumber *big.Int
	// Nonce repeats the request's nonce; nil when there was none.
	Nonce *big.Int
	// HashAlgorithm is the hash of Imprint: SHA-256, SHA-384 or SHA-512.
	HashAlgorithm crypto.Hash
	// Imprint is the hash of the bytes that were stamped.
	Imprint []byte
	// Certificates are the certificates that travel with the token, in DER, in the token's order. They are neither
	// trusted nor parsed: those that are not on the signer's path have no influence at all, not even if broken.
	Certificates [][]byte

	tsaName  []byte // TSTInfo.tsa: one DER GeneralName; nil when absent
	content  []byte // the DER of TSTInfo, as it was hashed
	version  int64  // of SignedData
	signer   signerInfo
	tokenDER []byte
}

// Raw returns the DER of the token itself: the ContentInfo, without the response around it. It must not be changed.
func (t *Token) Raw() []byte { return t.tokenDER }

// Parse reads a TimeStampResp that grants a token (RFC 3161 2.4.2), or the token's ContentInfo alone. A response that
// grants nothing is a [*StatusError].
func Parse(der []byte) (*Token, error) {
	if isResponse(der) {
		r, err := ParseResponse(der)
		if err != nil {
			return nil, err
		}
		return r.Granted()
	}
	return parseToken(der)
}
