//go:build !amd64

package scrypt

// blockMix is scryptBlockMix (RFC 7914, section 4) of a xor b. out is neither of them.
func blockMix(out, a, b *block) { mix(out, a, b) }
