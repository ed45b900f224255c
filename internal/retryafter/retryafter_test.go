package retryafter

import (
	"net/http"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0, "1.5": 0,
		"Wed, 25 Nov 2026 12:00:30 GMT": 30 * time.Second, "Wed, 25 Nov 2026 11:00:00 GMT": 0,
		"99999999999999999999": Most, "Wed, 25 Nov 2099 12:00:30 GMT": Most,
	} {
		if got := Read(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "0", "120", "99999999999999999999", "-1", "Wed, 25 Nov 2026 12:00:00 GMT", "soon", "1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d := Read(http.Header{"Retry-After": {text}}, time.Unix(1700000000, 0)); d < 0 || d > Most {
			t.Errorf("%q is %s", text, d)
		}
	})
}
