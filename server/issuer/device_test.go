package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/issuer"
)

// deviceAsks starts the device flow as cosign does.
func (in *instance) deviceAsks(edit url.Values) map[string]any {
	in.t.Helper()
	v := url.Values{"client_id": {"sigstore"}, "scope": {"openid email"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}}
	for name, value := range edit {
		if value == nil {
			delete(v, name)
		} else {
			v[name] = value
		}
	}
	resp, a := in.call("/device/code", v)
	if resp.StatusCode != http.StatusOK {
		in.t.Fatalf("status %d: %v", resp.StatusCode, a)
	}
	return a
}

func polling(dev map[string]any, edit url.Values) url.Values {
	v := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"sigstore"},
		"device_code": {dev["device_code"].(string)}, "scope": {"openid email"}, "code_verifier": {verifier},
	}
	for name, value := range edit {
		if value == nil {
			delete(v, name)
		} else {
			v[name] = value
		}
	}
	return v
}

// poll asks for the token and returns the error, "" for a token.
func (in *instance) poll(dev map[string]any, edit url.Values) string {
	in.t.Helper()
	resp, a := in.call("/token", polling(dev, edit))
	if a["id_token"] != nil {
		return ""
	}
	if resp.StatusCode != http.StatusBadRequest {
		in.t.Errorf("status %d: %v", resp.StatusCode, a)
	}
	return a["error"].(string)
}

func TestDevicePolling(t *testing.T) {
	in := start(t, nil)
	dev := in.deviceAsks(nil)
	if got := in.poll(dev, nil); got != "authorization_pending" {
		t.Errorf("first: %q", got)
	}
	if got := in.poll(dev, nil); got != "slow_down" {
		t.Errorf("at once: %q", got)
	}
	in.clock.advance(time.Second)
	if got := in.poll(dev, nil); got != "authorization_pending" {
		t.Errorf("after a second: %q", got)
	}
	approve(t, newBrowser(t), dev["verification_uri_complete"].(string), "alice@example.com")
	in.clock.advance(time.Second)
	if got := in.poll(dev, nil); got != "" {
		t.Errorf("after the sign-in: %q", got)
	}
	in.clock.advance(time.Second)
	if got := in.poll(dev, nil); got != "invalid_grant" {
		t.Errorf("again: %q", got)
	}
}

func TestDeviceExpires(t *testing.T) {
	in := start(t, nil)
	dev := in.deviceAsks(nil)
	in.clock.advance(10 * time.Minute)
	if got := in.poll(dev, nil); got != "expired_token" {
		t.Errorf("after ten minutes: %q", got)
	}
	b := newBrowser(t)
	if got := b.send(b.get(dev["verification_uri_complete"].(string)).forms(t)[0], nil); got.StatusCode != http.StatusForbidden {
		t.Errorf("its code is accepted: status %d", got.StatusCode)
	}
	in.clock.advance(time.Hour)
	if got := in.poll(dev, nil); got != "invalid_grant" {
		t.Errorf("much later: %q", got)
	}
}

func TestDeviceIsDenied(t *testing.T) {
	in := start(t, nil)
	dev := in.deviceAsks(nil)
	b := newBrowser(t)
	login := b.send(b.get(dev["verification_uri_complete"].(string)).forms(t)[0], nil)
	if got := b.send(login.form(t, "deny"), nil); got.StatusCode != http.StatusOK {
		t.Fatalf("status %d", got.StatusCode)
	}
	// Who pressed Cancel cannot think better of it in another tab.
	if got := b.send(login.form(t, "development"), url.Values{"email": {"alice@example.com"}}); got.StatusCode != http.StatusBadRequest {
		t.Errorf("signed in after all: status %d", got.StatusCode)
	}
	if got := in.poll(dev, nil); got != "access_denied" {
		t.Errorf("after the denial: %q", got)
	}
}

// PKCE on the device flow is enforced when the device began with it, and cannot be taken away or put on.
func TestDevicePKCE(t *testing.T) {
	in := start(t, nil)
	for name, c := range map[string]struct{ ask, poll url.Values }{
		"verifier left out": {nil, url.Values{"code_verifier": nil}},
		"another verifier":  {nil, url.Values{"code_verifier": {strings.Repeat("b", 50)}}},
		"challenge removed": {url.Values{"code_challenge": nil, "code_challenge_method": nil}, nil},
	} {
		dev := in.deviceAsks(c.ask)
		approve(t, newBrowser(t), dev["verification_uri_complete"].(string), "alice@example.com")
		if got := in.poll(dev, c.poll); got != "invalid_grant" {
			t.Errorf("%s: %q", name, got)
		}
		in.clock.advance(time.Second)
		if got := in.poll(dev, nil); got != "invalid_grant" {
			t.Errorf("%s: good afterwards: %q", name, got)
		}
	}
	dev := in.deviceAsks(url.Values{"code_challenge": nil, "code_challenge_method": nil})
	approve(t, newBrowser(t), dev["verification_uri_complete"].(string), "alice@example.com")
	if got := in.poll(dev, url.Values{"code_verifier": nil}); got != "" {
		t.Errorf("without PKCE from the start: %q", got)
	}
	for name, edit := range map[string]url.Values{
		"plain": {"code_challenge_method": {"plain"}}, "no method": {"code_challenge_method": {""}}, "no challenge": {"code_challenge": {""}}, "no openid": {"scope": {"email"}},
	} {
		v := url.Values{"client_id": {"sigstore"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}}
		for k, x := range edit {
			v[k] = x
		}
		if resp, a := in.call("/device/code", v); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d: %v", name, resp.StatusCode, a)
		}
	}
}

func TestDeviceOfAnotherClient(t *testing.T) {
	in := start(t, func(c *issuer.Config) {
		c.Clients = []issuer.Client{issuer.DefaultClient(), {ID: "other"}}
	})
	dev := in.deviceAsks(nil)
	approve(t, newBrowser(t), dev["verification_uri_complete"].(string), "alice@example.com")
	if got := in.poll(dev, url.Values{"client_id": {"other"}}); got != "invalid_grant" {
		t.Errorf("another client: %q", got)
	}
	if got := in.poll(dev, nil); got != "" {
		t.Errorf("the client itself: %q", got)
	}
}

// Nothing is approved by opening a link, and codes are typed as people type them.
func TestUserCodes(t *testing.T) {
	in := start(t, nil)
	dev := in.deviceAsks(nil)
	code := dev["user_code"].(string)
	b := newBrowser(t)
	b.get(dev["verification_uri_complete"].(string))
	if got := in.poll(dev, nil); got != "authorization_pending" {
		t.Errorf("a link approves: %q", got)
	}
	f := b.get(in.url + "/device").forms(t)[0]
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + " "} {
		if got := b.send(f, url.Values{"user_code": {typed}}); got.StatusCode != http.StatusOK || !strings.Contains(got.body, code) {
			t.Errorf("%q: status %d", typed, got.StatusCode)
		}
	}
	for _, typed := range []string{"", "BCDF-GHJK-L", "AEIO-UAEI", code + "B", code[:8], "0000-0000", "BCDFGHJKL"} {
		if got := b.send(f, url.Values{"user_code": {typed}}); got.StatusCode != http.StatusForbidden {
			t.Errorf("%q: status %d", typed, got.StatusCode)
		}
	}
	if got := b.send(f, url.Values{"user_code": {code}, "token": {""}}); got.StatusCode != http.StatusForbidden {
		t.Errorf("without the form's token: status %d", got.StatusCode)
	}
}

// Guessing user codes ends soon, and says when one may go on.
func TestGuessingUserCodes(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	f := b.get(in.url + "/device").forms(t)[0]
	limited := false
	for range 30 {
		got := b.send(f, url.Values{"user_code": {"BCDF-GHJK"}})
		if got.StatusCode == http.StatusTooManyRequests {
			limited = true
			if got.Header.Get("Retry-After") == "" {
				t.Error("it does not say when to come again")
			}
			break
		}
	}
	if !limited {
		t.Error("30 guesses without a limit")
	}
	in.clock.advance(time.Minute)
	if got := b.send(f, url.Values{"user_code": {"BCDF-GHJK"}}); got.StatusCode != http.StatusForbidden {
		t.Errorf("a minute later: status %d", got.StatusCode)
	}
}

// One address cannot take all the places of devices.
func TestDeviceFlood(t *testing.T) {
	in := start(t, nil)
	for i := range 60 {
		resp, a := in.call("/device/code", url.Values{"client_id": {"sigstore"}})
		if resp.StatusCode == http.StatusTooManyRequests {
			if resp.Header.Get("Retry-After") == "" || a["error"] != "temporarily_unavailable" {
				t.Errorf("refused with %v", a)
			}
			if i < 20 {
				t.Errorf("refused after %d", i)
			}
			return
		}
	}
	t.Error("60 devices without a limit")
}
