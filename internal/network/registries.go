package network

import (
	"net"
	"net/http"
)

// Registries is the way to registries: offline, to those that were named and nowhere else, be it that a registry sends us
// there for a token or for content. It is what package oci asks for.
type Registries struct {
	network *Network
	wide    bool
	named   addresses
}

// Registries returns a way to registries that are named as they come. wide lets a registry send us elsewhere even
// offline: cosign knows no other kind.
func (n *Network) Registries(wide bool) *Registries { return &Registries{network: n, wide: wide} }

// Guard makes the transport go through the network.
func (r *Registries) Guard(t *http.Transport) {
	if r.wide && r.network.Offline() {
		New(false, r.network.dial).guard(t, nil)
		return
	}
	r.network.guard(t, func(address string) error {
		if r.named.has(address) {
			return nil
		}
		return refused(address)
	})
}

// Named says that a reference names a registry, a host name with or without a port.
func (r *Registries) Named(registry string) {
	if host, port, err := net.SplitHostPort(registry); err == nil {
		r.named.add(net.JoinHostPort(host, port))
		return
	}
	// Where plain HTTP is allowed the registry may answer at its port.
	r.named.add(net.JoinHostPort(registry, "443"))
	r.named.add(net.JoinHostPort(registry, "80"))
}
