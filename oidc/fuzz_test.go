package oidc

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIiwic3ViIjoicyIsImF1ZCI6WyJhIl0sImV4cCI6MX0.c2ln")
	f.Add("a.eyJpc3MiOiJpIiwic3ViIjoicyIsImVtYWlsIjoiYUBiIiwiZW1haWxfdmVyaWZpZWQiOiJ0cnVlIn0.b")
	f.Add("...")
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := Parse(raw)
		if err != nil {
			return
		}
		if token.Issuer == "" || token.Subject == "" || strings.Count(raw, ".") != 2 {
			t.Errorf("%q is no token: %+v", raw, token)
		}
		if c, err := token.Challenge(); err == nil && c == "" {
			t.Error("an empty challenge")
		}
		if strings.ContainsAny(token.Who(), "\n\x1b") {
			t.Errorf("%q cannot be printed", token.Who())
		}
	})
}

func FuzzSVID(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x09\x0a\x07\x0a\x01x\x12\x02ab"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = parseSVID(data) // must not panic
	})
}

func FuzzDeviceAnswer(f *testing.F) {
	f.Add([]byte(`{"device_code":"d","user_code":"WDJB-MJHT","verification_uri":"https://x/device","verification_uri_complete":"https://x/device?user_code=WDJB-MJHT","expires_in":300,"interval":5}`))
	f.Add([]byte(`{"device_code":"d","user_code":"\u001b[2J","verification_uri":"https://x/\u202e","expires_in":1e300,"interval":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a deviceAnswer
		if json.Unmarshal(data, &a) != nil || a.check() != nil {
			return
		}
		var out strings.Builder
		(&Login{Out: &out}).tell(&a)
		if strings.Count(out.String(), "\n") != 2 || strings.ContainsAny(out.String(), "\r\x1b\u202e") || a.Expires > maxLife {
			t.Errorf("%s: said %q", data, out.String())
		}
	})
}

func FuzzGoogleCredentials(f *testing.F) {
	f.Add([]byte(`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`))
	f.Add([]byte(`{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n","token_uri":"https://evil.example/"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c credentials
		if json.Unmarshal(data, &c) != nil {
			return
		}
		_, address, err := c.ask(time.Unix(1700000000, 0))
		if u, bad := url.Parse(address); err == nil && (bad != nil || !strings.HasSuffix(u.Hostname(), ".googleapis.com") && !loopback(u.Hostname())) {
			t.Errorf("%s would be told to %s", data, address)
		}
	})
}
