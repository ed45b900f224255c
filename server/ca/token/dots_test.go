package token_test

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/ca/token"
)

// TestDots is GHSA-f83f-xpx7-ffpw: the cost of a refusal does not grow with the number of dots.
func TestDots(t *testing.T) {
	c := newClock()
	v := verifier(t, c, nil, issuer("https://a.example"))
	for name, raw := range map[string]string{
		"dots": strings.Repeat(".", 1_000_000), "dots within the limit": strings.Repeat(".", token.MaxBytes),
		"parts": strings.Repeat("a.", token.MaxBytes/2), "long": strings.Repeat("a", 10_000_000),
		"nested": head() + "." + b64(strings.Repeat(`{"a":`, 4000)) + ".x", "lists": head() + "." + b64(strings.Repeat(`[`, 20000)) + ".x",
		"names": head() + "." + b64("{"+names(3000)+"}") + ".x",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 10 {
				if _, err := v.Verify(t.Context(), raw); kindOf(t, err) != token.Invalid {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			// Ten refusals of a token within the limit; its decoded claims are the most that is held.
			if got := after.TotalAlloc - before.TotalAlloc; got > 20<<20 {
				t.Fatalf("%d bytes were allocated", got)
			}
			if strings.HasPrefix(name, "dots") || name == "long" || name == "parts" {
				if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
					t.Fatalf("%d bytes were allocated for what is no token", got)
				}
			}
		})
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func head() string { return b64(`{"alg":"ES256"}`) }

func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":0,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}
