package oci

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/bulla-sign/bulla/oci/access"
)

// hosts is the default way to the network. Each host gets the certificates that are for it and no others: client
// certificates and a server name that were given are for the registries that references name, and for none that those
// send us to; those in directories are for the host that their directory is named after.
type hosts struct {
	options Options
	config  *tls.Config // for hosts with nothing of their own
	clients []tls.Certificate
	other   *http.Transport
	to      string      // the host that way is to
	way     *access.Way // nil: there is none

	mu       sync.Mutex
	named    map[string]bool
	insecure map[string]bool
	byHost   map[string]*http.Transport
}

// newHosts reads the files that the options name, but for the directories, which are read when a host is asked.
func newHosts(o Options) (*hosts, error) {
	config, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	h := &hosts{options: o, clients: config.Certificates, named: map[string]bool{}, insecure: map[string]bool{}, byHost: map[string]*http.Transport{}}
	config.Certificates, config.ServerName = nil, ""
	h.config = config
	h.other = h.guarded(config)
	return h, nil
}

// with is the way to the network for who asks one host, as a configuration has it.
func (h *hosts) with(host string, way *access.Way) *hosts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &hosts{
		options: h.options, config: h.config, clients: h.clients, other: h.other, to: host, way: way,
		named: maps.Clone(h.named), insecure: maps.Clone(h.insecure), byHost: map[string]*http.Transport{},
	}
}

func (h *hosts) guarded(config *tls.Config) *http.Transport { return h.guard(newTransport(config)) }

func (h *hosts) guard(t *http.Transport) *http.Transport {
	if h.options.Network != nil {
		h.options.Network.Guard(t)
		t.DialContext = guarded(t.DialContext)
	}
	return t
}

// name says that a reference names a registry, or that a configuration does. The error is about the certificates in its
// directory.
func (h *hosts) name(host string, byReference bool) error {
	if byReference {
		h.mu.Lock()
		if !h.named[host] {
			h.named[host] = true
			delete(h.byHost, host) // made when it was a mirror only
		}
		h.mu.Unlock()
	}
	_, err := h.transport(host)
	return err
}

// distrust says that the certificate of a host is not checked.
func (h *hosts) distrust(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.insecure[host] {
		h.insecure[host] = true
		delete(h.byHost, host)
	}
}

// RoundTrip implements [http.RoundTripper].
func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := h.transport(r.URL.Host)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // RoundTrip must, and nothing was read
		}
		return nil, err
	}
	return t.RoundTrip(r)
}

func (h *hosts) transport(host string) (*http.Transport, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t, ok := h.byHost[host]; ok {
		return t, nil
	}
	own, err := access.LoadCertificates(h.options.CertDirs, host)
	if err != nil {
		return nil, err
	}
	var way *access.Way
	if host == h.to {
		way = h.way
	}
	given := h.named[host] && (len(h.clients) > 0 || h.options.ServerName != "")
	if own == nil && way == nil && !given && !h.insecure[host] {
		h.byHost[host] = h.other // the directories are read once
		return h.other, nil
	}
	config := h.config.Clone()
	config.InsecureSkipVerify = config.InsecureSkipVerify || h.insecure[host] || way != nil && way.SkipVerify
	if given {
		config.Certificates, config.ServerName = h.clients, h.options.ServerName
	}
	if err := h.equip(config, own); err != nil {
		return nil, err
	}
	t := newTransport(config)
	if way != nil {
		if err := h.equip(config, way.Certificates); err != nil {
			return nil, err
		}
		if way.DialTimeout > 0 {
			t.DialContext = newDialer(way.DialTimeout).DialContext
		}
		if way.Proxy != nil {
			t.Proxy = http.ProxyURL(way.Proxy)
		}
	}
	h.byHost[host] = h.guard(t)
	return t, nil
}

// equip adds what a machine has for a host.
func (h *hosts) equip(config *tls.Config, own *access.Certificates) (err error) {
	if own == nil {
		return nil
	}
	config.Certificates = append(slices.Clone(own.Clients), config.Certificates...)
	if len(own.Authorities) == 0 || h.options.CACerts != "" { // what was given stands in place of all others
		return nil
	}
	if config.RootCAs == nil {
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			return fmt.Errorf("certificates of the system: %w", err)
		}
	}
	for _, authority := range own.Authorities {
		config.RootCAs.AddCert(authority)
	}
	return nil
}
