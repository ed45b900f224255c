// Command kmsplugin is a key store for tests: a plug-in program for sigstore's protocol v1 whose keys are files in the
// directory that BULLA_TESTKMS_DIR names. It speaks the whole protocol, so that cosign can use it too: build it under
// the name sigstore-kms-testkms and say --key testkms://NAME.
//
// BULLA_TESTKMS_FAULT makes it misbehave: hang, flood, garbage, silent, error, chatty, exit, other-key, no-key,
// ignore-digest (sign what is on standard input although a digest was sent, as the protocol allows).
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/bulla-sign/bulla/keys"
)

type request struct {
	Init struct {
		Version  string      `json:"protocolVersion"`
		KeyID    string      `json:"keyResourceID"`
		HashFunc crypto.Hash `json:"hashFunc"`
	} `json:"initOptions"`
	Method string `json:"methodName"`
	Create struct {
		Algorithm string `json:"algorithm"`
	} `json:"createKey"`
	Sign struct {
		Options messageOptions `json:"signOptions"`
	} `json:"signMessage"`
	Verify struct {
		Signature []byte         `json:"signature"`
		Options   messageOptions `json:"verifyOptions"`
	} `json:"verifySignature"`
}

type messageOptions struct {
	Message struct {
		Digest   []byte      `json:"digest"`
		HashFunc crypto.Hash `json:"hashFunc"`
	} `json:"messageOptions"`
}

type object map[string]any

func main() {
	fault := os.Getenv("BULLA_TESTKMS_FAULT")
	if misbehave(fault) {
		return
	}
	reply, err := answer(fault)
	if err != nil {
		reply = object{"errorMessage": err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(reply); err != nil {
		os.Exit(1)
	}
	if fault == "exit" {
		os.Exit(3)
	}
}

// misbehave does what a fault asks for and reports whether that was all.
func misbehave(fault string) bool {
	switch fault {
	case "hang":
		time.Sleep(time.Hour)
	case "flood":
		line := bytes.Repeat([]byte("x"), 1<<16)
		for range 1 << 12 {
			if _, err := os.Stdout.Write(line); err != nil {
				os.Exit(1)
			}
		}
	case "garbage":
		fmt.Println("this is not JSON")
	case "silent":
		os.Exit(1)
	case "error":
		fmt.Print(`{"errorMessage":"the \u001b[31mtoken is locked"}`)
	case "chatty":
		fmt.Fprintln(os.Stderr, strings.Repeat("touch your \x1b[1mtoken ", 1<<14))
		return false
	default:
		return false
	}
	return true
}

func answer(fault string) (object, error) {
	if len(os.Args) != 3 || os.Args[1] != "v1" {
		return nil, fmt.Errorf("want the arguments \"v1\" and a request, got %q", os.Args[1:])
	}
	var req request
	if err := json.Unmarshal([]byte(os.Args[2]), &req); err != nil {
		return nil, fmt.Errorf("parsing the request: %w", err)
	}
	if req.Init.Version != "v1" {
		return nil, fmt.Errorf("protocol version %q", req.Init.Version)
	}
	path, err := keyPath(req.Init.KeyID)
	if err != nil {
		return nil, err
	}
	switch req.Method {
	case "defaultAlgorithm":
		return object{req.Method: object{"defaultAlgorithm": keys.DefaultAlgorithm}}, nil
	case "supportedAlgorithms":
		return object{req.Method: object{"supportedAlgorithms": keys.Algorithms()}}, nil
	case "createKey":
		return create(path, &req)
	}
	key, err := load(path)
	if err != nil {
		return nil, err
	}
	switch req.Method {
	case "publicKey":
		if fault == "no-key" {
			return object{}, nil
		}
		return publicKey(req.Method, key)
	case "signMessage":
		if fault == "other-key" {
			if key, err = keys.Generate(rand.Reader, ""); err != nil {
				return nil, err
			}
		}
		return sign(key, &req)
	case "verifySignature":
		return verify(key, &req)
	}
	return nil, fmt.Errorf("unsupported method %q", req.Method)
}

func keyPath(id string) (string, error) {
	dir := os.Getenv("BULLA_TESTKMS_DIR")
	if dir == "" || id == "" {
		return "", errors.New("BULLA_TESTKMS_DIR and a key name are needed")
	}
	return filepath.Join(dir, url.PathEscape(id)+".pem"), nil
}

func create(path string, req *request) (object, error) {
	key, err := keys.Generate(rand.Reader, req.Create.Algorithm)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return nil, err
	}
	return publicKey(req.Method, key)
}

func load(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return keys.Import(data, nil)
}

func publicKey(method string, key crypto.Signer) (object, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return object{method: object{"publicKeyPEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}}, nil
}

// input returns what is to be signed or verified: the digest of the options, else that of standard input. Pure Ed25519
// takes the message itself, with no hash.
func input(key crypto.Signer, req *request, opts messageOptions) ([]byte, crypto.Hash, error) {
	hash := opts.Message.HashFunc
	if hash == 0 {
		hash = req.Init.HashFunc
	}
	if len(opts.Message.Digest) > 0 && os.Getenv("BULLA_TESTKMS_FAULT") != "ignore-digest" {
		return opts.Message.Digest, hash, nil
	}
	message, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, 0, err
	}
	if _, ok := key.(ed25519.PrivateKey); ok {
		return message, 0, nil
	}
	if !hash.Available() {
		return nil, 0, fmt.Errorf("hash %d is not available", hash)
	}
	h := hash.New()
	h.Write(message)
	return h.Sum(nil), hash, nil
}

func sign(key crypto.Signer, req *request) (object, error) {
	in, hash, err := input(key, req, req.Sign.Options)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, in, hash)
	if err != nil {
		return nil, err
	}
	return object{req.Method: object{"signature": sig}}, nil
}

func verify(key crypto.Signer, req *request) (object, error) {
	in, hash, err := input(key, req, req.Verify.Options)
	if err != nil {
		return nil, err
	}
	sig, ok := req.Verify.Signature, false
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(pub, in, sig)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(pub, hash, in, sig) == nil
	case ed25519.PublicKey:
		ok = ed25519.VerifyWithOptions(pub, in, sig, &ed25519.Options{Hash: hash}) == nil
	}
	if !ok {
		return nil, errors.New("the signature does not verify")
	}
	return object{req.Method: object{}}, nil
}
