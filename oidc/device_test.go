package oidc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/services"
)

func TestDevice(t *testing.T) {
	s := services.New(t)
	s.Polls("authorization_pending")
	var out strings.Builder
	l := login(s, &out)
	l.Columns = 80
	token, err := l.Device(context.Background())
	if err != nil || token.Email != s.Email {
		t.Fatalf("%v, %v", token, err)
	}
	for _, want := range []string{"\x1b[30;107m", "▀", "Enter the verification code WDJB-MJHT in your browser at: " + s.Issuer + "/device?user_code=WDJB-MJHT\n", "Code will be valid for 300 seconds\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("did not say %q", want)
		}
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(line, "\x1b") && !strings.HasSuffix(line, "\x1b[0m") {
			t.Error("a line of the drawing colours the rest of the terminal")
		}
	}
	out.Reset()
	l.Columns = 30 // too narrow for the drawing, which would be broken up
	if _, err := l.Device(context.Background()); err != nil || strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "WDJB-MJHT") {
		t.Errorf("%v, %q", err, out.String())
	}
	out.Reset()
	l.Columns = 0
	s.Polls("access_denied")
	if _, err := l.Device(context.Background()); err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v, %q", err, out.String())
	}
	for code, want := range map[string]string{"expired_token": "before the code expired", "invalid_client": "invalid_client"} {
		s.Polls(code)
		if _, err := l.Device(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", code, err)
		}
	}
	s.Polls("slow_down", "authorization_pending")
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	if _, err := l.Device(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow down: %v", err)
	}
}

// What a provider answers a device is looked at before it is shown to somebody who will do what it says.
func TestDeviceAnswer(t *testing.T) {
	s := services.New(t)
	for body, want := range map[string]string{
		`{"device_code":"device-1","user_code":"A","verification_uri":"http://evil.example/","expires_in":300}`:                     "no address that it is safe to go to",
		`{"device_code":"device-1","user_code":"A","verification_uri":"javascript:alert(1)","expires_in":300}`:                      "no address",
		`{"device_code":"device-1","user_code":"A","verification_uri":"https://x/\u001b[2J","expires_in":300}`:                      "no address",
		`{"device_code":"device-1","user_code":"\u001b[2J","verification_uri":"https://x/","expires_in":300}`:                       "holds no code",
		`{"device_code":"device-1","user_code":"` + strings.Repeat("A", 65) + `","verification_uri":"https://x/","expires_in":300}`: "holds no code",
		`{"user_code":"A","verification_uri":"https://x/","expires_in":300}`:                                                        "holds no code",
		`{"device_code":"device-1","user_code":"A","verification_uri":"https://x/"}`:                                                "expired already",
		`{"device_code":"device-1","user_code":"A","verification_uri":"https://x/","expires_in":-1}`:                                "expired already",
		`[]`: "not the JSON",
	} {
		s.Heal()
		s.Fail(services.Fault{Path: "/oidc/device/code", Status: 200, Body: body, Times: -1})
		var out strings.Builder
		if _, err := login(s, &out).Device(t.Context()); err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%s: %v, and said %q", body, err, out.String())
		}
	}
	// The address with the code in it is left out where it is no better; a code that lives longer than anybody waits is not
	// said to.
	s.Heal()
	s.Polls("access_denied", "access_denied")
	const long = `{"device_code":"device-1","user_code":"A","verification_uri":"https://x/","verification_uri_complete":"http://evil.example/A","expires_in":1e300,"interval":0.05}`
	s.Fail(services.Fault{Path: "/oidc/device/code", Status: 200, Body: long, Times: -1})
	var out strings.Builder
	_, err := login(s, &out).Device(t.Context())
	if err == nil || out.String() != "Enter the verification code A in your browser at: https://x/\nCode will be valid for 3600 seconds\n" {
		t.Errorf("%v, %s", err, out.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
	defer cancel()
	out.Reset()
	if _, err := login(s, &out).Device(ctx); err == nil || strings.Contains(out.String(), "3600") || !strings.Contains(out.String(), "for 1") {
		t.Errorf("with less than three minutes: %v, %s", err, out.String())
	}
}
