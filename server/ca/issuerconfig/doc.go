// Package issuerconfig reads the list of OpenID Connect issuers whose tokens a certificate authority accepts, in the file
// format of Fulcio (docs/oidc.md and config/identity/config.yaml of sigstore/fulcio): which issuers, for which client,
// what kind of identity their tokens speak of, and how the claims of a CI provider become certificate extensions.
//
// Both spellings are read, that of YAML files ("oidc-issuers", "client-id") and that of the older JSON ones
// ("OIDCIssuers", "ClientID"). A key that is not known is an error that names it and its line, since a setting that is
// ignored silently would be missed first by an attacker.
//
// An issuer is accepted by its exact URL, or by a pattern in which "*" stands for one or more characters of
// [-_a-zA-Z0-9], hence never for a dot, a slash, an at sign or a port; the pattern covers the whole URL.
//
// Nothing here opens a connection or reads a clock.
package issuerconfig
