package access

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// assembled is the registry that a hosts.toml is about, with its mirrors in order.
func assembled(server *hostTable, hosts []*hostTable, host string) (*Registry, error) {
	r := &Registry{Prefix: host}
	own, err := server.registry(host)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	r.Way, r.Insecure = &own, own.Scheme == "http"
	for _, h := range hosts {
		m, err := h.mirror(host)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", plainText(h.address), err)
		}
		r.Mirrors = append(r.Mirrors, m)
	}
	return r, nil
}

// registry is the way to the registry itself.
func (t *hostTable) registry(host string) (Way, error) {
	if t.capabilities != nil && !(t.capabilities["pull"] && t.capabilities["resolve"]) {
		return t.way, fmt.Errorf("it lacks the capability pull or resolve, and which evidence there is could be asked of mirrors only")
	}
	if t.address == "" {
		if t.overridePath {
			return t.way, errors.New("override_path is given without a server")
		}
		return t.way, nil
	}
	location, err := t.locate()
	if err != nil {
		return t.way, err
	}
	if canonical(location) != host {
		return t.way, fmt.Errorf("it is %s, and evidence about images of %s is asked of %s: make it a host, and leave server out", plainText(location), host, host)
	}
	return t.way, nil
}

// mirror is one that stands for a registry.
func (t *hostTable) mirror(host string) (Mirror, error) {
	location, err := t.locate()
	if err != nil {
		return Mirror{}, err
	}
	all := t.capabilities == nil
	m := Mirror{Location: location, Insecure: t.way.Scheme == "http", Tags: all || t.capabilities["resolve"], Digests: all || t.capabilities["pull"]}
	if canonical(location) != host {
		t.way.Namespace = host
	}
	m.Way = &t.way
	return m, nil
}

// locate reads the address. The API is below its path and /v2, or with override_path below its path. What lies below /v2 is
// the beginning of a repository's name, and anything else the root of the API.
func (t *hostTable) locate() (string, error) {
	address := t.address
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.RawPath != "":
		return "", errors.New("it is no address of a host: want https://HOST[:PORT][/PATH]")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("its address has more than a host, a port and a path")
	}
	root := strings.TrimSuffix(path.Clean("/"+u.Path), "/")
	if !t.overridePath && !strings.HasSuffix(root, "/v2") {
		root += "/v2"
	}
	location := u.Host
	if u.Port() == "" && !strings.Contains(u.Hostname(), ".") && u.Hostname() != "localhost" {
		location += map[string]string{"https": ":443", "http": ":80"}[u.Scheme] // or it would be taken for a part of a name
	}
	below, usual := strings.CutPrefix(root, "/v2/")
	switch {
	case root == "/v2":
	case usual && !strings.HasSuffix(below, "/v2"):
		location += "/" + below
	default:
		t.way.Root = root
	}
	if t.way.Scheme = u.Scheme; t.overridePath && root == "" {
		return "", errors.New("override_path is given, and the address has no path")
	}
	if !isLocation(location) {
		return "", errors.New("its address is not that of a registry")
	}
	return location, nil
}
