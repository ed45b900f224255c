package web

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bulla-sign/bulla/server/internal/page"
	"github.com/bulla-sign/bulla/tlog"
)

type logPage struct {
	Origin, Size, Root string
	Kinds              []struct{ Value, Text string }
	By, Query          string
	Searched           bool
	Behind             bool // entries are in the log that the search does not know yet
	Entries            []listed
	Older, Newest      string // links
	Shard              string // "": the one in use
	Shards             []shardLink
	Problem            string
}

// entries shows the newest entries, or what a search finds.
func (s *Site) entries(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.RawQuery) > 4*maxQuery {
		s.fail(w, r, http.StatusBadRequest, "This request cannot be read", "The address is too long.")
		return
	}
	q := r.URL.Query()
	from, ok := s.shard(r)
	if !ok {
		s.noShard(w, r)
		return
	}
	h, err := from.head(r.Context())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	p := logPage{Shard: from.name, Origin: clean(h.Origin), Size: count(h.Size), Root: base64.StdEncoding.EncodeToString(h.Root[:]), Kinds: kinds, By: q.Get("by"), Query: q.Get("q")}
	code := http.StatusOK
	if p.Query != "" {
		found, err := readSearch(p.By, p.Query)
		if err == nil && found.By == "index" {
			http.Redirect(w, r, from.href("/ui/log/"+strconv.FormatInt(found.Index, 10), nil), http.StatusSeeOther)
			return
		}
		if err != nil {
			p.Problem, code = "Sorry: "+err.Error()+".", http.StatusBadRequest
		} else if code, err = s.search(r, looked{from, h}, found, &p); err != nil {
			s.failed(w, r, err)
			return
		}
	} else if err := s.newest(r, looked{from, h}, &p); err != nil {
		s.failed(w, r, err)
		return
	}
	p.Shards = s.shardLinks(from.name, p.By, p.Query)
	p.Query = clean(p.Query)
	for i := range p.Entries {
		p.Entries[i].Href = from.href("/ui/log/"+strconv.FormatInt(p.Entries[i].Index, 10), nil)
	}
	s.write(w, r, code, page.View{Page: "log", Title: "Log", Nav: s.nav("/ui/log"), Wide: true, Data: p})
}

// looked is a shard with the checkpoint that it had when it was looked at.
type looked struct {
	shard
	head
}

func (s *Site) newest(r *http.Request, h looked, p *logPage) (err error) {
	before := h.Size
	if text := r.URL.Query().Get("before"); text != "" {
		if before, err = position(text); err != nil {
			before = h.Size
		}
	}
	if p.Entries, err = h.page(r.Context(), h.head, before, pageSize); err != nil {
		return err
	}
	if n := len(p.Entries); n > 0 && p.Entries[n-1].Index > 0 {
		p.Older = h.href("/ui/log", url.Values{"before": {strconv.FormatInt(p.Entries[n-1].Index, 10)}})
	}
	if before < h.Size {
		p.Newest = h.href("/ui/log", nil)
	}
	return nil
}

// search fills in what is found. A question that the log does not understand is the reader's mistake, and shown with the form.
func (s *Site) search(r *http.Request, h looked, q search, p *logPage) (code int, err error) {
	after := r.URL.Query().Get("after")
	if _, err := position(after); err != nil {
		after = ""
	}
	found, err := h.find(r.Context(), q, after)
	if errors.Is(err, errQuery) {
		p.Problem = "Sorry: " + errQuery.Error() + ". A digest is written as sha256:… with 64 hexadecimal digits."
		return http.StatusBadRequest, nil
	}
	if err != nil {
		return 0, err
	}
	if p.Entries, err = h.read(r.Context(), h.head, found.positions); err != nil {
		return 0, err
	}
	p.Searched, p.Behind = true, found.indexed < h.Size
	if found.next != "" {
		p.Older = h.href("/ui/log", url.Values{"by": {p.By}, "q": {p.Query}, "after": {found.next}})
	}
	return http.StatusOK, nil
}

type entryPage struct {
	Index            string
	Checks           []check
	Facts            []fact
	Signers          []signer
	Strange          string
	Body             string
	Proof            []fact
	Hashes           []string
	Checkpoint       string
	Previous, Follow string // links
}

// check is something that was checked, with what was found.
type check struct {
	OK         bool
	What, Text string
}

// entry shows one entry.
func (s *Site) entry(w http.ResponseWriter, r *http.Request) {
	index, err := position(r.PathValue("index"))
	if err != nil {
		s.fail(w, r, http.StatusNotFound, "There is no such entry", "An entry's address ends with its index, a number.")
		return
	}
	from, ok := s.shard(r)
	if !ok {
		s.noShard(w, r)
		return
	}
	p, err := from.entry(r.Context(), index)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	v := entryPage{
		Index: count(index), Body: cleanLines(string(p.body)), Checkpoint: cleanLines(p.text),
		Checks: []check{
			{true, "Signed checkpoint", "The log's key signed the tree of " + count(p.Size) + " entries that was read just now."},
			{true, "In the tree", "The entry's inclusion proof of " + strconv.Itoa(len(p.proof)) + " hashes leads to the root of that tree."},
		},
		Proof: []fact{{"Tree size", count(p.Size)}, {"Root hash", hex.EncodeToString(p.Root[:])}, {"Leaf hash", hex.EncodeToString(p.leaf[:])}},
	}
	for _, h := range p.proof {
		v.Hashes = append(v.Hashes, hex.EncodeToString(h))
	}
	if b, err := tlog.ParseBody(p.body); err != nil {
		v.Strange = clean(err.Error())
	} else {
		v.Facts, v.Signers, v.Body = subjectFacts(b), signers(b), indent(p.body)
	}
	if index > 0 {
		v.Previous = from.href("/ui/log/"+strconv.FormatInt(index-1, 10), nil)
	}
	if index+1 < p.Size {
		v.Follow = from.href("/ui/log/"+strconv.FormatInt(index+1, 10), nil)
	}
	s.write(w, r, http.StatusOK, page.View{Page: "entry", Title: "Entry " + v.Index, Nav: s.nav("/ui/log"), Wide: true, Script: true, Data: v})
}

// failed shows that the log could not be read, or that what was read is not right. The latter is worth an alarm.
func (s *Site) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNotFound):
		s.fail(w, r, http.StatusNotFound, "There is no such entry", "The log's newest checkpoint covers no entry with this index.")
	case errors.Is(err, tlog.ErrProof), errors.Is(err, tlog.ErrCheckpointSignature):
		s.log.ErrorContext(r.Context(), "the log does not prove what it shows", "error", err)
		s.fail(w, r, http.StatusBadGateway, "The log does not prove this", "What the log answered was checked and is not right: "+clean(err.Error())+". Do not rely on it, and tell its operator.")
	default:
		s.log.ErrorContext(r.Context(), "the log could not be read", "error", err)
		s.fail(w, r, http.StatusBadGateway, "The log cannot be read", "It does not answer as it should. Please try again later.")
	}
}
