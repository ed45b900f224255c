// Package network is the only way of a command to other machines. Every transport that a command uses goes through its
// [Network], which opens no connection when the user said --offline, but to the registries that the command names.
//
// What it cannot see are other programs: credential helpers of the Docker configuration are started as they always are.
// Key store programs are not started offline, see [Network.Offline].
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ErrOffline is wrapped by the errors of connections that were not opened.
var ErrOffline = errors.New("--offline was given, and no connection is opened")

// Dial opens a connection, as [net.Dialer.DialContext] does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Network makes the transports of one command.
type Network struct {
	offline bool
	dial    Dial
}

// New returns the network of a command. dial replaces the real thing where it is not nil; it is asked for the
// connections that are allowed, and for no other.
func New(offline bool, dial Dial) *Network { return &Network{offline, dial} }

// Offline says whether the network must not be used. A nil Network is online.
func (n *Network) Offline() bool { return n != nil && n.offline }

// Guard makes a transport go through n: offline it opens no connection at all. The transport must be the caller's own, and
// not yet in use.
func (n *Network) Guard(t *http.Transport) *http.Transport {
	n.guard(t, func(string) error { return refused("") })
	return t
}

// Transport returns a transport for services that has no settings of its own but bounds on how long they may be silent.
func (n *Network) Transport() *http.Transport {
	return n.Guard(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       30 * time.Second,
	})
}

// guard lets the transport connect only where allowed says nil of "host:port". Proxies are for what is allowed; nothing
// else gets as far as one.
func (n *Network) guard(t *http.Transport, allowed func(address string) error) {
	if n == nil {
		return
	}
	open := Dial(t.DialContext)
	switch {
	case n.dial != nil:
		open = n.dial
	case open == nil:
		open = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	t.DialContext = open
	if !n.offline {
		return
	}
	var proxies addresses
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if err := allowed(addressOf(r.URL)); err != nil {
				return nil, err
			}
			p, err := proxy(r)
			if p != nil {
				proxies.add(addressOf(p))
			}
			return p, err
		}
	}
	t.DialTLSContext = nil
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := allowed(address); err != nil && !proxies.has(address) {
			return nil, err
		}
		return open(ctx, network, address)
	}
}

func refused(address string) error {
	if address == "" {
		return ErrOffline
	}
	return fmt.Errorf("%w to %s: only the registry that is named is asked", ErrOffline, address)
}

// addressOf is what is dialled for a URL.
func addressOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// addresses is a set of "host:port", for several goroutines.
type addresses struct {
	mu  sync.Mutex
	set map[string]bool
}

func (a *addresses) add(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.set == nil {
		a.set = make(map[string]bool)
	}
	a.set[address] = true
}

func (a *addresses) has(address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.set[address]
}
