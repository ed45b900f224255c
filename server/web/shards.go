package web

import (
	"fmt"
	"net/http"
	"net/url"
)

// shard is a log with the name that addresses of its pages have: the log in use has none, those before it are ?shard=NAME.
type shard struct {
	*logReader
	name string
}

// href is the address of a page about a shard.
func (s shard) href(path string, q url.Values) string {
	if s.name != "" {
		if q == nil {
			q = make(url.Values)
		}
		q.Set("shard", s.name)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// shardLink leads to the same page about another shard.
type shardLink struct {
	Text, Href string
	Current    bool
}

// readShards checks the logs before the one in use.
func (c *Config) readShards() (out []shard, err error) {
	if len(c.Frozen) > 0 && c.TransparencyLog == nil {
		return nil, fmt.Errorf("web: there are frozen logs, and none in use")
	}
	if len(c.Frozen) > maxListed {
		return nil, fmt.Errorf("web: more than %d frozen logs", maxListed)
	}
	known := map[string]bool{"": true}
	for _, l := range c.Frozen {
		if known[l.Name] || len(l.Name) > maxText {
			return nil, fmt.Errorf("web: the frozen log at %s has the name %q, which is no name, too long or another one's", l.URL, l.Name)
		}
		known[l.Name] = true
		r, err := newLogReader(l)
		if err != nil {
			return nil, err
		}
		out = append(out, shard{r, l.Name})
	}
	return out, nil
}

// shard is the one that a request is about.
func (s *Site) shard(r *http.Request) (shard, bool) {
	name := r.URL.Query().Get("shard")
	if name == "" {
		return shard{s.reader, ""}, true
	}
	for _, f := range s.frozen {
		if f.name == name {
			return f, true
		}
	}
	return shard{}, false
}

// shardLinks are the shards with what is searched for, the one in use first; none where there is only that.
func (s *Site) shardLinks(current, by, query string) (out []shardLink) {
	if len(s.frozen) == 0 {
		return nil
	}
	for _, f := range append([]shard{{s.reader, ""}}, s.frozen...) {
		q := make(url.Values)
		if query != "" {
			q.Set("by", by)
			q.Set("q", query)
		}
		text := f.name
		if text == "" {
			text = "in use"
		}
		out = append(out, shardLink{text, f.href("/ui/log", q), f.name == current})
	}
	return out
}

func (s *Site) noShard(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusNotFound, "There is no such shard", "The log in use and those before it are listed on the log's page.")
}
