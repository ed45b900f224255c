package httpserver

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReadBody(t *testing.T) {
	const limit = 40 << 10
	for _, n := range []int{0, 1, maxTrusted - 1, maxTrusted, maxTrusted + 1, limit, limit + 1} {
		for _, said := range []int64{int64(n), -1, 1 << 40} { // as it is, in chunks, and a lie
			sent := bytes.Repeat([]byte("x"), n)
			r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader(sent)))
			r.ContentLength = said
			got, err := ReadBody(httptest.NewRecorder(), r, limit)
			var tooLong *http.MaxBytesError
			if n > limit {
				if !errors.As(err, &tooLong) {
					t.Errorf("%d bytes, said to be %d: %v", n, said, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes, said to be %d: %d came, %v", n, said, len(got), err)
			}
			if most := 2*max(n, maxTrusted) + 2*bytes.MinRead; cap(got) > most {
				t.Errorf("%d bytes, said to be %d, take %d", n, said, cap(got))
			}
		}
	}
}
