// Package oidc gets identity tokens (OpenID Connect) for signing: from the surroundings of a CI job or a workload, from a
// file, by logging in with a browser or on another device, or with a client's own secret.
//
// A token is believed in nothing here: its signature is for the certificate authority to check. What it says is read to
// know what the authority wants signed, and to tell the user who he is about to be.
//
// The API may still change with the next release.
package oidc
