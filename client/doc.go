// Package client talks to the services that signing needs: a certificate authority (Fulcio's HTTP API v2), transparency
// logs (Rekor v1 and v2) and timestamp authorities (RFC 3161). Its types fit the interfaces of package sign.
//
// Every call has a deadline of its own and is tried again, with growing pauses, when the service did not answer or said
// that it could not just now; Retry-After is honoured; the caller's context and [Options.Patience] bound the whole. A
// retried upload that had landed is found and used. Answers are bounded in size and are checked before they are returned:
// the certificate against the key and the authority, the entry against what was sent and the log's signature, the token
// against the request. No redirect is followed to another host, and a token is sent to no host but its authority.
//
// The API may still change with the next release.
package client
