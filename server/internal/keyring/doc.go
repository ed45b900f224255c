// Package keyring opens and makes the private keys of a deployment, by reference: encrypted files in the state directory,
// or anything else that package keys of the root module knows, such as a key store behind a plug-in program. What it
// returns is a crypto.Signer, which is what the services take.
//
// A keyring in memory ([Memory]) is for deployments that end with their process.
package keyring
