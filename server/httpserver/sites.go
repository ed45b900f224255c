package httpserver

import (
	"net/netip"
	"sync"
)

// sites bounds the requests of one client address that are being answered. A nil sites allows everything.
type sites struct {
	max int

	mu   sync.Mutex
	open map[netip.Prefix]int // of those with any
}

// enter counts a request, or says that there is no room for it. Clients without an address, at a socket in the file
// system, are not told apart and not bounded.
func (s *sites) enter(addr netip.Addr) bool {
	from := site(addr)
	if s == nil || !from.IsValid() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from] >= s.max {
		return false
	}
	s.open[from]++
	return true
}

// leave must follow each time that enter said yes.
func (s *sites) leave(addr netip.Addr) {
	from := site(addr)
	if s == nil || !from.IsValid() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
}
