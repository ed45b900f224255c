package httpserver

import (
	"bytes"
	"io"
	"net/http"
)

// maxTrusted is how much memory, in bytes, a request gets for its word that a body of this length will follow; what bodies
// for the services usually have. A longer one gets more as it comes.
const maxTrusted = 16 << 10

// ReadBody reads a request's body of at most limit bytes. The error of a longer one is an [http.MaxBytesError].
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(min(n, limit, maxTrusted)) + bytes.MinRead) // so that the end is seen without growing once more
	}
	_, err := io.Copy(&buf, http.MaxBytesReader(w, r.Body, limit))
	return buf.Bytes(), err
}
