package scrypt

// blockMix is scryptBlockMix (RFC 7914, section 4) of a xor b. out is neither of them. Every processor of this kind can run it.
func blockMix(out, a, b *block) { mixWords(out, a, b) }

// mixWords does so in the processor's own words, of which there are just too few for what the compiler makes of them.
//
//go:noescape
func mixWords(out, a, b *block)
