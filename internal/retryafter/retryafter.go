// Package retryafter reads how long a service asks to wait before it is asked again (RFC 9110 10.2.3).
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Most bounds what is read, against overflow: nobody waits for a day.
const Most = 24 * time.Hour

// Read reads the header Retry-After: seconds, or a date, of which now is taken away. 0: it says nothing that can be used. It
// is never negative, nor more than [Most].
func Read(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(Most/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), Most))
}
