package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// largeSize is the size of the large blob: one that a program feels if it holds it in memory.
const largeSize = 1 << 30

// hashFlag as the first argument makes this program hash a file, as plainly as Go can.
const hashFlag = "-hash-one"

func hashOne(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	buf := make([]byte, 1<<20)
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf); err != nil {
		return err
	}
	fmt.Printf("%x\n", h.Sum(nil))
	return nil
}

// large verifies a key signature over a small blob and over one of a gibibyte.
func (b *bench) large() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	pub := filepath.Join(b.dir, "key.pub")
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(pub, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	type figures map[string]series
	var small, large figures
	for _, blob := range []struct {
		name string
		size int64
		runs int
		into *figures
	}{{"small", 1 << 10, b.runs, &small}, {"large", largeSize, 3, &large}} {
		file := filepath.Join(b.dir, blob.name)
		bundle, err := signedBlob(file, blob.size, key)
		if err != nil {
			return err
		}
		args := []string{"verify-blob", "--key", pub, "--bundle", bundle, "--insecure-ignore-tlog", file}
		all, err := interleave([]command{
			{"cosign", append([]string{b.cosign}, args...)},
			{"plain SHA-256", []string{self, hashFlag, file}},
			{"bulla", append([]string{b.bulla}, args...)},
		}, blob.runs, b.env)
		if err != nil {
			return err
		}
		*blob.into = all
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	b.print(row{"verify-blob, small, key", "bulla", ms(small["bulla"].wall()), inMiB(small["bulla"].rss()), ""}, true)
	for _, who := range []string{"cosign", "plain SHA-256", "bulla"} {
		goal, met := "", true
		if who == "bulla" {
			extra := large[who].rss() - small[who].rss()
			ratio := float64(large[who].wall()) / float64(large["plain SHA-256"].wall())
			goal = fmt.Sprintf("<= 20 MiB over the small one (%s), <= 1.3 x SHA-256 (%.2f)", inMiB(extra), ratio)
			met = extra <= 20*mib && ratio <= 1.3
		}
		b.print(row{"verify-blob, 1 GiB, key", who, ms(large[who].wall()), inMiB(large[who].rss()), goal}, met)
	}
	return nil
}

// signedBlob writes a file of pseudo-random bytes and a bundle that signs it with the key, without a log entry.
func signedBlob(path string, size int64, key *ecdsa.PrivateKey) (bundle string, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	block := make([]byte, 1<<20)
	if _, err := rand.Read(block); err != nil {
		return "", err
	}
	for left := size; left > 0; left -= int64(len(block)) {
		block = block[:min(left, int64(len(block)))]
		block[0]++ // no two blocks in a row alike
		if _, err := io.MultiWriter(f, h).Write(block); err != nil {
			return "", err
		}
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	digest := h.Sum(nil)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		return "", err
	}
	type object = map[string]any
	data, err := json.Marshal(object{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": object{"publicKey": object{"hint": "bench"}},
		"messageSignature":     object{"messageDigest": object{"algorithm": "SHA2_256", "digest": digest}, "signature": sig},
	})
	if err != nil {
		return "", err
	}
	bundle = path + ".sigstore.json"
	// The file's pages must be on their way to the disk before the clock starts.
	time.Sleep(time.Second)
	return bundle, os.WriteFile(bundle, data, 0o600)
}
