package oci

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

// elsewhere connects to something of its own, and says that it is at the address.
type elsewhere struct {
	at     net.Addr
	asked  []string
	closed bool
}

type elsewhereConn struct {
	net.Conn
	of *elsewhere
}

func (c elsewhereConn) RemoteAddr() net.Addr { return c.of.at }
func (c elsewhereConn) Close() error         { c.of.closed = true; return c.Conn.Close() }

func (e *elsewhere) dial(_ context.Context, _, address string) (net.Conn, error) {
	e.asked = append(e.asked, address)
	near, far := net.Pipe()
	_ = far.Close()
	return elsewhereConn{near, e}, nil
}

// Guard puts the dialer in the place of the transport's own, as package network does.
func (e *elsewhere) Guard(t *http.Transport) { t.DialContext = e.dial }
func (e *elsewhere) Named(string)            {}

// Who connects in the place of our dialer leads to no link-local address either.
func TestGuardHoldsForOthers(t *testing.T) {
	for name, c := range map[string]struct {
		ref     string
		at      string // where the name leads
		refused bool
		asked   int
	}{
		"a name that leads to a metadata service": {"registry.test/app:v1", "169.254.169.254", true, 1},
		"the same in IPv6":                        {"registry.test/app:v1", "fd00:ec2::254", true, 1},
		"its address":                             {"169.254.169.254:80/app:v1", "169.254.169.254", true, 0},
		"another address":                         {"registry.test/app:v1", "192.0.2.1", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := &elsewhere{at: &net.TCPAddr{IP: net.ParseIP(c.at), Port: 443}}
			client := newClient(t, Options{Network: e})
			_, err := client.Resolve(t.Context(), c.ref)
			if err == nil || strings.Contains(err.Error(), "link-local") != c.refused {
				t.Errorf("error %v", err)
			}
			if c.asked == 0 && len(e.asked) > 0 || c.asked > 0 && len(e.asked) == 0 {
				t.Errorf("it was asked for %q", e.asked)
			}
			if c.refused && c.asked > 0 && !e.closed {
				t.Error("the connection is left open")
			}
		})
	}
}
