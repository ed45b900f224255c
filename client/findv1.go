package client

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
)

// Limits of a search.
const (
	// maxFound bounds the entries that one search asks for and returns: Rekor allows ten.
	maxFound = 10
	// maxIndexed bounds the names that an index lists for one content, of which so many are looked at: whoever signs in CI signs
	// the same content a few times.
	maxIndexed = 30
	// maxIndex bounds the answer of the index: somebody may have entered well-known content thousands of times.
	maxIndex = 10_000
)

// Find looks for the entry about a signature that was made earlier, and returns nil where the log says that it holds none. An
// entry that comes back is about exactly that signature and signer, and is checked as one that [LogV1.Log] returns. It is
// looked for by what would be entered today, and where older clients entered something else by the digest of what was signed.
func (l *LogV1) Find(ctx context.Context, s *sign.Signature) (*tlog.Entry, error) {
	proposal, want, err := propose(s)
	if err != nil {
		return nil, fmt.Errorf("transparency log %s: %w", l.s.base, err)
	}
	e, err := l.retrieve(ctx, fmt.Sprintf(`{"entries":[%s]}`, proposal), want)
	if e != nil || err != nil {
		return e, err
	}
	names, err := l.index(ctx, want)
	if err != nil {
		return nil, err
	}
	for len(names) > 0 {
		n := min(len(names), maxFound)
		query, err := json.Marshal(map[string][]string{"entryUUIDs": names[:n]})
		if err != nil {
			return nil, err
		}
		names = names[n:]
		if e, err = l.retrieve(ctx, string(query), want); e != nil || err != nil {
			return e, err
		}
	}
	return nil, nil
}

// retrieve asks for entries and returns the one that is about the signature. What is about another is passed over: anybody
// may enter a signature of their own over the same content. Of the right one everything must hold.
func (l *LogV1) retrieve(ctx context.Context, query string, want *expected) (*tlog.Entry, error) {
	r := &request{
		asked: "the log entry of a signature", method: http.MethodPost, url: l.s.base + entriesV1 + "/retrieve", contentType: "application/json",
		accept: "application/json", body: []byte(query), limit: maxLogAnswer, said: statusMessage,
	}
	a, err := l.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := parseFoundV1(a.body)
	if err != nil {
		return nil, l.s.fail(r, a, err)
	}
	for i := range found {
		e := &found[i].Entry
		body, err := tlog.ParseBody(e.Body)
		if errors.Is(err, tlog.ErrUnknownKind) {
			continue
		}
		if err != nil {
			return nil, l.s.fail(r, a, wrong("the entry: %w", err))
		}
		if want.match(body) != nil {
			continue
		}
		if err := l.vouches(e, body, want); err != nil {
			return nil, l.s.fail(r, a, err)
		}
		return e, nil
	}
	return nil, nil
}

// index asks which entries are about what was signed. The index is a convenience that proves nothing; nor does what it leaves out.
func (l *LogV1) index(ctx context.Context, want *expected) ([]string, error) {
	d := want.digests[0]
	if d.Hash != crypto.SHA256 && d.Hash != crypto.SHA512 {
		return nil, nil // by which it lists nothing
	}
	query, err := json.Marshal(map[string]string{"hash": fmt.Sprintf("%s:%x", algorithm.HashName(d.Hash), d.Sum)})
	if err != nil {
		return nil, err
	}
	r := &request{
		asked: "the log entries about what was signed", method: http.MethodPost, url: l.s.base + "/api/v1/index/retrieve", contentType: "application/json",
		accept: "application/json", body: query, limit: maxLogAnswer, said: statusMessage,
	}
	a, err := l.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	names, err := parseNames(a.body)
	if err != nil {
		return nil, l.s.fail(r, a, err)
	}
	return names[max(0, len(names)-maxIndexed):], nil
}

// parseNames reads a list of entries' names.
func parseNames(body []byte) ([]string, error) {
	var names []string
	err := protojson.Document(body, protojson.Limits{Bytes: maxLogAnswer, Depth: logDepth}, func(d *protojson.Decoder) error {
		return protojson.List(d, &names, maxIndex, func(d *protojson.Decoder, name *string) error { return d.String(name) })
	})
	if err != nil {
		return nil, wrong("the answer is not a list of names: %w (it begins with %s)", err, beginning(body))
	}
	pattern, err := regexp.Compile(uuidPattern)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !pattern.MatchString(name) {
			return nil, wrong("it lists %s, which is no entry's name", protojson.Quote(name))
		}
	}
	return names, nil
}
