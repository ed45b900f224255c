package issuer

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// Whatever is accepted as parameters was given once, in bounds, and reads the same when it is written again.
func FuzzParams(f *testing.F) {
	for _, seed := range []string{"", "a=b&c=d", "a=1&a=2", "client_id=sigstore&scope=openid+email&state=%C3%BC", "a=%zz", "a;b", "&&=", "a=" + strings.Repeat("x", 5000), "%ff=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParams(raw, maxQuery)
		if err != nil {
			return
		}
		v := url.Values{}
		for name, value := range p {
			v.Set(name, value)
		}
		again, err := parseParams(v.Encode(), 3*maxQuery)
		if err != nil {
			t.Fatalf("%q: written again: %v", raw, err)
		}
		for name, value := range p {
			if again[name] != value || strings.Count("&"+v.Encode(), "&"+url.QueryEscape(name)+"=") != 1 {
				t.Errorf("%q: %q is %q, then %q", raw, name, value, again[name])
			}
		}
	})
}

// A code never goes to another host than the registered one.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{
		"http://localhost:1/auth/callback", "http://localhost:1@evil.test/auth/callback", "http://[::1]:9/auth/callback", "http://127.0.0.1:080/auth/callback",
		"http://localhost:1/auth/callback/auth/callback", "http://localhost:/auth/callback", OutOfBand,
	} {
		f.Add(seed)
	}
	c := &client{Client: DefaultClient()}
	f.Fuzz(func(t *testing.T, uri string) {
		if !c.allows(uri) || uri == OutOfBand {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "http" || !loopbackName(u.Hostname()) || u.Path != "/auth/callback" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q is allowed: %v", uri, err)
		}
	})
}

// A proof is accepted for what it was made for and for nothing else.
func FuzzProof(f *testing.F) {
	b := &browsers{secret: []byte("0123456789abcdef0123456789abcdef")}
	now := time.Unix(1800000000, 0)
	f.Add("browser", "login", "auth?x", b.seal(now, "browser", "login", "auth?x"))
	f.Add("browserlogin", "", "auth?x", b.seal(now, "browser", "login", "auth?x"))
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, browser, purpose, content, proof string) {
		want := browser != "" && proof == b.seal(now, browser, purpose, content)
		if got := b.made(now, browser, purpose, content, proof); got != want {
			t.Errorf("browser %q, purpose %q, content %q, proof %q: %v", browser, purpose, content, proof, got)
		}
	})
}

// What is read as a user code has the form of one, and reads the same when it is shown.
func FuzzUserCode(f *testing.F) {
	for _, seed := range []string{"BCDF-GHJK", "bcdfghjk", " b c d f g h j k ", "AEIO", "BCDF-GHJK-L", "ß"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := readCode(typed)
		if !ok {
			return
		}
		if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
			t.Errorf("%q is read as %q", typed, code)
		}
		if again, ok := readCode(showCode(code)); !ok || again != code {
			t.Errorf("%q is shown as %q", code, showCode(code))
		}
	})
}

// An address that is accepted can stand in a certificate and in a header.
func FuzzEmail(f *testing.F) {
	for _, seed := range []string{"alice@example.com", "a@b", "@", "a@b@c", "x y@z", "a@-b", "ä@b.test", "a@b..c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if checkEmail(address) != nil {
			return
		}
		for _, c := range []byte(address) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),:;<>[\]`, c) >= 0 {
				t.Errorf("%q has %q", address, c)
			}
		}
		if strings.Count(address, "@") != 1 {
			t.Errorf("%q", address)
		}
	})
}

// Memory is bounded, and nobody is pushed out of it.
func TestTickets(t *testing.T) {
	now := time.Unix(1800000000, 0)
	k := newTickets[int](2, time.Minute)
	for i, want := range []error{nil, nil, errFull} {
		if err := k.put(now, string(rune('a'+i)), i); err != want {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := k.put(now, "a", 9); err != errTaken {
		t.Errorf("taken: %v", err)
	}
	if v, ok := k.get(now, "a"); !ok || v != 0 {
		t.Errorf("a is %d, %v", v, ok)
	}
	if v, ok := k.take(now, "b"); !ok || v != 1 {
		t.Errorf("b is %d, %v", v, ok)
	}
	if _, ok := k.take(now, "b"); ok {
		t.Error("b is there twice")
	}
	now = now.Add(time.Minute)
	if _, ok := k.get(now, "a"); ok {
		t.Error("a outlives its time")
	}
	if k.order.Len() != 0 || len(k.byKey) != 0 {
		t.Errorf("%d, %d are left", k.order.Len(), len(k.byKey))
	}
}

// User codes are spread evenly over their letters.
func TestNewUserCode(t *testing.T) {
	seen := map[byte]int{}
	for range 4000 {
		code := newUserCode()
		if again, ok := readCode(code); !ok || again != code {
			t.Fatalf("code is %q", code)
		}
		for _, c := range []byte(code) {
			seen[c]++
		}
	}
	for _, c := range []byte(userCodeLetters) { // 1600 of 32000 each, with a deviation of 39
		if seen[c] < 1300 || seen[c] > 1900 {
			t.Errorf("%c comes %d times", c, seen[c])
		}
	}
}
