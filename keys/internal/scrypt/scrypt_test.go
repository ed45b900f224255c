package scrypt_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	reference "golang.org/x/crypto/scrypt"

	"github.com/bulla-sign/bulla/keys/internal/scrypt"
)

// The vector of RFC 7914, section 12, that has r = 8 and p = 1 and fits a test.
func TestVector(t *testing.T) {
	const want = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
		"d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
	got, err := scrypt.Key([]byte("pleaseletmein"), []byte("SodiumChloride"), 16384, 64)
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("got %x, error %v, want %s", got, err, want)
	}
}

// It says what the reference says, for every cost that key files have and those below.
func TestReference(t *testing.T) {
	for n := 2; n <= 1<<16; n *= 4 {
		compare(t, []byte("pass\x00word"), []byte{byte(n), 1, 2}, n, 32)
	}
	compare(t, nil, nil, 2, 1)
	compare(t, bytes.Repeat([]byte("long"), 1000), bytes.Repeat([]byte("salt"), 1000), 8, 200)
}

func compare(t *testing.T, password, salt []byte, n, size int) {
	t.Helper()
	want, err := reference.Key(password, salt, n, 8, 1, size)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := scrypt.Key(password, salt, n, size); err != nil || !bytes.Equal(got, want) {
		t.Errorf("N = %d: got %x, error %v, want %x", n, got, err, want)
	}
}

func TestCost(t *testing.T) {
	for _, n := range []int{-4, 0, 1, 3, 1000, 1<<20 + 1, 1 << 21, 1 << 30} {
		if key, err := scrypt.Key([]byte("p"), []byte("s"), n, 32); err == nil {
			t.Errorf("N = %d: got %x", n, key)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add([]byte("password"), []byte("salt"), uint8(4), uint8(32))
	f.Add([]byte{}, []byte{0}, uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, password, salt []byte, log, size uint8) {
		compare(t, password, salt, 2<<(log%8), int(size)%100+1)
	})
}

func BenchmarkKey(b *testing.B) {
	for b.Loop() {
		if _, err := scrypt.Key([]byte("password"), []byte("salt"), 1<<16, 32); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReference(b *testing.B) {
	for b.Loop() {
		if _, err := reference.Key([]byte("password"), []byte("salt"), 1<<16, 8, 1, 32); err != nil {
			b.Fatal(err)
		}
	}
}
