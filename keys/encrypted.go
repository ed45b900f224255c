package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/secretbox"
)

// PEM types of encrypted private keys. The older one is read, the newer one written.
const (
	pemSigstore = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemCosign   = "ENCRYPTED COSIGN PRIVATE KEY"
)

// maxKeyBytes bounds every key that is read, private or public. The largest sensible one, an encrypted RSA-4096 key in
// PEM, is about 5 KB.
const maxKeyBytes = 64 << 10

// maxPasswordBytes bounds a password: nobody types more, and scrypt's first step is linear in it.
const maxPasswordBytes = 4 << 10

const (
	scryptN  = 1 << 16 // what cosign writes; about 0.1 s and 64 MiB
	scryptR  = 8
	scryptP  = 1
	saltSize = 32
	boxKey   = 32
	boxNonce = 24
)

// ErrWrongPassword says that an encrypted key did not open: the password is wrong, or the ciphertext was changed. The
// cipher cannot tell the two apart.
var ErrWrongPassword = errors.New("wrong password, or the key was damaged")

// encryptedKey is the JSON inside the PEM block (go-securesystemslib's "encrypted" format).
type encryptedKey struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N int `json:"N"`
			R int `json:"r"`
			P int `json:"p"`
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

// EncryptPEM returns key (RSA, ECDSA or Ed25519) as an "ENCRYPTED SIGSTORE PRIVATE KEY", which cosign reads too. An
// empty password is allowed. Salt and nonce are read from rand.
func EncryptPEM(rand io.Reader, key crypto.PrivateKey, password []byte) ([]byte, error) {
	return NewPassword(password).Encrypt(rand, key)
}

// Encrypt is [EncryptPEM] with the password p.
func (p *Password) Encrypt(rand io.Reader, key crypto.PrivateKey) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the private key: %v", err)
	}
	var random [saltSize + boxNonce]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %v", err)
	}

	var file encryptedKey
	file.KDF.Name = "scrypt"
	file.KDF.Params.N, file.KDF.Params.R, file.KDF.Params.P = scryptN, scryptR, scryptP
	file.KDF.Salt = p.salt(random[:saltSize])
	file.Cipher.Name = "nacl/secretbox"
	file.Cipher.Nonce = random[saltSize:]

	box, nonce, err := p.box(&file)
	if err != nil {
		return nil, err
	}
	file.Ciphertext = secretbox.Seal(nil, plain, nonce, box)
	body, err := json.Marshal(&file)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemSigstore, Bytes: body}), nil
}

// DecryptPEM opens an "ENCRYPTED SIGSTORE PRIVATE KEY" or "ENCRYPTED COSIGN PRIVATE KEY". The error wraps
// [ErrWrongPassword] when the password does not fit.
func DecryptPEM(data, password []byte) (crypto.Signer, error) {
	return NewPassword(password).Decrypt(data)
}

// Decrypt is [DecryptPEM] with the password p.
func (p *Password) Decrypt(data []byte) (crypto.Signer, error) {
	block, err := firstBlock(data)
	if err != nil {
		return nil, err
	}
	if block.Type != pemSigstore && block.Type != pemCosign {
		return nil, notEncrypted(block)
	}
	return p.decryptBlock(block)
}

func (p *Password) decryptBlock(block *pem.Block) (crypto.Signer, error) {
	var file encryptedKey
	if err := json.Unmarshal(block.Bytes, &file); err != nil {
		return nil, fmt.Errorf("reading the encrypted private key: its body is not the expected JSON: %v", err)
	}
	if err := file.check(); err != nil {
		return nil, fmt.Errorf("reading the encrypted private key: %v", err)
	}
	box, nonce, err := p.box(&file)
	if err != nil {
		return nil, fmt.Errorf("reading the encrypted private key: %v", err)
	}
	plain, ok := secretbox.Open(nil, file.Ciphertext, nonce, box)
	if !ok {
		return nil, fmt.Errorf("decrypting the private key: %w", ErrWrongPassword)
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("the decrypted private key is not PKCS#8: %v", err)
	}
	return usable(key)
}

// check refuses parameters that this format never had, before any work is done for them: scrypt's memory is set by N
// and r, and the file may come from anywhere.
func (k *encryptedKey) check() error {
	if k.KDF.Name != "scrypt" {
		return fmt.Errorf("key derivation %q is not supported, only scrypt", k.KDF.Name)
	}
	if k.Cipher.Name != "nacl/secretbox" {
		return fmt.Errorf("cipher %q is not supported, only nacl/secretbox", k.Cipher.Name)
	}
	p := k.KDF.Params
	if (p.N != 1<<15 && p.N != 1<<16 && p.N != 1<<17) || p.R != scryptR || p.P != scryptP {
		return fmt.Errorf("scrypt parameters N=%d, r=%d, p=%d are not supported; N must be 32768, 65536 or 131072, with r=8 and p=1", p.N, p.R, p.P)
	}
	if len(k.KDF.Salt) == 0 {
		return errors.New("the scrypt salt is empty")
	}
	if len(k.Cipher.Nonce) != boxNonce {
		return fmt.Errorf("the nonce has %d bytes, not %d", len(k.Cipher.Nonce), boxNonce)
	}
	return nil
}

// usable returns key as a signer if its type, curve and size are ones that Sigstore's registry has.
func usable(key any) (crypto.Signer, error) {
	var signer crypto.Signer
	switch k := key.(type) {
	case *rsa.PrivateKey:
		signer = k
	case *ecdsa.PrivateKey:
		signer = k
	case ed25519.PrivateKey:
		signer = k
	default:
		return nil, fmt.Errorf("private keys of type %T are not supported; use ECDSA, Ed25519 or RSA", key)
	}
	if err := checkPublic(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// firstBlock returns the first PEM block, after the EC PARAMETERS that "openssl ecparam -genkey" writes ahead of a key.
func firstBlock(data []byte) (*pem.Block, error) {
	if len(data) > maxKeyBytes {
		return nil, fmt.Errorf("a key of more than %d bytes is not read", maxKeyBytes)
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("no PEM block found; a key starts with a line like \"-----BEGIN PUBLIC KEY-----\"")
		}
		if block.Type != "EC PARAMETERS" {
			return block, nil
		}
		data = rest
	}
}
