package oidc

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// What is drawn is the code, module by module, with the light margin of four that scanners want (ISO/IEC 18004 6.3.8).
func TestDraw(t *testing.T) {
	for _, text := range []string{"https://issuer.example/device?user_code=WDJB-MJHT", "https://x/" + strings.Repeat("a", maxQR-10)} {
		code, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(draw(code), "\n"), "\n")
		if want := (code.Size + 2*marginQR + 1) / 2; len(lines) != want {
			t.Fatalf("%d lines, want %d", len(lines), want)
		}
		for i, line := range lines {
			line, on := strings.CutPrefix(line, "\x1b[30;107m") // black on white, whatever the terminal has
			line, off := strings.CutSuffix(line, "\x1b[0m")
			row := []rune(line)
			if !on || !off || len(row) != code.Size+2*marginQR {
				t.Fatalf("line %d is %q", i, line)
			}
			for j, r := range row {
				x, y := j-marginQR, 2*i-marginQR
				upper, lower := strings.ContainsRune("█▀", r), strings.ContainsRune("█▄", r)
				if upper != code.Black(x, y) || lower != code.Black(x, y+1) {
					t.Errorf("at %d, %d it has %q", x, y, r)
				}
			}
		}
	}
}
