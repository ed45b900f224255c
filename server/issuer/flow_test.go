package issuer_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// The code flow, with the libraries that Sigstore clients use.
func TestCodeFlow(t *testing.T) {
	in := start(t, nil)
	config := in.config()
	v := oauth2.GenerateVerifier()
	page := config.AuthCodeURL("the state", oauth2.AccessTypeOnline, oidc.Nonce("the nonce"), oauth2.S256ChallengeOption(v))
	to := newBrowser(t).signIn(page, "alice@example.com").location(t)
	if got := to.Scheme + "://" + to.Host + to.Path; got != callback {
		t.Fatalf("sent back to %s", got)
	}
	if q := to.Query(); q.Get("state") != "the state" || q.Get("iss") != in.url {
		t.Fatalf("answer is %s", to)
	}
	token, err := config.Exchange(t.Context(), to.Query().Get("code"), oauth2.VerifierOption(v), oidc.Nonce("the nonce"))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := in.verify(raw, "sigstore")
	if err != nil {
		t.Fatal(err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Error(err)
	}
	if id.Nonce != "the nonce" || id.Issuer != in.url || !slices.Equal(id.Audience, []string{"sigstore"}) {
		t.Errorf("token is %+v", id)
	}
	if d := id.Expiry.Sub(id.IssuedAt); d != 10*time.Minute {
		t.Errorf("token lives for %s", d)
	}
	c := claimsOf(t, raw)
	if c["email"] != "alice@example.com" || c["email_verified"] != true || c["auth_time"] != float64(in.clock.now().Unix()) {
		t.Errorf("claims are %v", c)
	}
	if _, there := c["federated_claims"]; there {
		t.Errorf("nobody federated: %v", c)
	}
	header, _, _ := strings.Cut(raw, ".")
	if h := claimsOf(t, "."+header+"."); h["alg"] != "RS256" || h["kid"] == "" {
		t.Errorf("header is %v", h)
	}
}

// A subject stays the same, and is another one for everybody else. The value is what Dex would write.
func TestSubject(t *testing.T) {
	in := start(t, nil)
	sub := func(email string) string {
		_, a := in.call("/dev/token", url.Values{"email": {email}})
		return claimsOf(t, a["id_token"].(string))["sub"].(string)
	}
	if got, want := sub("alice@example.com"), "ChFhbGljZUBleGFtcGxlLmNvbRILZGV2ZWxvcG1lbnQ"; got != want {
		t.Errorf("subject is %s, not %s", got, want)
	}
	if again, other := sub("alice@example.com"), sub("bob@example.com"); again != sub("alice@example.com") || again == other {
		t.Error("subjects do not tell people apart")
	}
	long := strings.Repeat("x", 60) + "@" + strings.Repeat("y", 60) + "." + strings.Repeat("z", 60) + ".test"
	if got := sub(long); !strings.HasPrefix(got, "CrsB") { // 0x0a, then 187 as a varint of two bytes
		t.Errorf("subject of a long address is %s", got)
	}
}

// The device flow of golang.org/x/oauth2, which polls while somebody signs in.
func TestDeviceFlow(t *testing.T) {
	in := start(t, nil)
	config := in.config()
	v := oauth2.GenerateVerifier()
	dev, err := config.DeviceAuth(t.Context(), oauth2.S256ChallengeOption(v))
	if err != nil {
		t.Fatal(err)
	}
	if dev.Interval != 1 || time.Until(dev.Expiry) < 9*time.Minute {
		t.Errorf("device: %+v", dev)
	}
	if dev.VerificationURI != in.url+"/device" || dev.VerificationURIComplete != in.url+"/device?user_code="+dev.UserCode {
		t.Errorf("device: %+v", dev)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type result struct {
		token *oauth2.Token
		err   error
	}
	done := make(chan result, 1)
	go func() {
		token, err := config.DeviceAccessToken(ctx, dev, oauth2.VerifierOption(v))
		done <- result{token, err}
	}()
	approve(t, newBrowser(t), dev.VerificationURIComplete, "alice@example.com")
	for {
		select {
		case r := <-done:
			if r.err != nil {
				t.Fatal(r.err)
			}
			raw, _ := r.token.Extra("id_token").(string)
			if _, err := in.verify(raw, "sigstore"); err != nil {
				t.Fatal(err)
			}
			if c := claimsOf(t, raw); c["email"] != "alice@example.com" {
				t.Errorf("claims are %v", c)
			}
			return
		case <-time.After(100 * time.Millisecond):
			in.clock.advance(100 * time.Millisecond)
		}
	}
}

// approve types the code that is filled in and signs in.
func approve(t *testing.T, b *browser, page, email string) {
	t.Helper()
	login := b.send(b.get(page).forms(t)[0], nil)
	end := b.send(login.form(t, "development"), url.Values{"email": {email}})
	if end.StatusCode != http.StatusOK || !strings.Contains(end.body, "You are signed in") {
		t.Fatalf("status %d:\n%s", end.StatusCode, end.body)
	}
}

// Without a browser on the same machine the person carries the code.
func TestOutOfBand(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	end := b.signIn(in.url+"/auth?"+asking(url.Values{"redirect_uri": {"urn:ietf:wg:oauth:2.0:oob"}}).Encode(), "alice@example.com")
	if end.StatusCode != http.StatusOK {
		t.Fatalf("status %d:\n%s", end.StatusCode, end.body)
	}
	_, rest, _ := strings.Cut(end.body, `<p class="code" aria-describedby="what">`)
	code, _, _ := strings.Cut(rest, "<")
	in.clock.advance(4 * time.Minute) // people are slow
	resp, a := in.call("/token", redeeming(code, url.Values{"redirect_uri": {"urn:ietf:wg:oauth:2.0:oob"}}))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", resp.StatusCode, a)
	}
	if _, err := in.verify(a["id_token"].(string), "sigstore"); err != nil {
		t.Error(err)
	}
	if got := b.get(in.url + "/auth?" + asking(url.Values{"redirect_uri": {"urn:ietf:wg:oauth:2.0:oob"}, "response_type": {"token"}}).Encode()); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong request that nobody can be told of: status %d", got.StatusCode)
	}
}

// Discovery has what Sigstore clients look for.
func TestDiscovery(t *testing.T) {
	in := start(t, nil)
	got := newBrowser(t).get(in.url + "/.well-known/openid-configuration")
	var doc map[string]any
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"issuer": in.url, "authorization_endpoint": in.url + "/auth", "token_endpoint": in.url + "/token", "jwks_uri": in.url + "/keys",
		"device_authorization_endpoint": in.url + "/device/code",
	} {
		if doc[name] != want {
			t.Errorf("%s is %v, not %v", name, doc[name], want)
		}
	}
	for name, want := range map[string]string{
		"code_challenge_methods_supported": "[S256]", "id_token_signing_alg_values_supported": "[RS256]", "response_types_supported": "[code]",
		"grant_types_supported": "[authorization_code urn:ietf:params:oauth:grant-type:device_code]", "subject_types_supported": "[public]",
		"scopes_supported": "[openid email]",
	} {
		var list []string
		for _, v := range doc[name].([]any) {
			list = append(list, v.(string))
		}
		if "["+strings.Join(list, " ")+"]" != want {
			t.Errorf("%s is %v, not %s", name, list, want)
		}
	}
	if got.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page cannot read the discovery document")
	}
}

// A script gets a token in one call.
func TestDevelopmentToken(t *testing.T) {
	in := start(t, nil)
	resp, a := in.call("/dev/token", url.Values{"email": {"alice@example.com"}, "client_id": {"sigstore"}, "nonce": {nonce}})
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d: %v", resp.StatusCode, a)
	}
	id, err := in.verify(a["id_token"].(string), "sigstore")
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != nonce {
		t.Errorf("nonce is %q", id.Nonce)
	}
	if err := id.VerifyAccessToken(a["access_token"].(string)); err != nil {
		t.Error(err)
	}
}
