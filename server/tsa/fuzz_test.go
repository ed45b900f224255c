package tsa_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"testing"

	"github.com/bulla-sign/bulla/server/tsa"
	"github.com/bulla-sign/bulla/timestamp"
)

// Whatever is sent as DER is refused, or granted as asked; and the same question in JSON gets the same answer.
func FuzzDER(f *testing.F) {
	s, _ := service(f, nil)
	for _, der := range hostile(f) {
		f.Add(der)
	}
	for _, edit := range []func(*timestamp.Request){
		nil,
		func(r *timestamp.Request) { r.Nonce, r.Certificates = big.NewInt(-77), true },
		func(r *timestamp.Request) { r.Policy = []int{1, 3, 6, 1, 4, 1, 57264, 2} },
	} {
		_, der := query(f, edit)
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		rw := post(s, derType, der)
		if rw.Code != http.StatusOK {
			if rw.Code != http.StatusBadRequest && rw.Code != http.StatusRequestEntityTooLarge {
				t.Fatalf("status %d: %s", rw.Code, rw.Body)
			}
			errorOf(t, rw)
			return
		}
		req, err := timestamp.ParseRequest(der)
		if err != nil {
			t.Fatalf("granted although: %v", err)
		}
		answers(t, req, rw.Body.Bytes())
		again := post(s, jsonType, asJSON(req))
		if again.Code != http.StatusOK {
			t.Fatalf("DER is granted, JSON not: %s: %s", asJSON(req), again.Body)
		}
		answers(t, req, again.Body.Bytes())
	})
}

// Whatever is sent as JSON is refused, or granted with a token that the client can read.
func FuzzJSON(f *testing.F) {
	s, _ := service(f, nil)
	sum := sha256.Sum256(message)
	for _, rest := range []string{"", `,"nonce":123,"certificates":true`, `,"tsaPolicyOID":"` + tsa.DefaultPolicy + `"`, `,"nonce":-1e3`} {
		f.Add(jsonBody(sum[:], rest))
	}
	f.Add([]byte(`{"artifactHash":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		rw := post(s, jsonType, body)
		if rw.Code != http.StatusOK {
			if rw.Code != http.StatusBadRequest && rw.Code != http.StatusRequestEntityTooLarge {
				t.Fatalf("status %d: %s", rw.Code, rw.Body)
			}
			errorOf(t, rw)
			return
		}
		tok, err := timestamp.Parse(rw.Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if tok.Nonce != nil && !bytes.Contains(body, []byte(tok.Nonce.String())) && tok.Nonce.Sign() != 0 {
			t.Fatalf("nonce %v", tok.Nonce)
		}
	})
}

func answers(t *testing.T, req *timestamp.Request, reply []byte) {
	t.Helper()
	tok, err := timestamp.Parse(reply)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Check(tok); err != nil {
		t.Fatal(err)
	}
	if (tok.Nonce == nil) != (req.Nonce == nil) || (len(tok.Certificates) > 0) != req.Certificates {
		t.Fatalf("nonce %v, %d certificates", tok.Nonce, len(tok.Certificates))
	}
}

func asJSON(r *timestamp.Request) []byte {
	name := map[crypto.Hash]string{crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"}[r.HashAlgorithm]
	out := fmt.Appendf(nil, `{"artifactHash":%q,"hashAlgorithm":%q,"certificates":%v`, base64.StdEncoding.EncodeToString(r.Imprint), name, r.Certificates)
	if r.Nonce != nil {
		out = fmt.Appendf(out, `,"nonce":%v`, r.Nonce)
	}
	if r.Policy != nil {
		out = fmt.Appendf(out, `,"tsaPolicyOID":%q`, r.Policy)
	}
	return append(out, '}')
}
