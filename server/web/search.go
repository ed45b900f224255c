package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	pageSize  = 20
	maxQuery  = 2048 // bytes of what is searched for, as in the log's search
	maxNames  = 16   // names of a certificate that are shown in a list
	hexSHA256 = 64   // digits
)

// errQuery says that the log does not understand what is searched for.
var errQuery = errors.New("the log cannot search for that")

// search is what somebody typed, and what it is taken for.
type search struct {
	// By is "index" or a parameter of the log's search: digest, email, publicKey, subject.
	By, Value string
	Index     int64
}

// kinds are what can be searched for, with their names for people; the first stands for whatever it looks like.
var kinds = []struct{ Value, Text string }{
	{"", "Anything"}, {"digest", "Digest"}, {"email", "E-mail address"}, {"subject", "Certificate subject"}, {"publicKey", "Public key digest"}, {"index", "Log index"},
}

// readSearch takes what was typed for what was chosen, or for what it looks like: a number is an index, 64 hexadecimal
// digits are a digest, what has an @ in it and no slash is an address, and anything else a subject.
func readSearch(by, typed string) (search, error) {
	value := strings.TrimSpace(typed)
	if value == "" || len(value) > maxQuery {
		return search{}, fmt.Errorf("what is searched for has %d bytes, not 1 to %d", len(value), maxQuery)
	}
	name, digits, _ := strings.Cut(value, ":")
	if by == "" {
		switch {
		case allHex(value) && len(value) == hexSHA256, strings.HasPrefix(name, "sha") && allHex(digits):
			by = "digest"
		case strings.Trim(value, "0123456789") == "":
			by = "index"
		case strings.Contains(value, "@") && !strings.ContainsAny(value, "/:"):
			by = "email"
		default:
			by = "subject"
		}
	}
	s := search{By: by, Value: value}
	switch by {
	case "index":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return search{}, errors.New("a log index is a number")
		}
		s.Index = n
	case "digest", "publicKey":
		if len(value) == hexSHA256 && allHex(value) {
			s.Value = "sha256:" + value
		}
	case "email", "subject":
	default:
		return search{}, errors.New("there is no such kind of search")
	}
	return s, nil
}

func allHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// results is a page of results. Only the positions are taken from the answer, as a hint: what stands there is read from the
// tree.
type results struct {
	positions []int64
	next      string // where the next page begins; "" on the last one
	indexed   int64
}

// find asks the log. after is where the page before ended, or "".
func (l *logReader) find(ctx context.Context, s search, after string) (results, error) {
	q := url.Values{s.By: {s.Value}, "limit": {strconv.Itoa(pageSize)}}
	if after != "" {
		q.Set("after", after)
	}
	data, err := l.get(ctx, "api/v2/search", q.Encode(), maxSearch)
	if err != nil {
		return results{}, err
	}
	return readResults(data)
}

func readResults(data []byte) (r results, err error) {
	var page struct {
		Entries []struct {
			LogIndex string `json:"logIndex"`
		} `json:"entries"`
		Next    string `json:"next"`
		Indexed string `json:"indexed"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		return r, errors.New("the log's answer to the search is not JSON of the form that was expected")
	}
	if len(page.Entries) > pageSize {
		return r, fmt.Errorf("the log's answer has %d entries, %d were asked for", len(page.Entries), pageSize)
	}
	for _, e := range page.Entries {
		n, err := position(e.LogIndex)
		if err != nil {
			return r, err
		}
		r.positions = append(r.positions, n)
	}
	if page.Next != "" {
		if _, err := position(page.Next); err != nil {
			return r, err
		}
		r.next = page.Next
	}
	r.indexed, err = position(page.Indexed)
	return r, err
}

func position(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%.40q is not a position in the log", text)
	}
	return n, nil
}
