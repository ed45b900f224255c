// Package keys opens the keys people sign and verify with: encrypted key files, environment variables, URLs, and key
// stores reached through plug-in programs.
//
// A key is named by a reference, the string given to --key:
//
//	path                encrypted private key, or public key, in a PEM file
//	env://NAME          the same PEM text in an environment variable
//	https://…           the same PEM text behind a URL
//	NAME://…            a key held by the plug-in program sigstore-kms-NAME
//
// Private key files are those of cosign and sigstore ("ENCRYPTED SIGSTORE PRIVATE KEY"): PKCS#8 under scrypt and NaCl's
// secretbox. Plain private keys are not accepted as a reference; [Import] turns them into encrypted ones.
//
// Whatever comes from outside the process (environment, HTTP, the password) is reached through an [Environment].
//
// Stability: new; names may still change before the first release.
package keys
