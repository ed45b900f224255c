package ca_test

import (
	"crypto/elliptic"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/go-jose/go-jose/v4"
)

// TestCredentialsEverywhere is the class of CVE-2025-44005 and CVE-2026-30836, certificates from the one endpoint that did
// not ask: each endpoint that issues, by key and by CSR, without a token and with each kind of wrong one.
func TestCredentialsEverywhere(t *testing.T) {
	w := newWorld(t, nil)
	types := fulcio(t)
	conn, _ := dialGRPC(t, w)
	key := newKey(t, elliptic.P256())
	stranger := &idp{key: newKey(t, elliptic.P256()), alg: jose.ES256}
	proof, request := sign(t, key, email), csrPEM(csr(t, key))
	v2Body := func(raw string, byCSR bool) map[string]any {
		if byCSR {
			return map[string]any{"credentials": map[string]any{"oidcIdentityToken": raw}, "certificateSigningRequest": request}
		}
		return body(t, raw, key, email)
	}
	rest := func(path string, body func(raw string, byCSR bool) map[string]any, header bool) func(string, bool) (bool, string) {
		return func(raw string, byCSR bool) (bool, string) {
			h, inBody := http.Header{}, raw
			if header {
				inBody = ""
				if raw != "" {
					h.Set("Authorization", "Bearer "+raw)
				}
			}
			rw := do(t, w, http.MethodPost, path, body(inBody, byCSR), h)
			return rw.Code == http.StatusBadRequest, rw.Body.String()
		}
	}
	endpoints := map[string]func(raw string, byCSR bool) (refused bool, text string){
		"REST":           rest(v2, v2Body, false),
		"REST by header": rest(v2, v2Body, true),
		"legacy": rest(v1, func(_ string, byCSR bool) map[string]any {
			if byCSR {
				return map[string]any{"certificateSigningRequest": request}
			}
			return map[string]any{"publicKey": map[string]any{"content": []byte(keyPEM(t, key))}, "signedEmailAddress": proof}
		}, true),
		"gRPC": func(raw string, byCSR bool) (bool, string) {
			req := dynamicpb.NewMessage(types.ByName("CreateSigningCertificateRequest"))
			set(req, protoreflect.ValueOfString(raw), "credentials", "oidc_identity_token")
			if byCSR {
				set(req, protoreflect.ValueOfBytes(request), "certificate_signing_request")
			} else {
				set(req, protoreflect.ValueOfString(keyPEM(t, key)), "public_key_request", "public_key", "content")
				set(req, protoreflect.ValueOfBytes(proof), "public_key_request", "proof_of_possession")
			}
			answer := dynamicpb.NewMessage(types.ByName("SigningCertificate"))
			err := conn.Invoke(t.Context(), service+"CreateSigningCertificate", req, answer)
			return status.Code(err) == codes.InvalidArgument, status.Convert(err).Message() + answer.String()
		},
	}
	wrong := map[string]string{
		"none": "", "another's signature": stranger.token(t, claims(nil)),
		"expired":       w.idp.token(t, claims(map[string]any{"exp": now.Add(-time.Hour).Unix()})),
		"for another":   w.idp.token(t, claims(map[string]any{"aud": "another"})),
		"of an unknown": w.idp.token(t, claims(map[string]any{"iss": "https://evil.test"})),
	}
	for endpoint, ask := range endpoints {
		for _, byCSR := range []bool{false, true} {
			for name, raw := range wrong {
				if refused, text := ask(raw, byCSR); !refused || strings.Contains(text, "BEGIN CERTIFICATE") {
					t.Errorf("%s, CSR %t, token %s: %s", endpoint, byCSR, name, text)
				}
			}
		}
	}
	if len(w.log.chains) > 0 {
		t.Fatal("something was logged")
	}
	// Each of them does issue, to whoever has a token: otherwise the above would show nothing.
	good := w.idp.token(t, claims(nil))
	for endpoint, ask := range endpoints {
		for _, byCSR := range []bool{false, true} {
			if refused, text := ask(good, byCSR); refused || !strings.Contains(text, "BEGIN CERTIFICATE") {
				t.Errorf("%s, CSR %t: %s", endpoint, byCSR, text)
			}
		}
	}
}
