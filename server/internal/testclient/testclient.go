// Package testclient signs and verifies as a client without long-lived keys does, against real services, for tests.
package testclient

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// Email is who signs.
const Email = "alice@example.com"

// Token asks the development login for a token.
func Token(ctx context.Context, issuer string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/dev/token", bytes.NewBufferString(url.Values{"email": {Email}}.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		IDToken string `json:"id_token"`
	}
	return answer.IDToken, json.Unmarshal(data, &answer)
}

// Signed is a keyless signature, and what it is over.
type Signed struct {
	Artifact []byte
	Bundle   *bundle.Bundle
}

// Sign signs as any client does: token, certificate, timestamp, log, and verifies under root before it is content.
func Sign(ctx context.Context, root *trust.Root, services *trust.SigningConfig, artifact string) (*Signed, error) {
	connections := &http.Client{Transport: client.NewTransport(nil)}
	defer connections.CloseIdleConnections() // as the end of a process does
	o := client.Options{Root: root, Patience: -1, Transport: connections.Transport}
	ca, err := client.NewCA(services.CAs[0].URL, o)
	if err != nil {
		return nil, err
	}
	log, err := client.NewLogV2(services.Logs[0].URL, o)
	if err != nil {
		return nil, err
	}
	tsa, err := client.NewTSA(services.TSAs[0].URL, o)
	if err != nil {
		return nil, err
	}
	session := &sign.Session{Authority: ca, Identity: func(ctx context.Context) (sign.Identity, error) {
		token, err := Token(ctx, services.OIDC[0].URL)
		return sign.Identity{Token: token, Challenge: Email}, err
	}}
	opts := sign.Options{Timestampers: []sign.Timestamper{tsa}, Loggers: []sign.Logger{log}, Root: root, Clock: time.Now}
	if err := session.Use(ctx, &opts); err != nil {
		return nil, err
	}
	s := &Signed{Artifact: []byte(artifact)}
	s.Bundle, err = sign.Blob(ctx, algorithm.Bytes(s.Artifact), opts)
	return s, err
}

// Verify verifies under a root, offline, that [Email] has signed.
func (s *Signed) Verify(t testing.TB, root *trust.Root, issuer string) {
	t.Helper()
	who, err := identity.Exact(Email)
	if err != nil {
		t.Fatal(err)
	}
	by, err := identity.Exact(issuer)
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := identity.NewMatcher(identity.MatcherOptions{SAN: who, Issuer: by})
	if err != nil {
		t.Fatal(err)
	}
	report := verify.Verify(&verify.Request{
		Artifact:   verify.Artifact{Name: "artifact", Message: algorithm.Bytes(s.Artifact)},
		Candidates: []verify.Candidate{{Name: "bundle", Bundle: s.Bundle}},
		Root:       root, Now: time.Now(),
		Policy: verify.Policy{Identities: []identity.Matcher{matcher}, Timestamps: 1, Claims: verify.Claims{Message: true}},
	})
	if err := report.Err(); err != nil {
		t.Errorf("%q does not verify: %v", s.Artifact, err)
	}
}

// Trusted reads a trusted root and a signing config from their files.
func Trusted(t testing.TB, trustedRoot, signingConfig string) (*trust.Root, *trust.SigningConfig) {
	t.Helper()
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	root, err := trust.DecodeRoot(read(trustedRoot))
	if err != nil {
		t.Fatal(err)
	}
	services, err := trust.DecodeSigningConfig(read(signingConfig))
	if err != nil {
		t.Fatal(err)
	}
	return root, services
}
