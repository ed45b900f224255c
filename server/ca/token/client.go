package token

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
)

// maxRedirects bounds redirects within the issuer's own host.
const maxRedirects = 3

// newClient makes the client for one issuer. It has no cookies and no credentials.
func newClient(cfg Config, issuer issuerconfig.Issuer) (*http.Client, error) {
	dial := cfg.DialContext
	if dial == nil {
		dialer := &net.Dialer{Timeout: fetchTimeout}
		if cfg.Proxy == nil {
			dialer.Control = control(issuer)
		}
		dial = dialer.DialContext
	}
	transport := &http.Transport{
		DialContext: dial, Proxy: cfg.Proxy,
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, MaxConnsPerHost: 2, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if issuer.CACert != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM([]byte(issuer.CACert)) {
			return nil, fmt.Errorf("issuer %q: ca-cert holds no PEM certificate", issuer.URL)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{Transport: transport, CheckRedirect: stay}, nil
}

// stay follows redirects within one host only (GHSA-f5mr-q85p-6hh6): an issuer that can send this server to another
// host can make it talk to any service that it reaches.
func stay(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &published{"it redirects too often"}
	}
	first := via[0].URL
	if req.URL.Scheme != first.Scheme || req.URL.Host != first.Host || req.URL.User != nil {
		return &published{"it redirects to another host, which is not followed"}
	}
	return nil
}

// errAddress is for the log; clients are told that the issuer cannot be reached.
var errAddress = errors.New("the issuer's address is not one that may be connected to")

// control checks the address that a name was resolved to, just before the connection is made, so that no second
// resolution can give another.
func control(issuer issuerconfig.Issuer) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %s", errAddress, address)
		}
		ip := at.Addr().Unmap()
		switch {
		case issuer.Loopback() && !ip.IsLoopback():
			return fmt.Errorf("%w: issuer %q is on this machine by its name, but at %s", errAddress, issuer.URL, ip)
		case issuer.Pattern != "" && !publicAddress(ip):
			return fmt.Errorf("%w: issuer %q matched a pattern and is at %s, which is not a public address", errAddress, issuer.URL, ip)
		}
		return nil
	}
}

// special are the ranges beside those that package netip knows which are not on the public internet (IANA's registries of
// special-purpose addresses), or lead to such ranges through translation.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
}

func publicAddress(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.Zone() != "" {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
