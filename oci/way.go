package oci

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bulla-sign/bulla/oci/access"
	"github.com/google/go-containerregistry/pkg/name"
)

// reach returns what the requests of a session go through.
func (c *Client) reach(s *session) (http.RoundTripper, error) {
	if s.way == nil {
		return c.base, nil
	}
	t := &wayTransport{inner: c.base, host: s.repo.RegistryStr(), way: s.way}
	w := s.way
	if w.Certificates == nil && !w.SkipVerify && w.DialTimeout == 0 && w.Proxy == nil {
		return t, nil
	}
	if c.hosts == nil {
		return nil, errors.New("registry options: certificates, dial_timeout and proxy of a hosts.toml cannot be combined with a transport")
	}
	agent := *c.base.(*agentTransport)
	agent.inner = c.hosts.with(t.host, w)
	t.inner = &agent
	return t, nil
}

// settings lists what files say about a registry, for people: certificates, a hosts.toml or registries.conf, mirrors.
func (c *Client) settings(repo name.Repository) (list []string) {
	describe := func(at string, own *access.Certificates) {
		if own != nil && len(own.Authorities)+len(own.Clients) > 0 {
			list = append(list, fmt.Sprintf("%s: %d authorities beside the system's, %d client certificates", at, len(own.Authorities), len(own.Clients)))
		}
	}
	if c.hosts != nil {
		if own, err := access.LoadCertificates(c.options.CertDirs, repo.RegistryStr()); err == nil && own != nil {
			describe(own.Dir, own)
		}
	}
	r, err := c.options.Mirrors.Find(repo.Name())
	if err != nil || r == nil { // an error is told by who connects
		return list
	}
	if r.Way != nil {
		describe(r.Path, r.Way.Certificates)
		if r.Way.SkipVerify {
			list = append(list, r.Path+": its certificate is not checked")
		}
	}
	if r.Blocked {
		list = append(list, r.Path+": blocked")
	}
	for _, m := range r.Mirrors {
		use := map[[2]bool]string{{true, true}: "tags and content", {true, false}: "tags", {false, true}: "content by digest", {false, false}: "nothing"}[[2]bool{m.Tags, m.Digests}]
		list = append(list, fmt.Sprintf("%s: mirror %s, which commands that verify ask for %s", r.Path, m.Location, use))
	}
	return list
}

// wayTransport asks one host as a hosts.toml says. What goes to other hosts it leaves alone: what is said is not for them.
type wayTransport struct {
	inner http.RoundTripper
	host  string
	way   *access.Way
}

func (t *wayTransport) RoundTrip(in *http.Request) (*http.Response, error) {
	if in.URL.Host != t.host {
		return t.inner.RoundTrip(in)
	}
	if t.way.Scheme == "https" && in.URL.Scheme != "https" {
		return nil, fmt.Errorf("refused to ask %s by %s: a hosts.toml says https", t.host, in.URL.Scheme)
	}
	out := in.Clone(in.Context())
	if below, ok := strings.CutPrefix(out.URL.Path, "/v2/"); ok && t.way.Root != "" {
		out.URL.Path, out.URL.RawPath = t.way.Root+"/"+below, ""
	}
	if query := out.URL.Query(); t.way.Namespace != "" && !query.Has("ns") {
		query.Set("ns", t.way.Namespace)
		out.URL.RawQuery = query.Encode()
	}
	for name, values := range t.way.Header {
		if _, set := out.Header[name]; !set {
			out.Header[name] = values
		}
	}
	resp, err := t.inner.RoundTrip(out)
	if err == nil {
		resp.Request = in // redirects and further pages go on from what was asked
	}
	return resp, err
}
