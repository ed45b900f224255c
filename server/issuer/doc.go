// Package issuer is an OpenID Connect provider for signing: it finds out who somebody is and says so in an identity token,
// which a certificate authority then turns into a short-lived certificate.
//
// It speaks OpenID Connect Core 1.0 with the authorization code flow and PKCE (RFC 7636, S256 only, mandatory), the device
// flow (RFC 8628), and client credentials for machines (RFC 6749 4.4). Tokens are RS256, because cosign takes a raw token
// for one only when it is. People come from one of three places: an upstream provider (federation), a list of users with
// hashed passwords, or the development login, which believes every address and therefore refuses to work where somebody
// else could reach it.
//
// There are no sessions: each sign-in yields one token, for the client that asked. Nothing but the signing keys outlives
// the process; a code that was under way when it ended is asked for again.
//
// # Subjects
//
// A person's subject is written as Dex writes it, so that one can take the place of the other: the base64url encoding of
// a protocol buffer with the user's ID at the connector (field 1) and the connector's ID (field 2). The connectors of the
// issuer itself are called "local" and "development"; a user's ID there is his User.ID and his e-mail address. The subject
// of a machine is its client ID.
//
// # Development login
//
// With Config.DevelopmentLogin, a script gets a token without any dialogue:
//
//	POST {issuer}/dev/token
//	email=alice@example.com&client_id=sigstore&nonce=…
//
// client_id (default: the first client) and nonce are optional. The answer is that of a token endpoint.
package issuer
