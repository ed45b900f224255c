package oci

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestAskedToWait(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		name, value string
		wait        time.Duration
		ok          bool
	}{
		{"Retry-After", "3", 3 * time.Second, true},
		{"Retry-After", "0", 0, true},
		{"Retry-After", "11", maxRetryAfter, false},
		{"Retry-After", "-1", 0, false},
		{"Retry-After", "soon", 0, false},
		{"Retry-After", "99999999999999999999", 0, false},
		{"Retry-After", now.Add(4 * time.Second).UTC().Format(http.TimeFormat), 4 * time.Second, true},
		{"Retry-After", now.Add(-time.Hour).UTC().Format(http.TimeFormat), 0, true},
		{"RateLimit-Reset", "2", 2 * time.Second, true},
		{"RateLimit-Reset", "3600", maxRetryAfter, false},
		{"X-RateLimit-Reset", "1800000005", 5 * time.Second, true},
		{"X-RateLimit-Reset", "1800003600", maxRetryAfter, false},
		{"X-RateLimit-Reset", "1700000000", 0, true},
		{"X-Other", "5", 0, true},
	} {
		got, ok := askedToWait(http.Header{http.CanonicalHeaderKey(test.name): {test.value}}, now)
		if ok != test.ok || (ok && got != test.wait) {
			t.Errorf("%s: %s: %s, %t", test.name, test.value, got, ok)
		}
	}
}

// A registry and its token server that are busy during the handshake are asked again, as long as they ask to wait little.
func TestPatientHandshake(t *testing.T) {
	for after, want := range map[string]bool{"1": true, "": true, "3600": false} {
		for _, path := range []string{"/v2/", "/token"} {
			busy := 2
			ref, _ := challenged(t, true, func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path || busy == 0 {
					return false
				}
				busy--
				w.Header().Set("RateLimit-Reset", after)
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			})
			_, err := newClient(t, Options{Username: "me", Password: canarySecret}).Resolve(t.Context(), ref)
			if (err == nil) != want || (err != nil && !isUnknown(err)) {
				t.Errorf("%s asks to wait %q: %v", path, after, err)
			}
			if err != nil && !strings.Contains(err.Error(), "asks to wait: RateLimit-Reset is "+after) {
				t.Errorf("%s asks to wait %q, and that is not said: %v", path, after, err)
			}
		}
	}
}

// What a registry limits is not spent on what is known already: the same client asks for a manifest's blob once, and for the
// token and the ping once.
func TestPullCount(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, User: "me", Password: "pw", Bearer: true})
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{Username: "me", Password: "pw"})
	for range 3 {
		mustResolve(t, c, ref)
	}
	if reg.Apart("token") != 1 || reg.Apart("ping") > 2 || reg.Total() != 3 {
		t.Errorf("%d tokens, %d pings, %d requests", reg.Apart("token"), reg.Apart("ping"), reg.Total())
	}
}

func FuzzParseWait(f *testing.F) {
	for _, text := range []string{"1", "-5", "Fri, 31 Dec 2027 23:59:59 GMT", "1800000005", "1e3", "00000000000000000000001"} {
		f.Add(text, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, now int64) {
		wait, ok := parseWait(text, time.Unix(now%(1<<40), 0))
		if wait < 0 || (ok && wait > maxRetryAfter) {
			t.Errorf("%q: %s, %t", text, wait, ok)
		}
	})
}
