package token

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
)

// TestStay: a redirect is followed within scheme, host and port, and brings no user.
func TestStay(t *testing.T) {
	first := &http.Request{URL: &url.URL{Scheme: "https", Host: "a.example", Path: "/x"}}
	for to, want := range map[string]bool{
		"https://a.example/y": true, "http://a.example/y": false, "https://a.example:8443/y": false, "https://b.example/y": false,
		"https://a.example.b.example/y": false, "https://user@a.example/y": false, "https://a.example@b.example/y": false,
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := stay(&http.Request{URL: u}, []*http.Request{first}); (err == nil) != want {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestAddresses: where connections may go, by what is known of the issuer.
func TestAddresses(t *testing.T) {
	family := issuerconfig.Issuer{URL: "https://a.example", Pattern: "https://*.b.example"}
	named := issuerconfig.Issuer{URL: "https://a.example"}
	local := issuerconfig.Issuer{URL: "http://localhost:8080/oidc"}
	for address, want := range map[string][3]bool{ // family, named, local
		"93.184.216.34:443": {true, true, false}, "[2606:2800:220:1::1]:443": {true, true, false},
		"127.0.0.1:443": {false, true, true}, "[::1]:443": {false, true, true}, "[::ffff:127.0.0.1]:443": {false, true, true},
		"10.0.0.1:443": {false, true, false}, "192.168.1.1:443": {false, true, false}, "169.254.169.254:80": {false, true, false},
		"100.64.0.1:443": {false, true, false}, "[fd00::1]:443": {false, true, false}, "[fe80::1%eth0]:443": {false, true, false},
		"0.0.0.0:443": {false, true, false}, "[::]:443": {false, true, false}, "224.0.0.1:443": {false, true, false},
		"255.255.255.255:443": {false, true, false}, "[64:ff9b::a00:1]:443": {false, true, false}, "[2002:a00:1::]:443": {false, true, false},
		"[::ffff:10.0.0.1]:443": {false, true, false},
	} {
		for i, issuer := range []issuerconfig.Issuer{family, named, local} {
			err := control(issuer)("tcp", address, nil)
			if (err == nil) != want[i] || err != nil && !errors.Is(err, errAddress) {
				t.Errorf("%s for %+v: %v", address, issuer, err)
			}
		}
	}
	if control(named)("tcp", "name:443", nil) == nil {
		t.Error("a name passes for an address")
	}
	if publicAddress(netip.Addr{}) {
		t.Error("no address is a public one")
	}
}

func FuzzPeek(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSIsInN1YiI6IngifQ.eA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(strings.Repeat(".", 100))
	f.Fuzz(func(t *testing.T, raw string) {
		seen, err := peek(raw)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("no reason")
			}
			return
		}
		if seen.Issuer == "" || strings.Count(raw, ".") != 2 || len(raw) > MaxBytes || !strings.Contains(strings.Join(Algorithms, " "), seen.Algorithm) {
			t.Fatalf("%+v of %q", seen, raw)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"1"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeys(data)
		if err != nil {
			return
		}
		for _, key := range keys {
			if !key.IsPublic() || !key.Valid() {
				t.Fatalf("%+v", key)
			}
			for _, alg := range Algorithms {
				_ = fits(key, alg)
			}
		}
	})
}
