package issuer_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/bulla-sign/bulla/server/issuer"
)

func bcryptOf(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func argonOf(password string) string {
	salt := []byte("0123456789abcdef")
	sum := argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

func withUsers(t *testing.T) func(*issuer.Config) {
	return func(c *issuer.Config) {
		c.DevelopmentLogin = false
		c.Users = []issuer.User{
			{Email: "Alice@example.com", PasswordHash: bcryptOf(t, "correct horse"), ID: "u1"},
			{Email: "bob@example.com", PasswordHash: argonOf("battery staple")},
		}
	}
}

func TestPasswords(t *testing.T) {
	in := start(t, withUsers(t))
	page := in.url + "/auth?" + asking(nil).Encode()
	try := func(email, password string) shown {
		b := newBrowser(t)
		in.clock.advance(time.Minute)
		return b.send(b.get(page).form(t, "password"), url.Values{"email": {email}, "password": {password}})
	}
	for _, c := range [][2]string{{"Alice@example.com", "correct horse"}, {"alice@EXAMPLE.com", "correct horse"}, {"bob@example.com", "battery staple"}} {
		code := try(c[0], c[1]).location(t).Query().Get("code")
		_, a := in.call("/token", redeeming(code, nil))
		got := claimsOf(t, a["id_token"].(string))
		if !strings.EqualFold(got["email"].(string), c[0]) || got["email_verified"] != true {
			t.Errorf("claims are %v", got)
		}
		if strings.HasPrefix(strings.ToLower(c[0]), "alice") && (got["email"] != "Alice@example.com" || got["sub"] != "CgJ1MRIFbG9jYWw") {
			t.Errorf("claims are %v", got)
		}
	}
	for _, c := range [][2]string{
		{"Alice@example.com", "battery staple"},
		{"bob@example.com", "correct horse"},
		{"carol@example.com", "correct horse"},
		{"Alice@example.com", ""},
		{"", "correct horse"},
		{"Alice@example.com", "correct horse" + strings.Repeat("x", 2000)},
		{"Alice@example.com ", "correct horse"},
	} {
		if got := try(c[0], c[1]); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "is wrong") {
			t.Errorf("%q: status %d", c, got.StatusCode)
		}
	}
	if log := in.log.String(); strings.Contains(log, "horse") || strings.Contains(log, "staple") {
		t.Errorf("passwords in the log:\n%s", log)
	}
}

// What bcrypt would cut off counts.
func TestLongPasswords(t *testing.T) {
	long := strings.Repeat("p", 72)
	in := start(t, func(c *issuer.Config) {
		c.Users = []issuer.User{{Email: "alice@example.com", PasswordHash: bcryptOf(t, long)}}
	})
	b := newBrowser(t)
	f := b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "password")
	if got := b.send(f, url.Values{"email": {"alice@example.com"}, "password": {long + "x"}}); got.StatusCode != http.StatusForbidden {
		t.Errorf("73 bytes: status %d", got.StatusCode)
	}
	if got := b.send(f, url.Values{"password": {long}}); got.StatusCode != http.StatusSeeOther {
		t.Errorf("72 bytes: status %d", got.StatusCode)
	}
}

// Guessing is slowed down for an address, and for an account from wherever the guesses come.
func TestGuessingPasswords(t *testing.T) {
	guess := func(in *instance, email func(int) string) (limited int) {
		b := newBrowser(t)
		f := b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "password")
		for i := range 40 {
			got := b.send(f, url.Values{"email": {email(i)}, "password": {"wrong"}})
			if got.StatusCode == http.StatusTooManyRequests {
				if got.Header.Get("Retry-After") == "" {
					t.Error("it does not say when to come again")
				}
				limited++
			}
		}
		return limited
	}
	if guess(start(t, withUsers(t)), func(i int) string { return fmt.Sprintf("user%d@example.com", i) }) == 0 {
		t.Error("one address may guess without end")
	}
	from := 0
	many := start(t, func(c *issuer.Config) {
		withUsers(t)(c)
		c.ClientAddress = func(*http.Request) netip.Addr {
			from++
			return netip.AddrFrom4([4]byte{192, 0, 2, byte(from)})
		}
	})
	if guess(many, func(int) string { return "bob@example.com" }) == 0 {
		t.Error("many addresses may guess one account's password without end")
	}
}

func machines(t *testing.T) func(*issuer.Config) {
	return func(c *issuer.Config) {
		c.Clients = []issuer.Client{
			issuer.DefaultClient(),
			{ID: "build farm", SecretHash: bcryptOf(t, "s3cr:t/ü"), Machine: true, Email: "farm@example.com", Audience: "sigstore"},
			{ID: "quiet", SecretHash: argonOf("hush"), Machine: true},
			{ID: "web", SecretHash: argonOf("web"), Redirects: []string{callback}},
		}
	}
}

func TestMachines(t *testing.T) {
	in := start(t, machines(t))
	ask := url.Values{"grant_type": {"client_credentials"}, "scope": {"openid email"}}
	header := func(r *http.Request) { r.SetBasicAuth(url.QueryEscape("build farm"), url.QueryEscape("s3cr:t/ü")) }
	inForm := url.Values{"grant_type": {"client_credentials"}, "client_id": {"build farm"}, "client_secret": {"s3cr:t/ü"}, "scope": {"openid email"}, "redirect_uri": {"x"}}
	for range 30 { // a secret that is right is no guess
		if resp, a := in.call("/token", inForm); resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %v", resp.StatusCode, a)
		}
	}
	_, a := in.call("/token", ask, header)
	raw, _ := a["id_token"].(string)
	if _, err := in.verify(raw, "sigstore"); err != nil {
		t.Fatal(err)
	}
	if c := claimsOf(t, raw); c["sub"] != "build farm" || c["email"] != "farm@example.com" || c["auth_time"] != nil {
		t.Errorf("claims are %v", c)
	}
	_, a = in.call("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"quiet"}, "client_secret": {"hush"}})
	if c := claimsOf(t, a["id_token"].(string)); c["sub"] != "quiet" || c["aud"] != "quiet" || c["email"] != nil {
		t.Errorf("claims are %v", c)
	}
	for name, c := range map[string]struct {
		edit url.Values
		want string
	}{
		"wrong secret":   {url.Values{"client_secret": {"hush"}}, "invalid_client"},
		"no secret":      {url.Values{"client_secret": nil}, "invalid_client"},
		"another client": {url.Values{"client_id": {"quiet"}}, "invalid_client"},
		"no openid":      {url.Values{"scope": {"email"}}, "invalid_scope"},
		"not a machine":  {url.Values{"client_id": {"web"}, "client_secret": {"web"}}, "unauthorized_client"},
	} {
		v := url.Values{}
		for k, x := range inForm {
			v[k] = x
		}
		for k, x := range c.edit {
			v[k] = x
		}
		if _, a := in.call("/token", v); a["error"] != c.want {
			t.Errorf("%s: %v", name, a)
		}
	}
	if _, a := in.call("/token", inForm, header); a["error"] != "invalid_request" {
		t.Errorf("secret given twice: %v", a)
	}
	limited := false
	for range 30 {
		v := url.Values{"grant_type": {"client_credentials"}, "client_id": {"build farm"}, "client_secret": {"guess"}}
		resp, _ := in.call("/token", v)
		limited = limited || resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != ""
	}
	if !limited {
		t.Error("secrets may be guessed without end")
	}
	if resp, _ := in.call("/token", inForm); resp.StatusCode != http.StatusOK {
		t.Errorf("others' guesses keep the machine out: status %d", resp.StatusCode)
	}
	if strings.Contains(in.log.String(), "s3cr") || strings.Contains(in.log.String(), "hush") {
		t.Error("secrets in the log")
	}
}

// A confidential client needs its secret and PKCE.
func TestConfidentialCodeFlow(t *testing.T) {
	in := start(t, machines(t))
	for name, c := range map[string]struct {
		edit url.Values
		want any
	}{
		"all there": {url.Values{"client_secret": {"web"}}, nil},
		"no secret": {nil, "invalid_client"},
		"no PKCE":   {url.Values{"client_secret": {"web"}, "code_verifier": nil}, "invalid_grant"},
	} {
		code := in.code(url.Values{"client_id": {"web"}})
		v := redeeming(code, url.Values{"client_id": {"web"}})
		for k, x := range c.edit {
			v[k] = x
		}
		if _, a := in.call("/token", v); a["error"] != c.want {
			t.Errorf("%s: %v", name, a)
		}
	}
}

// Codes and tokens of every flow stay out of the log.
func TestNothingSecretIsLogged(t *testing.T) {
	in := start(t, nil)
	code := in.code(nil)
	_, a := in.call("/token", redeeming(code, nil))
	in.call("/token", redeeming(code, nil))
	dev := in.deviceAsks(nil)
	approve(t, newBrowser(t), dev["verification_uri_complete"].(string), "alice@example.com")
	_, b := in.call("/token", polling(dev, nil))
	log := in.log.String()
	if !strings.Contains(log, "signed in") || !strings.Contains(log, "token refused") {
		t.Fatalf("the log says nothing:\n%s", log)
	}
	for _, secret := range []any{code, verifier, a["id_token"], a["access_token"], b["id_token"], dev["device_code"], dev["user_code"], nonce} {
		if strings.Contains(log, secret.(string)) {
			t.Errorf("%s is in the log:\n%s", secret, log)
		}
	}
}
