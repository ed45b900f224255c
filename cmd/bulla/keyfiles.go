package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/keys"
)

// keyFiles names the two files of a key pair.
type keyFiles struct {
	private, public string
	output          string // json, or text
}

func keyFilesFor(prefix, output string) keyFiles {
	return keyFiles{prefix + ".key", prefix + ".pub", output}
}

// confirmOverwrite asks before files that exist are replaced, and reports whether any does. Losing a private key cannot
// be undone, and losing a public key makes what it signed hard to verify, so both count.
func confirmOverwrite(c *cli.Call, yes bool, paths ...string) (bool, error) {
	var there []string
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	switch len(there) {
	case 0:
		return false, nil
	case 1:
		return true, c.Confirm(yes, "file %s already exists and would be overwritten", there[0])
	}
	return true, c.Confirm(yes, "files %s and %s already exist and would be overwritten", there[0], there[1])
}

// writeKeyPair asks for a new password and writes both files. Unless replace is set, a file that has appeared meanwhile
// is not touched either.
func writeKeyPair(ctx context.Context, c *cli.Call, key crypto.Signer, files keyFiles, replace bool) error {
	password, err := c.KeyEnvironment().ReadPassword(ctx, true)
	if err != nil {
		return err
	}
	private, err := keys.EncryptPEM(rand.Reader, key, password)
	if err != nil {
		return err
	}
	write := durable.CreateFile
	if replace {
		write = durable.WriteFile
	}
	if err := write(files.private, private, 0o600); err != nil {
		return err
	}
	c.Infof("Private key written to %s", files.private)
	public, err := publicPEM(key.Public())
	if err != nil {
		return err
	}
	if err := write(files.public, public, 0o644); err != nil {
		return fmt.Errorf("%w; \"%s public-key --key %s\" prints the public key", err, c.Name, files.private)
	}
	c.Infof("Public key written to %s", files.public)
	return files.print(c, key.Public())
}

// keyOutcome is what the commands that make or read keys print with --output json.
type keyOutcome struct {
	PrivateKey string `json:"privateKey,omitempty"` // file
	PublicKey  string `json:"publicKey"`            // file, or where there is none the key itself in PEM
	Algorithm  string `json:"algorithm"`            // what the key signs with unless told otherwise
	KeySHA256  string `json:"keySha256"`            // hexadecimal SHA-256 of the public key's PKIX form
}

// print says which files were written, if that was asked for in JSON.
func (f keyFiles) print(c *cli.Call, pub crypto.PublicKey) error {
	if f.output != "json" {
		return nil
	}
	out, err := describeKey(pub)
	if err != nil {
		return err
	}
	out.PrivateKey, out.PublicKey = f.private, f.public
	return c.PrintJSON(out)
}

func describeKey(pub crypto.PublicKey) (*keyOutcome, error) {
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return nil, err
	}
	alg, err := algorithm.Default(pub)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &keyOutcome{Algorithm: alg.Name(), KeySHA256: hex.EncodeToString(sum[:])}, nil
}

// replaceFile writes what is made to be given away to the file that an output flag names. What is there is replaced,
// unless it is a key: those are replaced only by the commands that make keys, which ask.
func replaceFile(path string, data []byte) error {
	if err := cli.CheckOutput(path, data); err != nil {
		return err
	}
	return durable.WriteFile(path, data, evidenceMode)
}

func publicPEM(pub crypto.PublicKey) ([]byte, error) {
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
