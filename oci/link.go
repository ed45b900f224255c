package oci

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// nextPage reads the Link header (RFC 8288) of a page: nil when it was the last. The next page must be the same resource
// on the same host, so that a list cannot be continued by somebody else. A header that cannot be read is an error, since it
// may name a page that we would miss.
func nextPage(a *answer) (*url.URL, error) {
	for _, header := range a.header.Values("Link") {
		for rest := header; rest != ""; {
			target, params, after, err := cutLink(rest)
			if err != nil {
				return nil, err
			}
			if rest = after; !isNext(params) {
				continue
			}
			next, err := a.url.Parse(target)
			if err != nil {
				return nil, errors.New("the link to the next page cannot be read")
			}
			if next.Host != a.url.Host || next.Scheme != a.url.Scheme || next.Path != a.url.Path || next.User != nil {
				return nil, fmt.Errorf("the link to the next page leads elsewhere: %s", printable(safeURL(next), maxDetail))
			}
			return next, nil
		}
	}
	return nil, nil
}

// cutLink takes the first link-value off a Link header. Commas and semicolons may stand inside the target and inside
// quoted parameters.
func cutLink(header string) (target string, params []string, rest string, err error) {
	header = strings.TrimLeft(header, " \t,")
	if header == "" {
		return "", nil, "", nil
	}
	target, rest, ok := strings.Cut(header, ">")
	if !ok || !strings.HasPrefix(target, "<") {
		return "", nil, "", fmt.Errorf("the Link header cannot be read: %q", printable(header, 100))
	}
	quoted, start := false, 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ';' || c == ','):
			params = append(params, rest[start:i])
			start = i + 1
			if c == ',' {
				return target[1:], params, rest[start:], nil
			}
		}
	}
	return target[1:], append(params, rest[start:]), "", nil
}

// isNext says whether the parameters have the relation "next", maybe among others.
func isNext(params []string) bool {
	for _, param := range params {
		key, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(key), "rel") {
			relations := strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`)))
			return slices.Contains(relations, "next")
		}
	}
	return false
}
