package httpserver

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// lockedBuffer takes a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// dial opens a connection and writes to it.
func dial(t testing.TB, s *running, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addrs[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// The test itself must end, whatever the server does.
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// closed reads to the end, which the server must cause, and returns what came.
func closed(t testing.TB, c net.Conn) string {
	t.Helper()
	got, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the server left the connection open; it sent %q", got)
	}
	return string(got)
}

func refusals(s *running, reason string) float64 {
	return count(s.handler.metrics.refused.WithLabelValues(reason))
}

// count is the value of a counter.
func count(c prometheus.Metric) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.GetCounter().GetValue()
}

// A header that never ends, and no header at all, end the connection.
func TestSlowHeader(t *testing.T) {
	s := start(t, Config{Limits: Limits{HeaderTime: 50 * time.Millisecond}}, mux("/", hello))
	for _, text := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nX-A: "} {
		if got := closed(t, dial(t, s, text)); strings.Contains(got, "hello") {
			t.Errorf("%q was answered: %q", text, got)
		}
	}
}

// A connection on which nothing comes after a request, and an HTTP/2 connection without any, end.
func TestIdle(t *testing.T) {
	s := start(t, Config{Limits: Limits{IdleTime: 50 * time.Millisecond}}, mux("/", hello))
	if got := closed(t, dial(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")); !strings.Contains(got, "hello") {
		t.Errorf("no answer: %q", got)
	}
	closed(t, dial(t, s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
}

// A body that does not come at the least rate is an error for the handler, and the end of the connection.
func TestSlowBody(t *testing.T) {
	failed := make(chan error, 1)
	t.Parallel()
	s := start(t, Config{Limits: Limits{Grace: 200 * time.Millisecond, Rate: 1000}}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
		w.WriteHeader(http.StatusRequestTimeout)
	}))
	for name, text := range map[string]string{
		"nothing of it":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"a part":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		"a part, chunks": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		got := closed(t, dial(t, s, text))
		if err := <-failed; err == nil || !strings.HasPrefix(got, "HTTP/1.1 408") {
			t.Errorf("%s: the handler read %v, the client %q", name, err, got)
		}
	}
	// What comes in time is read, and the connection lives on: the next request is not measured by the last one's clock.
	c := dial(t, s, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
	in := bufio.NewReader(c)
	for i := range 2 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if err := <-failed; err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if i == 0 {
			time.Sleep(400 * time.Millisecond) // twice the grace
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Time that the handler takes after the body is its own: no read deadline cancels its context.
func TestBodyThenSlowHandler(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Limits: Limits{Grace: 300 * time.Millisecond}}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		time.Sleep(600 * time.Millisecond)
		if err := r.Context().Err(); err != nil {
			t.Errorf("the context ended: %v", err)
		}
		hello(w, r)
	}))
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	for _, tr := range []*http.Transport{{}, {Protocols: p}} {
		resp, err := (&http.Client{Transport: tr}).Post(s.url+"/", "text/plain", strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.HasPrefix(string(body), "hello") {
			t.Errorf("%q %v", body, err)
		}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
	}
}

// A body over HTTP/2 that stalls is ended in the same way.
func TestSlowBodyHTTP2(t *testing.T) {
	failed := make(chan error, 1)
	s := start(t, Config{Limits: Limits{Grace: 50 * time.Millisecond}}, mux("/", func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
	}))
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	defer tr.CloseIdleConnections()
	body, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte("abc")) }()
	go func() {
		resp, err := (&http.Client{Transport: tr}).Post(s.url+"/", "text/plain", body)
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("the body ended without error")
		}
	case <-time.After(time.Minute):
		t.Fatal("the handler waits for the body")
	}
}

// A handler that never asks for the body does not let a slow client hold the connection.
func TestUnreadSlowBody(t *testing.T) {
	s := start(t, Config{Limits: Limits{Grace: 50 * time.Millisecond}}, mux("/", hello))
	closed(t, dial(t, s, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"))
}

// A client that does not take its answer is cut off.
func TestSlowReader(t *testing.T) {
	failed := make(chan error, 1)
	s := start(t, Config{Limits: Limits{RequestTime: 50 * time.Millisecond, Grace: 50 * time.Millisecond, Rate: 1 << 30}},
		mux("/", func(w http.ResponseWriter, _ *http.Request) {
			block := make([]byte, 1<<20)
			for range 256 { // more than the buffers of both ends hold
				if _, err := w.Write(block); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}))
	dial(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-failed:
		if err == nil {
			t.Error("everything was written, to nobody")
		}
	case <-time.After(time.Minute):
		t.Fatal("the handler still writes")
	}
}

func TestLargeHeader(t *testing.T) {
	s := start(t, Config{Limits: Limits{HeaderBytes: 2048}}, mux("/", hello))
	request := func(size int) string {
		return "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: " + strings.Repeat("a", size) + "\r\n\r\n"
	}
	if got := closed(t, dial(t, s, request(1000))); !strings.Contains(got, "hello") {
		t.Errorf("1000 bytes: %q", got)
	}
	// The answer is 431, which a reset may overtake because the rest is never read.
	if got := closed(t, dial(t, s, request(20000))); got != "" && !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("20000 bytes: %q", got)
	}
}

func TestLargeBody(t *testing.T) {
	s := start(t, Config{Limits: Limits{BodyBytes: 1000}}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		_, _ = fmt.Fprint(w, n)
	}))
	post := func(body io.Reader) (int, string) {
		req, err := http.NewRequest(http.MethodPost, s.url+"/", body)
		if err != nil {
			t.Fatal(err)
		}
		resp, got := send(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, req)
		return resp.StatusCode, got
	}
	if code, got := post(strings.NewReader(strings.Repeat("a", 1000))); code != 200 || got != "1000" {
		t.Errorf("at the limit: %d %s", code, got)
	}
	if code, got := post(strings.NewReader(strings.Repeat("a", 1001))); code != 413 || !strings.Contains(got, `"code":3`) {
		t.Errorf("above it, announced: %d %s", code, got)
	}
	if n := refusals(s, refusedBody); n != 1 {
		t.Errorf("%v refusals", n)
	}
	// Chunked: nobody knows beforehand. The handler gets the limit's bytes and an error.
	if code, got := post(io.MultiReader(strings.NewReader(strings.Repeat("a", 1001)))); code != 413 || got != "1000" {
		t.Errorf("above it, chunked: %d %s", code, got)
	}
}

func TestAddressRate(t *testing.T) {
	c := newClock()
	s := start(t, Config{
		Now: c.now, Limits: Limits{AddressRate: 0.1, AddressBurst: 3},
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}, mux("/", hello))
	from := func(addr string) (*http.Response, string) {
		return fetch(t, s.url+"/", func(r *http.Request) { r.Header.Set("X-Forwarded-For", addr) })
	}
	for i := range 4 {
		resp, body := from(fmt.Sprintf("2001:db8::%x", i)) // one customer
		if i < 3 && resp.StatusCode != 200 {
			t.Errorf("request %d: %s", i, resp.Status)
		}
		if i == 3 && (resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "10" || !strings.Contains(body, `"code":8`)) {
			t.Errorf("too many: %s, Retry-After %q, %s", resp.Status, resp.Header.Get("Retry-After"), body)
		}
	}
	if n := refusals(s, refusedAddressRate); n != 1 {
		t.Errorf("%v refusals", n)
	}
	if resp, _ := from("2001:db8:0:1::1"); resp.StatusCode != 200 {
		t.Errorf("another customer: %s", resp.Status)
	}
	if resp, _ := fetch(t, s.url+"/healthz", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "2001:db8::1") }); resp.StatusCode != 200 {
		t.Errorf("/healthz: %s", resp.Status)
	}
	c.move(10 * time.Second)
	if resp, _ := from("2001:db8::1"); resp.StatusCode != 200 {
		t.Errorf("after Retry-After: %s", resp.Status)
	}
}

func TestInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, Config{Limits: Limits{InFlight: 2, AddressInFlight: -1}}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-leave
		}
		if r.URL.Path == "/panic" {
			panic("x")
		}
		hello(w, r)
	}))
	for range 3 {
		fetch(t, s.url+"/panic") // gives its slot back
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { fetch(t, s.url+"/wait") })
		<-entered
	}
	resp, body := fetch(t, s.url+"/")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, `"code":14`) {
		t.Errorf("%s, Retry-After %q, %s", resp.Status, resp.Header.Get("Retry-After"), body)
	}
	if resp, _ := fetch(t, s.url+"/healthz"); resp.StatusCode != 200 {
		t.Errorf("/healthz: %s", resp.Status)
	}
	close(leave)
	wg.Wait()
	if resp, _ := fetch(t, s.url+"/"); resp.StatusCode != 200 {
		t.Errorf("afterwards: %s", resp.Status)
	}
	if n := refusals(s, refusedInFlight); n != 1 {
		t.Errorf("%v refusals", n)
	}
}

// The context of a handler ends with the time of a request.
func TestRequestTime(t *testing.T) {
	s := start(t, Config{Limits: Limits{RequestTime: 20 * time.Millisecond}}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		Status(w, http.StatusGatewayTimeout, 4, "too late")
	}))
	if resp, body := fetch(t, s.url+"/"); resp.StatusCode != 504 || !strings.Contains(body, "too late") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

func TestConnections(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits Limits
		reason string
	}{
		{"all", Limits{Connections: 3}, refusedConnections},
		{"an address's", Limits{AddressConnections: 3}, refusedAddressConnections},
	} {
		s := start(t, Config{Limits: test.limits}, mux("/", hello))
		var open []net.Conn
		for range 3 { // half a request each, so that none is idle
			open = append(open, dial(t, s, "GET / HTTP/1.1\r\n"))
		}
		waitFor(t, func() bool { return s.conns.open.Load() == 3 })
		if got := closed(t, dialQuiet(t, s)); got != "" {
			t.Errorf("%s: one too many was answered: %q", test.name, got)
		}
		if n := refusals(s, test.reason); n != 1 {
			t.Errorf("%s: %v refusals", test.name, n)
		}
		_ = open[0].Close()
		waitFor(t, func() bool { return s.conns.open.Load() == 2 })
		if resp, _ := fetch(t, s.url+"/"); resp.StatusCode != 200 {
			t.Errorf("%s: after one was closed: %s", test.name, resp.Status)
		}
	}
}

func dialQuiet(t testing.TB, s *running) net.Conn { return dial(t, s, "") }

func waitFor(t testing.TB, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// When all connections are taken, the one that has been idle for longest makes room.
func TestIdleConnectionMakesRoom(t *testing.T) {
	s := start(t, Config{Limits: Limits{Connections: 2}}, mux("/", hello))
	idle := dial(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, func() bool { s.conns.mu.Lock(); defer s.conns.mu.Unlock(); return s.conns.idle.Len() == 1 })
	dial(t, s, "GET / HTTP/1.1\r\n") // busy
	waitFor(t, func() bool { return s.conns.open.Load() == 2 })
	if resp, _ := fetch(t, s.url+"/"); resp.StatusCode != 200 {
		t.Errorf("no room: %s", resp.Status)
	}
	if got := closed(t, idle); !strings.Contains(got, "hello") {
		t.Errorf("the idle connection was not answered before: %q", got)
	}
}

// Proxies carry many clients' requests: they are not one client.
func TestProxyConnections(t *testing.T) {
	s := start(t, Config{
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Limits:  Limits{AddressConnections: 1},
	}, mux("/", hello))
	for range 3 {
		dial(t, s, "GET / HTTP/1.1\r\n")
	}
	waitFor(t, func() bool { return s.conns.open.Load() == 3 })
}

// A flood from one address: it is answered up to its rate and refused beyond, at most that many connections are open, and
// another client is served all the while.
func TestFlood(t *testing.T) {
	c := newClock() // stands still: exactly the burst passes
	const burst, workers, each = 20, 16, 50
	var served atomic.Int64
	s := start(t, Config{
		Now: c.now, Limits: Limits{AddressRate: 1, AddressBurst: burst, AddressConnections: workers},
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")},
	}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		hello(w, r)
	}))
	codes := make([]atomic.Int64, 600)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			for range each {
				resp, err := (&http.Client{Transport: tr}).Get(s.url + "/")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				codes[resp.StatusCode].Add(1)
			}
		})
	}
	// Meanwhile another client, from another address of the loopback network, and with it a proxy.
	other := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext, DisableKeepAlives: true}
	for range 10 {
		req, err := http.NewRequest(http.MethodGet, s.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		if resp, _ := send(t, &http.Client{Transport: other}, req); resp.StatusCode != 200 {
			t.Errorf("the other client: %s", resp.Status)
		}
	}
	wg.Wait()
	if ok, no := codes[200].Load(), codes[429].Load(); ok != burst || no != workers*each-burst {
		t.Errorf("%d were answered, %d refused", ok, no)
	}
	if n := served.Load(); n != burst+10 {
		t.Errorf("the service saw %d requests", n)
	}
}

func TestHosts(t *testing.T) {
	s := start(t, Config{Hosts: []string{"Bulla.example", "::1"}}, mux("/", hello))
	for host, want := range map[string]int{
		"bulla.example": 200, "BULLA.example:443": 200, "[::1]:80": 200,
		"evil.example": 421, "bulla.example.evil.example": 421, "127.0.0.1": 421,
	} {
		if resp, _ := fetch(t, s.url+"/", func(r *http.Request) { r.Host = host }); resp.StatusCode != want {
			t.Errorf("%s: %s", host, resp.Status)
		}
	}
}
