package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// conns bounds the open connections of a server: all of its listeners together, and each client address.
type conns struct {
	max, perSite int // negative: none
	proxies      proxies
	refused      func(reason string)
	open         atomic.Int64

	mu    sync.Mutex
	total int
	sites map[netip.Prefix]int
	idle  list.List // of *conn, that idle for longest in front
}

// conn leaves the count when it is closed.
type conn struct {
	net.Conn
	of   *conns
	site netip.Prefix  // zero when exempt
	idle *list.Element // nil while a request is served, or none came yet
	gone bool
}

// listener is a net.Listener whose connections are counted.
type listener struct {
	net.Listener
	conns *conns
}

// Accept waits for a connection that may stay; others are closed at once.
func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.conns.admit(c); admitted != nil {
			return admitted, nil
		}
		_ = c.Close() // it was never ours
	}
}

// admit counts a connection, or returns nil when there is no room for it.
func (cs *conns) admit(c net.Conn) net.Conn {
	addr := peer(c.RemoteAddr().String())
	out := &conn{Conn: c, of: cs}
	if !cs.proxies.contain(addr) {
		out.site = site(addr)
	}
	victim, reason := cs.enter(out)
	if victim != nil {
		_ = victim.Close() // outside of the lock, which Close takes; the error of a connection that nobody waits for
	}
	if reason != "" {
		cs.refused(reason)
		return nil
	}
	return out
}

// enter counts c, or says why not. The victim is an idle connection that must be closed in exchange.
func (cs *conns) enter(c *conn) (victim *conn, reason string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.perSite >= 0 && c.site.IsValid() && cs.sites[c.site] >= cs.perSite {
		return nil, refusedAddressConnections
	}
	if cs.max >= 0 && cs.total >= cs.max {
		front := cs.idle.Front()
		if front == nil {
			return nil, refusedConnections
		}
		victim = front.Value.(*conn)
		cs.remove(victim)
	}
	cs.total++
	cs.open.Add(1)
	if c.site.IsValid() {
		cs.sites[c.site]++
	}
	return victim, ""
}

// remove takes a connection out of the count, once. The lock is held.
func (cs *conns) remove(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	if c.idle != nil {
		cs.idle.Remove(c.idle)
		c.idle = nil
	}
	cs.total--
	cs.open.Add(-1)
	if c.site.IsValid() {
		if cs.sites[c.site]--; cs.sites[c.site] == 0 {
			delete(cs.sites, c.site)
		}
	}
}

// state follows http.Server.ConnState.
func (cs *conns) state(nc net.Conn, state http.ConnState) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		nc = t.NetConn()
	}
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case c.gone:
	case state == http.StateIdle && c.idle == nil:
		c.idle = cs.idle.PushBack(c)
	case state != http.StateIdle && c.idle != nil:
		cs.idle.Remove(c.idle)
		c.idle = nil
	}
}

// Close ends the connection and leaves the count.
func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
