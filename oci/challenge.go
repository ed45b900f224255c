package oci

import (
	"net/http"
	"net/url"
	"strings"
)

// challenge is how a registry asks for credentials, for people to read; the token transport reads it by itself.
type challenge struct {
	scheme string // in lower case; "none" when nothing was asked for
	realm  string // host of the token server; empty when there is none
}

// readChallenge reads the first challenge of an answer (RFC 9110, 11.6.1).
func readChallenge(resp *http.Response) challenge {
	if resp.StatusCode != http.StatusUnauthorized {
		return challenge{scheme: "none"}
	}
	return parseChallenge(resp.Header.Get("WWW-Authenticate"))
}

func parseChallenge(header string) challenge {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	c := challenge{scheme: printable(strings.ToLower(scheme), 40)}
	if c.scheme == "" {
		c.scheme = "unstated"
	}
	for rest != "" {
		var name, value string
		name, rest, _ = strings.Cut(rest, "=")
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
		} else {
			value, _, _ = strings.Cut(rest, ",")
		}
		if _, after, more := strings.Cut(rest, ","); more {
			rest = after
		} else {
			rest = ""
		}
		if strings.EqualFold(strings.TrimSpace(name), "realm") {
			if u, err := url.Parse(value); err == nil {
				c.realm = printable(u.Host, maxDetail)
			}
		}
	}
	return c
}
