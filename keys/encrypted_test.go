package keys

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// The hints were taken with cosign 3.1.3 ("public-key") and openssl.
func TestDecryptVectors(t *testing.T) {
	tests := []struct {
		dir, file, password, hint string
	}{
		{"sigstore-rs/keys", "ecdsa_encrypted_private.key", "123", "ACCIY9l4UibfmtaM6yrVtD8fXd1oYUfyURbuCIcm620="},
		{"sigstore-rs/keys", "ed25519_encrypted_private.key", "123", "rUjrzmwmtQUkbEzEx1P2SDqNxkXRINMG1ogeP5j3Cp4="},
		{"sigstore-rs/keys", "rsa_encrypted_private.key", "123", "uWEpfVTO3Loah/1G8NXjcEbaPLWorucsckBs4NQgCNE="},
		{"sigstore-rs/keys", "cosign_generated_encrypted_empty_private.key", "", "DYzWeU3vXF47QvN79u4puyUs4ml3HPPAeF2S/Ke+WG8="},
		{"cosign-generated", "cosign.key", "bench", "dav+dSSM2oCLznsmL4GWG5khsAbPKIxYQ4rUEIF5Lv0="},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			data := testenv.ReadVector(t, tt.dir, tt.file)
			key, err := DecryptPEM(data, []byte(tt.password))
			if err != nil {
				t.Fatal(err)
			}
			if got := Hint(key.Public()); got != tt.hint {
				t.Errorf("got the key %s, want %s", got, tt.hint)
			}
			if _, err := DecryptPEM(data, []byte(tt.password+"x")); !errors.Is(err, ErrWrongPassword) {
				t.Errorf("wrong password: got %v", err)
			}
			if !Encrypted(data) {
				t.Error("not recognised as encrypted")
			}
		})
	}
	for file, hint := range map[string]string{
		"ecdsa_private.key":   "1nZ+jSSK37UHTb++boDtJm5q8u3CuVHqo5/Uaf0Z1FA=",
		"rsa_private.key":     "iTiQptNRa5MdmJMhZWPUILB7ZbqD6dcXSWjvFlk+LUU=",
		"ed25519_private.key": "", // PKCS#8 version 2, which openssl does not read
	} {
		data := testenv.ReadVector(t, "sigstore-rs/keys", file)
		key, err := Import(data, nil)
		if err != nil || hint != "" && Hint(key.Public()) != hint {
			t.Errorf("%s: %v", file, err)
		}
		if Encrypted(data) {
			t.Errorf("%s: taken for an encrypted key", file)
		}
	}
}

func TestCosignPublicKeyBelongs(t *testing.T) {
	key, err := DecryptPEM(testenv.ReadVector(t, "cosign-generated", "cosign.key"), []byte("bench"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := parsePublic(testenv.ReadVector(t, "cosign-generated", "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if Hint(pub) != Hint(key.Public()) || Hint(pub) == "" {
		t.Errorf("hints differ: %q and %q", Hint(pub), Hint(key.Public()))
	}
}

func TestEncryptRoundTrip(t *testing.T) {
	for _, alg := range []string{"", "ecdsa-sha2-384-nistp384", "ecdsa-sha2-512-nistp521", "ed25519", "rsa-sign-pkcs1-2048-sha256"} {
		passwords := []string{"pass word\n"}
		if alg == "" { // the others would add nothing but time: scrypt is slow on purpose
			passwords = append(passwords, "")
		}
		for _, password := range passwords {
			key, err := Generate(rand.Reader, alg)
			if err != nil {
				t.Fatal(err)
			}
			data, err := EncryptPEM(rand.Reader, key, []byte(password))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(data, []byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")) {
				t.Fatalf("%s: starts with %.50q", alg, data)
			}
			back, err := DecryptPEM(data, []byte(password))
			if err != nil {
				t.Fatal(err)
			}
			if !samePublic(key, back) {
				t.Errorf("%s: another key came back", alg)
			}
			if alg != "" {
				continue
			}
			if imported, err := Import(data, []byte(password)); err != nil || !samePublic(key, imported) {
				t.Errorf("importing an encrypted key: %v", err)
			}
		}
	}
}

// mutate decrypts nothing: it changes the JSON inside an encrypted key and wraps it again.
func mutate(t *testing.T, data []byte, change func(m map[string]any)) []byte {
	t.Helper()
	block, _ := pem.Decode(data)
	var m map[string]any
	if err := json.Unmarshal(block.Bytes, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	block.Bytes, _ = json.Marshal(m)
	return pem.EncodeToMemory(block)
}

func TestDecryptRefuses(t *testing.T) {
	good := testenv.ReadVector(t, "cosign-generated", "cosign.key")
	kdf := func(m map[string]any) map[string]any { return m["kdf"].(map[string]any) }
	params := func(m map[string]any) map[string]any { return kdf(m)["params"].(map[string]any) }
	cipher := func(m map[string]any) map[string]any { return m["cipher"].(map[string]any) }
	tests := []struct {
		name   string
		change func(m map[string]any)
		want   string
	}{
		{"N too large", func(m map[string]any) { params(m)["N"] = 1 << 30 }, "N must be 32768, 65536 or 131072"},
		{"N too small", func(m map[string]any) { params(m)["N"] = 1024 }, "N=1024"},
		{"r", func(m map[string]any) { params(m)["r"] = 1 << 20 }, "r=1048576"},
		{"p", func(m map[string]any) { params(m)["p"] = 2 }, "p=2"},
		{"kdf name", func(m map[string]any) { kdf(m)["name"] = "pbkdf2" }, `"pbkdf2" is not supported`},
		{"cipher name", func(m map[string]any) { cipher(m)["name"] = "none" }, `"none" is not supported`},
		{"nonce", func(m map[string]any) { cipher(m)["nonce"] = "AAAA" }, "nonce has 3 bytes"},
		{"salt", func(m map[string]any) { kdf(m)["salt"] = "" }, "salt is empty"},
		{"other salt", func(m map[string]any) { kdf(m)["salt"] = "AAAA" }, "wrong password"},
		{"ciphertext cut", func(m map[string]any) { m["ciphertext"] = "AAAA" }, "wrong password"},
		{"no ciphertext", func(m map[string]any) { delete(m, "ciphertext") }, "wrong password"},
		{"N is text", func(m map[string]any) { params(m)["N"] = "65536" }, "not the expected JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecryptPEM(mutate(t, good, tt.change), []byte("bench"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
	// The same file untouched still opens: the refusals above come from the changes.
	if _, err := DecryptPEM(mutate(t, good, func(map[string]any) {}), []byte("bench")); err != nil {
		t.Error(err)
	}
	if _, err := DecryptPEM(good, bytes.Repeat([]byte("x"), maxPasswordBytes+1)); err == nil || errors.Is(err, ErrWrongPassword) {
		t.Errorf("endless password: %v", err)
	}
}

// N = 131072 is what go-securesystemslib calls "OWASP"; no vector has it.
func TestDecryptLargestN(t *testing.T) {
	key, err := Generate(rand.Reader, "ed25519")
	if err != nil {
		t.Fatal(err)
	}
	data := sealWithN(t, key, 1<<17)
	back, err := DecryptPEM(data, []byte("pw"))
	if err != nil || !samePublic(key, back) {
		t.Errorf("N=131072: %v", err)
	}
}

func TestGenerateUnknown(t *testing.T) {
	if _, err := Generate(rand.Reader, "dsa"); err == nil || !strings.Contains(err.Error(), DefaultAlgorithm) {
		t.Errorf("got %v", err)
	}
	for _, alg := range Algorithms() {
		if strings.Contains(alg, "3072") || strings.Contains(alg, "4096") {
			continue // seconds each
		}
		key, err := Generate(rand.Reader, alg)
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if err := checkPublic(key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	if _, err := Generate(bytes.NewReader(nil), "ed25519"); err == nil {
		t.Error("a key was made without randomness")
	}
}

func FuzzDecryptPEM(f *testing.F) {
	for _, name := range []string{"ecdsa_encrypted_private.key", "ecdsa_private.key", "rsa_private.key", "ed25519_private.key"} {
		f.Add(testenv.ReadVector(f, "sigstore-rs", "keys", name))
	}
	f.Add([]byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Checking the parameters is what keeps scrypt bounded; running it on every input would only slow the search.
		if block, err := firstBlock(data); err == nil {
			var file encryptedKey
			if json.Unmarshal(block.Bytes, &file) == nil && file.check() == nil && file.KDF.Params.N > 1<<17 {
				t.Fatal("accepted scrypt parameters beyond the limit")
			}
			if block.Type == pemSigstore || block.Type == pemCosign {
				return
			}
		}
		key, err := Import(data, nil)
		if (key == nil) == (err == nil) {
			t.Fatalf("key %v, error %v", key, err)
		}
		if pub, err := parsePublic(data); err == nil && Hint(pub) == "" {
			t.Fatal("a public key without a hint")
		}
	})
}

func samePublic(a, b crypto.Signer) bool {
	x, err1 := x509.MarshalPKIXPublicKey(a.Public())
	y, err2 := x509.MarshalPKIXPublicKey(b.Public())
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
