package httpserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// One client that keeps as many requests open as it can, sending their bodies as slowly as it may, keeps nobody else out.
func TestAddressInFlight(t *testing.T) {
	s := start(t, Config{Limits: Limits{InFlight: 16}}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	const slow = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"
	var busy []net.Conn
	for range 16 {
		busy = append(busy, dial(t, s, slow))
	}
	waitFor(t, func() bool { return refusals(s, refusedAddressInFlight) >= 12 })
	refused := 0
	for _, c := range busy {
		if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "1" {
				t.Errorf("answered with %s, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
			}
			refused++
		}
	}
	if refused != 12 || refusals(s, refusedAddressInFlight) != 12 {
		t.Errorf("%d of 16 requests refused, %v counted; a quarter of the slots is one client's", refused, refusals(s, refusedAddressInFlight))
	}
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := other.Dial("tcp", s.addrs[0].String())
	if err != nil {
		t.Skipf("this system has one loopback address only: %v", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("another client is answered with %v, %v", answer, err)
	}
	for _, c := range busy {
		_ = c.Close()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s.handler.sites.mu.Lock()
		left := len(s.handler.sites.open)
		s.handler.sites.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are still counted", left)
		}
	}
}

func TestAddressInFlightDefault(t *testing.T) {
	for _, c := range []struct {
		given Limits
		want  int
	}{
		{Limits{}, 256},
		{Limits{InFlight: 2}, 2},
		{Limits{InFlight: -1}, -1},
		{Limits{AddressRate: -1}, -1},
		{Limits{AddressInFlight: 7}, 7},
		{Limits{AddressInFlight: -1}, -1},
	} {
		if got := c.given.filled().AddressInFlight; got != c.want {
			t.Errorf("%+v: %d, want %d", c.given, got, c.want)
		}
	}
}

func TestSites(t *testing.T) {
	s := &sites{max: 1, open: make(map[netip.Prefix]int)}
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if !s.enter(a) || s.enter(b) {
		t.Error("two addresses of one customer's network are not one client")
	}
	s.leave(a)
	if !s.enter(b) || !s.enter(netip.Addr{}) || !s.enter(netip.Addr{}) {
		t.Error("a client that may enter may not")
	}
	s.leave(netip.Addr{})
	s.leave(b)
	if len(s.open) != 0 {
		t.Error(fmt.Sprint("left over: ", s.open))
	}
}
