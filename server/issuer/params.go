package issuer

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"unicode/utf8"
)

const (
	maxForm   = 32 << 10 // bytes of a form: the largest has the longest authorization request in it
	maxQuery  = 8 << 10  // bytes of a query: what browsers and proxies let through
	maxParams = 40       // parameters: OpenID Connect knows some 30
	maxParam  = 4 << 10  // bytes of one value
)

// params are the parameters of a request, each given once.
type params map[string]string

// parseParams reads application/x-www-form-urlencoded text. RFC 6749 3.1 and 3.2: a parameter given twice is an error, and
// one without a value counts as absent.
func parseParams(raw string, limit int) (params, error) {
	if len(raw) > limit {
		return nil, fmt.Errorf("parameters have %d bytes, at most %d are read", len(raw), limit)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("parameters are not form-encoded")
	}
	if len(values) > maxParams {
		return nil, fmt.Errorf("there are %d parameters, at most %d are read", len(values), maxParams)
	}
	p := make(params, len(values))
	for name, list := range values {
		value := list[0]
		switch {
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			return nil, errors.New("parameters are not UTF-8")
		case len(list) > 1:
			return nil, fmt.Errorf("parameter %.40q is given %d times", name, len(list))
		case len(value) > maxParam && name != "to":
			return nil, fmt.Errorf("parameter %.40q has %d bytes, at most %d are read", name, len(value), maxParam)
		case value != "":
			p[name] = value
		}
	}
	return p, nil
}

// form reads the parameters of a POST from its body. Those of the URL do not count.
func form(r *http.Request) (params, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body's content type is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, fmt.Errorf("the body has more than %d bytes", tooLarge.Limit)
		}
		return nil, errors.New("the body could not be read")
	}
	return parseParams(string(body), maxForm)
}

// randomString returns 256 bits from the system's generator, as 43 characters that need no escaping anywhere.
func randomString() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
