package log

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/tlog"
)

// Limits of a search.
const (
	defaultPage = 20
	maxPage     = 100  // each entry means looking into a bundle
	maxValue    = 2048 // bytes of what is searched for; a subject is a URL at most
	maxSearches = 16   // at once: they cost more than they look, and uploads come first
)

// query is what a search asks for.
type query struct {
	parameter, value string
	from             uint64 // first position that may be answered
	limit            int
}

// parameters are what can be searched for, exactly one at a time.
var parameters = []string{"digest", "email", "publicKey", "subject"}

// parseQuery reads the query of a search. Unknown and repeated parameters are errors.
func parseQuery(raw string) (query, error) {
	q := query{limit: defaultPage}
	if len(raw) > 4*maxValue {
		return q, fmt.Errorf("the query is longer than %d bytes", 4*maxValue)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, errors.New("the query is malformed")
	}
	for name, v := range values {
		if len(v) != 1 {
			return q, fmt.Errorf("%q is given %d times", name, len(v))
		}
		switch {
		case slices.Contains(parameters, name):
			if q.parameter != "" {
				return q, errors.New("more than one of digest, email, publicKey and subject is given")
			}
			q.parameter, q.value = name, v[0]
		case name == "after":
			n, err := strconv.ParseUint(v[0], 10, 63)
			if err != nil || n > maxTileIndex {
				return q, errors.New("after is not the index of an entry")
			}
			q.from = n + 1
		case name == "limit":
			n, err := strconv.Atoi(v[0])
			if err != nil || n < 1 || n > maxPage {
				return q, fmt.Errorf("limit is not a number from 1 to %d", maxPage)
			}
			q.limit = n
		default:
			return q, fmt.Errorf("unknown parameter %q", name)
		}
	}
	return q, q.check()
}

func (q *query) check() error {
	switch {
	case q.parameter == "":
		return errors.New("one of digest, email, publicKey and subject must be given")
	case q.value == "" || len(q.value) > maxValue:
		return fmt.Errorf("%s has %d bytes, not 1 to %d", q.parameter, len(q.value), maxValue)
	case q.parameter == "digest" || q.parameter == "publicKey":
		name, digits, _ := strings.Cut(q.value, ":")
		sum, err := hex.DecodeString(digits)
		h, ok := algorithm.Hash(name)
		if err != nil || !ok || len(sum) != h.Size() {
			return fmt.Errorf("%s is not the name of a hash, a colon and as many hexadecimal digits as the hash has", q.parameter)
		}
		q.value = name + ":" + hex.EncodeToString(sum) // in lower case
	}
	return nil
}

// searchAnswer is a page of results, in the order of the log.
type searchAnswer struct {
	Entries []found `json:"entries"`
	// Next is the value of after for the next page; absent on the last one.
	Next string `json:"next,omitempty"`
	// Indexed is the number of entries that were searched: those from there on may match as well.
	Indexed string `json:"indexed"`
}

type found struct {
	LogIndex    string      `json:"logIndex"`
	LeafHash    string      `json:"leafHash"` // hexadecimal
	KindVersion kindVersion `json:"kindVersion"`
	Digest      string      `json:"digest,omitempty"`
	PublicKey   string      `json:"publicKey,omitempty"`
	Identities  []name      `json:"identities,omitempty"`
	Issuer      string      `json:"issuer,omitempty"`
	Links       links       `json:"links"`
}

type name struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// links are paths on this server.
type links struct {
	Entry string `json:"entry"`
	Tile  string `json:"tile"`
}

func (l *Log) search(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, &refusal{http.StatusBadRequest, grpcInvalidArgument, err.Error(), 0})
		return
	}
	select {
	case l.searches <- struct{}{}:
		defer func() { <-l.searches }()
	default:
		refuse(w, &refusal{http.StatusServiceUnavailable, grpcUnavailable, "too many searches at once", retryPushback})
		return
	}
	page, err := l.find(q)
	var body []byte
	if err == nil {
		body, err = encode(page)
	}
	if err != nil {
		l.cfg.Log.Error("a search failed", "log", l.origin, "error", err)
		refuse(w, &refusal{http.StatusInternalServerError, grpcInternal, "the search failed", 0})
		return
	}
	l.metrics.searches.Inc()
	writeJSON(w, http.StatusOK, body)
}

// find asks the index for positions and the tree for what stands there: an entry that is not what the index says is left
// out.
func (l *Log) find(q query) (*searchAnswer, error) {
	indexed, _, err := l.index.progress()
	if err != nil {
		return nil, err
	}
	want := term(q.parameter, q.value)
	positions, err := l.index.find(want, q.from, q.limit+1)
	if err != nil {
		return nil, err
	}
	page := &searchAnswer{Entries: []found{}, Indexed: strconv.FormatUint(indexed, 10)}
	if len(positions) > q.limit {
		positions = positions[:q.limit]
		page.Next = strconv.FormatUint(positions[q.limit-1], 10)
	}
	for _, p := range positions {
		body, err := l.tree.Entry(p)
		if err != nil {
			return nil, err
		}
		if a := describe(body); slices.Contains(a.terms(), want) {
			page.Entries = append(page.Entries, l.found(p, body, a))
		}
	}
	return page, nil
}

func (l *Log) found(position uint64, body []byte, a about) found {
	leaf := tlog.LeafHash(body)
	f := found{
		LogIndex: strconv.FormatUint(position, 10), LeafHash: hex.EncodeToString(leaf[:]),
		KindVersion: kindVersion{a.Kind, a.Version}, Digest: a.Digest, PublicKey: a.KeyID, Issuer: a.Issuer,
	}
	for _, san := range a.Identities {
		f.Identities = append(f.Identities, name{san.Kind.String(), san.Value})
	}
	head, _ := l.tree.Head()
	bundle := position / tlog.TileWidth
	width := min(head.Size-bundle*tlog.TileWidth, tlog.TileWidth)
	f.Links.Entry = l.cfg.Prefix + pathEntries + "/" + f.LogIndex
	f.Links.Tile = l.cfg.Prefix + "/" + tlog.Tile{Index: int64(bundle), Width: int(width)}.EntriesPath()
	return f
}
