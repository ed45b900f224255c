// Package identity reads who a certificate speaks for, and decides whether that is who the user demanded.
//
// A certificate names its holder in the Subject Alternative Name extension (RFC 5280 4.2.1.6) and, when a Fulcio-like
// authority issued it, says in extensions below 1.3.6.1.4.1.57264.1 which identity provider vouched for the holder and
// what the provider claimed about the build. [ParseCertificate] reads both; [Matcher] compares them with patterns;
// [Extensions] is the only table of those extensions in the project.
//
// The package also reads and verifies Signed Certificate Timestamps (RFC 6962 3.2, 3.3), embedded or detached.
// It builds no certificate path and trusts nothing: a [Certificate] is what the bytes say until a caller has verified
// its chain.
//
// Stability: new; the exported names are meant to stay.
package identity
