// Package scrypt derives keys from passwords (RFC 7914) with the parameters r = 8 and p = 1, which the key files of Sigstore
// have. What comes out is what golang.org/x/crypto/scrypt says, to which the tests compare it; it is here because most of the
// time that takes goes into the pages of 64 MiB of fresh memory, one after the other, when nobody tells the system that they
// are all needed.
package scrypt

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	r = 8
	// maxN bounds the memory that a derivation takes, to a gigabyte. Key files have at most an eighth of it.
	maxN = 1 << 20
)

// salsa is the input and output of the hash function Salsa20/8, and block is what scryptBlockMix works on: 128 r octets, of
// which memory holds N.
type (
	salsa [16]uint32
	block [2 * r]salsa
)

// Key returns size bytes. n, the cost, is a power of two from 2 to 1<<20; the derivation takes n KiB of memory.
func Key(password, salt []byte, n, size int) ([]byte, error) {
	if n < 2 || n > maxN || n&(n-1) != 0 {
		return nil, fmt.Errorf("scrypt: the cost is %d, want a power of two from 2 to %d", n, maxN)
	}
	b, err := pbkdf2.Key(sha256.New, string(password), salt, 1, 128*r)
	if err != nil {
		return nil, err
	}
	var x block
	for i := range x {
		for j := range x[i] {
			x[i][j] = binary.LittleEndian.Uint32(b[64*i+4*j:])
		}
	}
	memory, release := allocate(n)
	defer release()
	roMix(memory, &x)
	for i := range x {
		for j := range x[i] {
			binary.LittleEndian.PutUint32(b[64*i+4*j:], x[i][j])
		}
	}
	return pbkdf2.Key(sha256.New, string(password), b, 1, size)
}

// roMix is scryptROMix (RFC 7914, section 5), in place.
func roMix(v []block, x *block) {
	var none, y block
	v[0] = *x
	for i := range len(v) - 1 {
		blockMix(&v[i+1], &v[i], &none)
	}
	blockMix(x, &v[len(v)-1], &none)
	mask := uint32(len(v) - 1)
	for range len(v) / 2 { // two steps at a time, so that nothing is copied
		blockMix(&y, x, &v[x[2*r-1][0]&mask])
		blockMix(x, &y, &v[y[2*r-1][0]&mask])
	}
}

// mix is blockMix for any processor.
func mix(out, a, b *block) {
	var x salsa
	for i := range x {
		x[i] = a[2*r-1][i] ^ b[2*r-1][i]
	}
	for i := 0; i < 2*r; i += 2 {
		x.hash(&a[i], &b[i], &out[i/2])
		x.hash(&a[i+1], &b[i+1], &out[r+i/2])
	}
}

// hash replaces x by Salsa20/8 (section 3) of x xor a xor b, and copies it to out.
func (x *salsa) hash(a, b, out *salsa) {
	for i := range x {
		x[i] ^= a[i] ^ b[i]
	}
	x0, x1, x2, x3, x4, x5, x6, x7 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	x8, x9, x10, x11, x12, x13, x14, x15 := x[8], x[9], x[10], x[11], x[12], x[13], x[14], x[15]
	for range 4 {
		x4 ^= bits.RotateLeft32(x0+x12, 7)
		x8 ^= bits.RotateLeft32(x4+x0, 9)
		x12 ^= bits.RotateLeft32(x8+x4, 13)
		x0 ^= bits.RotateLeft32(x12+x8, 18)
		x9 ^= bits.RotateLeft32(x5+x1, 7)
		x13 ^= bits.RotateLeft32(x9+x5, 9)
		x1 ^= bits.RotateLeft32(x13+x9, 13)
		x5 ^= bits.RotateLeft32(x1+x13, 18)
		x14 ^= bits.RotateLeft32(x10+x6, 7)
		x2 ^= bits.RotateLeft32(x14+x10, 9)
		x6 ^= bits.RotateLeft32(x2+x14, 13)
		x10 ^= bits.RotateLeft32(x6+x2, 18)
		x3 ^= bits.RotateLeft32(x15+x11, 7)
		x7 ^= bits.RotateLeft32(x3+x15, 9)
		x11 ^= bits.RotateLeft32(x7+x3, 13)
		x15 ^= bits.RotateLeft32(x11+x7, 18)

		x1 ^= bits.RotateLeft32(x0+x3, 7)
		x2 ^= bits.RotateLeft32(x1+x0, 9)
		x3 ^= bits.RotateLeft32(x2+x1, 13)
		x0 ^= bits.RotateLeft32(x3+x2, 18)
		x6 ^= bits.RotateLeft32(x5+x4, 7)
		x7 ^= bits.RotateLeft32(x6+x5, 9)
		x4 ^= bits.RotateLeft32(x7+x6, 13)
		x5 ^= bits.RotateLeft32(x4+x7, 18)
		x11 ^= bits.RotateLeft32(x10+x9, 7)
		x8 ^= bits.RotateLeft32(x11+x10, 9)
		x9 ^= bits.RotateLeft32(x8+x11, 13)
		x10 ^= bits.RotateLeft32(x9+x8, 18)
		x12 ^= bits.RotateLeft32(x15+x14, 7)
		x13 ^= bits.RotateLeft32(x12+x15, 9)
		x14 ^= bits.RotateLeft32(x13+x12, 13)
		x15 ^= bits.RotateLeft32(x14+x13, 18)
	}
	x.add(&salsa{x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15})
	*out = *x
}

// add adds word by word.
func (x *salsa) add(y *salsa) {
	for i := range x {
		x[i] += y[i]
	}
}
