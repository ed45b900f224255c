package oci

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is the longest wait a registry may ask for that we grant without asking the user.
const maxRetryAfter = 10 * time.Second

// waitHeaders say how long to wait before the next request, the most specific first: RFC 9110, 10.2.3; the draft of the
// IETF on RateLimit fields, to its version 6; and what services had before.
var waitHeaders = []string{"Retry-After", "RateLimit-Reset", "X-RateLimit-Reset"}

// askedToWait is how long a busy registry asks to wait: seconds, or a date, or a Unix time; 0 when it does not say. False
// says that this is longer than we wait, or cannot be read.
func askedToWait(header http.Header, now time.Time) (time.Duration, bool) {
	for _, name := range waitHeaders {
		if text := strings.TrimSpace(header.Get(name)); text != "" {
			return parseWait(text, now)
		}
	}
	return 0, true
}

// parseWait reads one of waitHeaders.
func parseWait(text string, now time.Time) (time.Duration, bool) {
	// A Unix time is in seconds, too, and no registry asks to wait for thirty years.
	const years30 = 1e9
	seconds, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && seconds >= years30:
		seconds -= now.Unix()
		seconds = max(0, seconds)
	case err == nil && seconds < 0:
		return 0, false
	case err != nil:
		date, err := http.ParseTime(text)
		if err != nil {
			return 0, false
		}
		wait := max(0, date.Sub(now))
		return wait, wait <= maxRetryAfter
	}
	if seconds > int64(maxRetryAfter/time.Second) {
		return maxRetryAfter, false
	}
	return time.Duration(seconds) * time.Second, true
}

// waitHint repeats what a registry asks for; empty when it asks for nothing.
func waitHint(header http.Header) string {
	for _, name := range waitHeaders {
		if text := header.Get(name); text != "" {
			return "the registry asks to wait: " + name + " is " + printable(text, 40) + " (seconds, or a date)"
		}
	}
	return ""
}
