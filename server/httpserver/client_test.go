package httpserver

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestSite(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7/32",
		"::ffff:192.0.2.7":     "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
	} {
		if got := site(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if site(netip.Addr{}).IsValid() {
		t.Error("no address has a site")
	}
}

func TestClientBehindProxies(t *testing.T) {
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, test := range []struct {
		name, remote string
		header       []string
		trusted      proxies
		want         string
	}{
		{"direct", "192.0.2.1:1", nil, trusted, "192.0.2.1"},
		{"direct, lying", "192.0.2.1:1", []string{"198.51.100.1"}, trusted, "192.0.2.1"},
		{"nobody is trusted", "10.0.0.1:1", []string{"198.51.100.1"}, nil, "10.0.0.1"},
		{"a proxy without header", "10.0.0.1:1", nil, trusted, "10.0.0.1"},
		{"a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, trusted, "198.51.100.1"},
		{"a proxy at an IPv4-mapped address", "[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, trusted, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, trusted, "198.51.100.1"},
		{"two lines", "10.0.0.1:1", []string{"203.0.113.9", "198.51.100.1", "10.0.0.2"}, trusted, "198.51.100.1"},
		{"the client's invention", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1"}, trusted, "198.51.100.1"},
		{"the client pretends to be a proxy", "10.0.0.1:1", []string{"203.0.113.9, 10.9.9.9, 198.51.100.1"}, trusted, "198.51.100.1"},
		{"with port", "10.0.0.1:1", []string{"198.51.100.1:4711"}, trusted, "198.51.100.1"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::1"}, trusted, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8::1]"}, trusted, "2001:db8::1"},
		{"IPv6 with port", "[fd00::1]:1", []string{"[2001:db8::1]:80"}, trusted, "2001:db8::1"},
		{"garbage", "10.0.0.1:1", []string{"198.51.100.1, unknown"}, trusted, "10.0.0.1"},
		{"garbage further left", "10.0.0.1:1", []string{"_hidden, 10.0.0.2"}, trusted, "10.0.0.2"},
		{"empty", "10.0.0.1:1", []string{""}, trusted, "10.0.0.1"},
		{"empty element", "10.0.0.1:1", []string{"198.51.100.1,"}, trusted, "10.0.0.1"},
		{"proxies only", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, trusted, "10.0.0.3"},
		{"too many", "10.0.0.1:1", []string{"198.51.100.1" + strings.Repeat(", 10.0.0.2", maxHops)}, trusted, "10.0.0.2"},
	} {
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{}}
		if test.header != nil {
			r.Header["X-Forwarded-For"] = test.header
		}
		if got, _ := test.trusted.client(r); got != netip.MustParseAddr(test.want) {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

// Whatever the header says: it is believed from proxies only, and the result is the peer or an address in the header.
func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.1, 10.0.0.2", "[2001:db8::1]:80")
	f.Add("192.0.2.1:1", "198.51.100.1", "")
	f.Add("", ",,,", "fe80::1%25eth0")
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {first, second}}}
		got, forwarded := trusted.client(r)
		from := peer(remote)
		if forwarded != (from.IsValid() && trusted.contain(from)) {
			t.Fatalf("%q is believed: %v", remote, forwarded)
		}
		if !forwarded && got != from {
			t.Fatalf("%v, the peer is %v", got, from)
		}
		if got.Zone() != "" && forwarded {
			t.Fatalf("%v: zones make endless names for one client", got)
		}
		if p := site(got); p.IsValid() && !p.Contains(got.WithZone("").Unmap()) {
			t.Fatalf("%v is not in %v", got, p)
		}
		if _, all := (proxies{}).client(r); all {
			t.Fatal("believed without proxies")
		}
	})
}

func FuzzHostName(f *testing.F) {
	for _, s := range []string{"bulla.example", "Bulla.Example:443", "[::1]:80", "[::1]", "::1", ":", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := hostName(s); len(got) > len(s)*3 {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestHostName(t *testing.T) {
	for host, want := range map[string]string{
		"bulla.example": "bulla.example", "Bulla.Example:443": "bulla.example", "127.0.0.1:80": "127.0.0.1",
		"[::1]:80": "::1", "[::1]": "::1", "": "",
	} {
		if got := hostName(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
