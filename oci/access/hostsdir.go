package access

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// hostsFile is what containerd reads in the directory of a registry.
	hostsFile = "hosts.toml"
	// maxHosts bounds the mirrors of one registry. Those who run large clusters permit ten.
	maxHosts = 64
	// maxDialTimeout bounds dial_timeout; who waits longer for a connection has none.
	maxDialTimeout = 10 * time.Minute
)

// Way is how a host is reached, as far as a hosts.toml says so. It is for that host alone: not for others that the host
// leads to.
type Way struct {
	Scheme       string        // "https" or "http"; with "https" plain HTTP is refused
	Root         string        // path of the API, in place of /v2
	Namespace    string        // the registry that a mirror stands for, which goes along as the parameter ns
	Header       http.Header   // goes along with each request
	Certificates *Certificates // in addition to what the machine has for the host
	SkipVerify   bool          // any certificate is taken
	DialTimeout  time.Duration // 0: as for others
	Proxy        *url.URL      // nil: what the environment says
}

// hostsDir is a directory of directories that are named after registries.
type hostsDir struct {
	path    string
	mirrors bool
	mu      sync.Mutex
	known   map[string]foundHosts
}

type foundHosts struct {
	registry *Registry
	err      error
}

// LoadHosts reads the files hosts.toml below a directory, as containerd does ("Registry Configuration" in its documentation,
// with /etc/containerd/certs.d): that of a registry when it is asked about. The directory of host:port may be named
// host_port_ or host:port, and _default is for all others. Where there is no hosts.toml the directory is in certs.d form, as
// for [LoadCertificates].
//
// Members of a host and of the registry itself are capabilities, ca, client, skip_verify, header, override_path, dial_timeout
// and proxy; anything else is an error, as is a server that is another host than the directory is named after: evidence is
// asked of the registry itself. With mirrors false, hosts are passed over once they were read: for who writes.
func LoadHosts(dir string, mirrors bool) (*Registries, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err != nil {
		return nil, fmt.Errorf("hosts of registries: %s: %w", dir, withoutPath(err))
	}
	return &Registries{hosts: &hostsDir{path: dir, mirrors: mirrors, known: map[string]foundHosts{}}}, nil
}

// find returns what is said about a registry; nil when nothing is.
func (d *hostsDir) find(host string) (*Registry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.known[host]; ok {
		return f.registry, f.err
	}
	r, err := d.load(host)
	d.known[host] = foundHosts{r, err}
	return r, err
}

func (d *hostsDir) load(host string) (*Registry, error) {
	for _, name := range hostDirs(host) {
		dir := filepath.Join(d.path, name)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("hosts of %s: %w", host, err)
		}
		path := filepath.Join(dir, hostsFile)
		data, err := readFile(path, maxRegistries)
		if errors.Is(err, fs.ErrNotExist) {
			return certificatesOnly(dir, host)
		}
		var r *Registry
		if err == nil {
			r, err = parseHosts(data, dir, host)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if r.Path = path; !d.mirrors {
			r.Mirrors = nil
		}
		return r, nil
	}
	return nil, nil
}

// hostDirs are the names of a registry's directory; none for what is no host name, so that no host leads out.
func hostDirs(host string) []string {
	if len(certNames(host)) == 0 {
		return nil
	}
	names := []string{host, "_default"}
	if i := strings.LastIndex(host, ":"); i > 0 {
		names = append([]string{host[:i] + "_" + host[i+1:] + "_"}, names...)
	}
	return names
}

// certificatesOnly is a directory without a hosts.toml.
func certificatesOnly(dir, host string) (*Registry, error) {
	c, err := readCertificates(dir, host)
	if err != nil {
		return nil, err
	}
	return &Registry{Prefix: host, Path: dir, Way: &Way{Certificates: c}}, nil
}

// hostTable is what a hosts.toml says of one host, or of the registry itself.
type hostTable struct {
	dir          string // to which paths are relative
	address      string
	capabilities map[string]bool // nil: all
	overridePath bool
	way          Way
}

func parseHosts(data []byte, dir, host string) (*Registry, error) {
	entries, tables, err := parseTOML(data)
	if err != nil {
		return nil, err
	}
	byName := map[string]*hostTable{"": {dir: dir}}
	order := []*hostTable{}
	for _, t := range tables {
		address, header, ok := hostName(t)
		if !ok {
			return nil, fmt.Errorf("table %s is not known here: want [host.\"URL\"] and [header]", plainText(t.name))
		}
		if address != "" && byName[address] == nil {
			byName[address] = &hostTable{dir: dir, address: address}
			order = append(order, byName[address])
		}
		if header && byName[address].way.Header == nil {
			byName[address].way.Header = http.Header{}
		}
	}
	if len(order) > maxHosts {
		return nil, fmt.Errorf("it has %d hosts, the limit is %d", len(order), maxHosts)
	}
	for _, e := range entries {
		address, header, _ := hostName(tomlTable{name: e.table})
		t := byName[address]
		switch {
		case e.table == "host":
			err = fmt.Errorf("%s is not known of host", plainText(e.key))
		case header:
			err = t.setHeader(e)
		case e.table == "" && e.key == "server":
			err = assign(e, &t.address)
		default:
			err = t.set(e)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", e.line, err)
		}
	}
	return assembled(byName[""], order, host)
}

// hostName takes the name of a table apart: host."URL", host."URL".header, header, and host, which may stand before others.
func hostName(t tomlTable) (address string, header, ok bool) {
	rest, isHost := strings.CutPrefix(t.name, "host")
	switch {
	case t.array:
		return "", false, false
	case t.name == "", t.name == "host":
		return "", false, true
	case t.name == "header":
		return "", true, true
	case !isHost || !strings.HasPrefix(rest, "."):
		return "", false, false
	}
	parts := splitName(rest[1:])
	switch {
	case len(parts) == 1 && parts[0] != "":
		return parts[0], false, true
	case len(parts) == 2 && parts[0] != "" && parts[1] == "header":
		return parts[0], true, true
	}
	return "", false, false
}

func (t *hostTable) set(e tomlEntry) error {
	switch e.key {
	case "capabilities":
		return t.setCapabilities(e)
	case "ca":
		return t.setAuthorities(e)
	case "client":
		return t.setClients(e)
	case "skip_verify":
		return assign(e, &t.way.SkipVerify)
	case "override_path":
		return assign(e, &t.overridePath)
	case "dial_timeout":
		return t.setDialTimeout(e)
	case "proxy":
		return t.setProxy(e)
	}
	return fmt.Errorf("%s is not known of a host", plainText(e.key))
}

func (t *hostTable) setCapabilities(e tomlEntry) error {
	list, err := texts(e.key, e.value)
	if err != nil {
		return err
	}
	if len(list) > 0 { // an empty list is as good as none
		t.capabilities = map[string]bool{}
	}
	for _, c := range list {
		switch c = strings.ToLower(c); c {
		case "pull", "resolve", "push":
			t.capabilities[c] = true
		default:
			return fmt.Errorf("capability %q is not known: it may be pull, resolve or push", plainText(c))
		}
	}
	return nil
}

// texts are one string, or a list of some.
func texts(key string, value any) ([]string, error) {
	if one, ok := value.(string); ok {
		return []string{one}, nil
	}
	list, ok := value.([]any)
	var all []string
	for _, v := range list {
		text, isText := v.(string)
		ok = ok && isText
		all = append(all, text)
	}
	if !ok {
		return nil, fmt.Errorf("%s has a value of another type than expected", plainText(key))
	}
	return all, nil
}

func (t *hostTable) certificates() *Certificates {
	if t.way.Certificates == nil {
		t.way.Certificates = &Certificates{Dir: t.dir}
	}
	return t.way.Certificates
}

// file reads a file that is named relative to the hosts.toml.
func (t *hostTable) file(path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.dir, path)
	}
	data, err := readFile(path, maxCertFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plainText(path), err)
	}
	return data, nil
}

func (t *hostTable) setAuthorities(e tomlEntry) error {
	paths, err := texts(e.key, e.value)
	if err == nil && len(paths) > maxCertFiles {
		err = fmt.Errorf("ca has %d files, the limit is %d", len(paths), maxCertFiles)
	}
	for _, path := range paths {
		data, readErr := t.file(path)
		if readErr != nil {
			return fmt.Errorf("ca: %w", readErr)
		}
		some, parseErr := ParseAuthorities(data)
		if parseErr != nil {
			return fmt.Errorf("ca: %s: %w", plainText(path), parseErr)
		}
		c := t.certificates()
		c.Authorities = append(c.Authorities, some...)
	}
	return err
}

// setClients reads a path, a list of paths, or a list of pairs of paths; a key may be in the file of its certificate.
func (t *hostTable) setClients(e tomlEntry) error {
	list, ok := e.value.([]any)
	if !ok {
		list = []any{e.value}
	}
	if len(list) > maxCertFiles {
		return fmt.Errorf("client has %d certificates, the limit is %d", len(list), maxCertFiles)
	}
	for _, v := range list {
		pair, err := texts(e.key, v)
		if _, single := v.(string); err == nil && !single && len(pair) != 2 {
			err = fmt.Errorf("client has %d paths in place of a pair", len(pair))
		}
		if err != nil {
			return err
		}
		cert, err := t.file(pair[0])
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		key := cert
		if len(pair) == 2 && pair[1] != "" {
			if key, err = t.file(pair[1]); err != nil {
				return fmt.Errorf("client: %w", err)
			}
		}
		both, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("client: %s: %w", plainText(pair[0]), err)
		}
		c := t.certificates()
		c.Clients = append(c.Clients, both)
	}
	return nil
}

func (t *hostTable) setDialTimeout(e tomlEntry) error {
	var text string
	if err := assign(e, &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxDialTimeout {
		return fmt.Errorf("dial_timeout is %q; want a duration above 0s, and %s at most", plainText(text), maxDialTimeout)
	}
	t.way.DialTimeout = d
	return nil
}

func (t *hostTable) setProxy(e tomlEntry) error {
	var text string
	if err := assign(e, &text); err != nil {
		return err
	}
	u, err := url.Parse(text)
	if err == nil {
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
		default:
			err = errors.New("scheme")
		}
	}
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("proxy is no URL of a proxy: want http, https, socks5 or socks5h, and a host") // it may hold a password
	}
	t.way.Proxy = u
	return nil
}

func (t *hostTable) setHeader(e tomlEntry) error {
	values, err := texts(e.key, e.value)
	if err != nil {
		return err
	}
	name := http.CanonicalHeaderKey(e.key)
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Accept", "Range", "If-Match", "If-None-Match":
		return fmt.Errorf("header %s is part of the protocol, and cannot be set", name)
	}
	for _, value := range values {
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || strings.ContainsFunc(name, notToken) {
			return fmt.Errorf("header %s holds what no header may", plainText(name)) // its value may be a secret
		}
	}
	t.way.Header[name] = values
	return nil
}

func notToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
