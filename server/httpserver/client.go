package httpserver

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops bounds the addresses that are looked at in X-Forwarded-For: no request passes more proxies of one's own.
const maxHops = 16

// ipv6Site is the prefix that a single customer has of IPv6 (RFC 6177): he can send from any address in it.
const ipv6Site = 64

// site is what is counted as one client: an IPv4 address, or an IPv6 /64.
func site(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = ipv6Site
	}
	p, err := addr.Prefix(bits)
	if err != nil { // the zero Addr: a peer without IP address, such as a socket in the file system
		return netip.Prefix{}
	}
	return p
}

// peer reads the address of net/http's RemoteAddr or of a net.Addr.
func peer(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// proxies are the networks whose word on the client is believed.
type proxies []netip.Prefix

func (p proxies) contain(addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// client finds out whose request it is. From a believed proxy it reads X-Forwarded-For from the right: each proxy adds
// whom it was called by, and the first address that is no proxy of ours is the client. What stands left of it is the
// client's own invention.
func (p proxies) client(r *http.Request) (addr netip.Addr, forwarded bool) {
	addr = peer(r.RemoteAddr)
	if len(p) == 0 || !p.contain(addr) {
		return addr, false
	}
	hops := 0
	for _, line := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for line != "" {
			var hop string
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, hop = line[:i], line[i+1:]
			} else {
				line, hop = "", line
			}
			next, ok := hopAddress(strings.TrimSpace(hop))
			if hops++; !ok || hops > maxHops {
				return addr, true
			}
			if addr = next; !p.contain(addr) {
				return addr, true
			}
		}
	}
	return addr, true
}

// hopAddress reads an element of X-Forwarded-For: an address, with a port from some proxies.
func hopAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// hostName is a Host header without its port, in lower case.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(host)
}
