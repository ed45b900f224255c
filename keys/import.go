package keys

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Import reads a private key from PEM: PKCS#8 ("PRIVATE KEY"), PKCS#1 ("RSA PRIVATE KEY"), SEC 1 ("EC PRIVATE KEY"), or
// a key this package encrypted, for which the password is needed. Accepted are RSA of 2048 to 4096 bits, ECDSA on P-256,
// P-384 and P-521, and Ed25519.
func Import(data, password []byte) (crypto.Signer, error) {
	block, err := firstBlock(data)
	if err != nil {
		return nil, err
	}
	if block.Headers["Proc-Type"] != "" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("the private key is encrypted in OpenSSL's old way; remove that first with \"openssl pkey -in KEY -out PLAIN\"")
	}
	switch block.Type {
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the PKCS#8 private key: %v", err)
		}
		return usable(key)
	case "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the PKCS#1 private key: %v", err)
		}
		return usable(key)
	case "EC PRIVATE KEY":
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the SEC 1 private key: %v", err)
		}
		return usable(key)
	case pemSigstore, pemCosign:
		return NewPassword(password).decryptBlock(block)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the private key is encrypted PKCS#8; decrypt it first with \"openssl pkey -in KEY -out PLAIN\"")
	}
	return nil, fmt.Errorf("a PEM block of type %q is not a private key that can be imported; PKCS#8, PKCS#1 and SEC 1 can", block.Type)
}

// Encrypted reports whether data starts with one of this package's encrypted private keys, so that a caller knows
// whether to ask for a password.
func Encrypted(data []byte) bool {
	block, err := firstBlock(data)
	return err == nil && (block.Type == pemSigstore || block.Type == pemCosign)
}

// notEncrypted says why a PEM block cannot be signed with, and what to do about it.
func notEncrypted(block *pem.Block) error {
	switch block.Type {
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return fmt.Errorf("it holds a plain private key (%s), and only encrypted ones are signed with; turn it into one with \"bulla import-key-pair --key FILE\"", block.Type)
	case "ENCRYPTED PRIVATE KEY":
		return errors.New("it holds an encrypted PKCS#8 key; decrypt it with \"openssl pkey -in FILE -out PLAIN\", then \"bulla import-key-pair --key PLAIN\"")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return errors.New("it holds a public key, and signing needs the private one (a .key file)")
	case "CERTIFICATE":
		return errors.New("it holds a certificate, and signing needs a private key (a .key file)")
	}
	return fmt.Errorf("a PEM block of type %q is not an encrypted private key", block.Type)
}
