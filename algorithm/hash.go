package algorithm

import (
	"crypto"
	_ "crypto/sha256" // registers SHA-224 and SHA-256
	_ "crypto/sha3"   // registers the SHA-3 family
	_ "crypto/sha512" // registers SHA-384 and SHA-512
)

// hashNames joins the two spellings of a hash. Order: bundleName's number first, then the rest.
var hashNames = [...]struct {
	hash   crypto.Hash
	bundle string // name in the enum HashAlgorithm; its number is the index plus one
	digest string // name in an in-toto digest set, a Rekor entry, a command line
}{
	{crypto.SHA256, "SHA2_256", "sha256"},
	{crypto.SHA384, "SHA2_384", "sha384"},
	{crypto.SHA512, "SHA2_512", "sha512"},
	{crypto.SHA3_256, "SHA3_256", "sha3_256"},
	{crypto.SHA3_384, "SHA3_384", "sha3_384"},
	{crypto.SHA224, "", "sha224"},
	{crypto.SHA512_256, "", "sha512_256"},
	{crypto.SHA3_512, "", "sha3_512"},
}

// bundleHashes is how many entries of hashNames are in the enum.
const bundleHashes = 5

// BundleHash returns the hash with the given name in the enum HashAlgorithm of sigstore's protobuf-specs ("SHA2_256").
// HASH_ALGORITHM_UNSPECIFIED and unknown names give false.
func BundleHash(name string) (crypto.Hash, bool) {
	for _, n := range hashNames[:bundleHashes] {
		if n.bundle == name {
			return n.hash, true
		}
	}
	return 0, false
}

// BundleHashNumber returns the hash with the given number in the enum HashAlgorithm (1 is SHA2_256). Zero, which is
// HASH_ALGORITHM_UNSPECIFIED, and unknown numbers give false.
func BundleHashNumber(n int32) (crypto.Hash, bool) {
	if n < 1 || n > bundleHashes {
		return 0, false
	}
	return hashNames[n-1].hash, true
}

// BundleHashName is the reverse of [BundleHash]: "SHA2_256", and false for a hash that the enum does not have.
func BundleHashName(h crypto.Hash) (string, bool) {
	for _, n := range hashNames[:bundleHashes] {
		if n.hash == h {
			return n.bundle, true
		}
	}
	return "", false
}

// Hash returns the hash with the given name in an in-toto digest set, a Rekor entry or a command line: "sha224",
// "sha256", "sha384", "sha512", "sha512_256", "sha3_256", "sha3_384", "sha3_512". Hashes with known collisions (md5,
// sha1) are not known here: a digest by them identifies nothing.
func Hash(name string) (crypto.Hash, bool) {
	for _, n := range hashNames {
		if n.digest == name {
			return n.hash, true
		}
	}
	return 0, false
}

// HashName is the reverse of [Hash]: "sha256", and "" for a hash that is not known.
func HashName(h crypto.Hash) string {
	for _, n := range hashNames {
		if n.hash == h {
			return n.digest
		}
	}
	return ""
}
