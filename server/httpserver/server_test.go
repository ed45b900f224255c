package httpserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// running is a server under test.
type running struct {
	*Server
	url   string // of the first listener
	addrs []net.Addr
	stop  func() error // ends the server and returns what Serve did
}

// start serves a handler at a loopback port until the test ends.
func start(t testing.TB, cfg Config, h http.Handler) *running {
	t.Helper()
	if len(cfg.Listeners) == 0 {
		cfg.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	}
	s, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	var result error
	stopped := false
	stop := func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	scheme := "http://"
	if cfg.Listeners[0].CertFile != "" {
		scheme = "https://"
	}
	return &running{Server: s, url: scheme + addrs[0].String(), addrs: addrs, stop: stop}
}

// fetch is a GET with a connection of its own.
func fetch(t testing.TB, url string, edit ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edit {
		e(req)
	}
	return send(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, req)
}

func send(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func hello(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "hello "+r.Proto)
}

func mux(pattern string, h http.HandlerFunc) *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc(pattern, h)
	return m
}

func TestServes(t *testing.T) {
	s := start(t, Config{
		Listeners: []Listener{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0"}},
		Metrics:   "127.0.0.1:0",
	}, mux("GET /hello", hello))
	if len(s.addrs) != 3 {
		t.Fatalf("bound %v", s.addrs)
	}
	for _, a := range s.addrs[:2] {
		if resp, body := fetch(t, "http://"+a.String()+"/hello"); resp.StatusCode != 200 || body != "hello HTTP/1.1" {
			t.Errorf("%v: %s %q", a, resp.Status, body)
		}
	}
	if resp, _ := fetch(t, s.url+"/metrics"); resp.StatusCode != 404 {
		t.Errorf("/metrics at the public address: %s", resp.Status)
	}
	metrics := "http://" + s.addrs[2].String()
	resp, body := fetch(t, metrics+"/metrics")
	if resp.StatusCode != 200 || !strings.Contains(body, `bulla_http_requests_total{code="2xx",method="GET",route="/hello"} 2`) {
		t.Errorf("metrics: %s %s", resp.Status, body)
	}
	if resp, _ := fetch(t, metrics+"/hello"); resp.StatusCode != 404 {
		t.Errorf("a service at the metrics' address: %s", resp.Status)
	}
	if resp, _ := fetch(t, metrics+"/debug/pprof/"); resp.StatusCode != 404 {
		t.Errorf("profiles, which are off: %s", resp.Status)
	}
	if err := s.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := http.Get(s.url + "/hello"); err == nil {
		t.Error("it answers after its end")
	}
}

func TestProfiles(t *testing.T) {
	s := start(t, Config{Metrics: "127.0.0.1:0", Pprof: true}, http.NotFoundHandler())
	if resp, body := fetch(t, "http://"+s.addrs[1].String()+"/debug/pprof/goroutine?debug=1"); resp.StatusCode != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp, _ := fetch(t, s.url+"/debug/pprof/"); resp.StatusCode != 404 {
		t.Errorf("profiles at the public address: %s", resp.Status)
	}
}

// What is for operators answers beside the metrics and nowhere else; and there to no name that a web page could have.
func TestOperators(t *testing.T) {
	s := start(t, Config{Metrics: "127.0.0.1:0", Operators: mux("GET /inside", hello)}, mux("GET /hello", hello))
	metrics := "http://" + s.addrs[1].String()
	for url, want := range map[string]int{
		metrics + "/inside": 200, metrics + "/metrics": 200, metrics + "/hello": 404, metrics + "/other": 404, s.url + "/inside": 404, s.url + "/hello": 200,
	} {
		if resp, _ := fetch(t, url); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", url, resp.Status, want)
		}
	}
	for host, want := range map[string]int{"localhost": 200, "localhost:1": 200, "[::1]:9": 200, "127.0.0.2": 200, "evil.test": 421, "evil.test:80": 421, "10.0.0.1": 421, "": 200} {
		req, err := http.NewRequest(http.MethodGet, metrics+"/inside", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host // empty: that of the address
		if resp, _ := send(t, http.DefaultClient, req); resp.StatusCode != want {
			t.Errorf("as %q: %s, want %d", host, resp.Status, want)
		}
	}
	if resp, err := http.Post(metrics+"/inside", "text/plain", strings.NewReader("x")); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v, %v", resp, err)
	}
}

// A client that begins with HTTP/2 is answered in it on a plain loopback port, as gRPC needs.
func TestPlainHTTP2(t *testing.T) {
	s := start(t, Config{}, mux("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, r.Proto+" "+string(body))
		w.Header().Set("Grpc-Status", "0")
	}))
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	c := &http.Client{Transport: &http.Transport{Protocols: p}}
	defer c.CloseIdleConnections()
	for range 2 {
		req, err := http.NewRequest(http.MethodPost, s.url+"/echo", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if resp, body := send(t, c, req); body != "HTTP/2.0 x" || resp.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("%q, trailer %v", body, resp.Trailer)
		}
	}
	// The connection is idle and open; it must not hold up the end.
	begin := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 25*time.Second {
		t.Errorf("ended after %v", took)
	}
}

func TestPlainHTTP2OnlyWhereAsked(t *testing.T) {
	for _, test := range []struct {
		l    Listener
		want bool
	}{
		{Listener{Address: "0.0.0.0:0"}, false},
		{Listener{Address: "0.0.0.0:0", H2C: true}, true},
		{Listener{Address: "127.0.0.1:0"}, true},
	} {
		s, err := New(Config{Listeners: []Listener{test.l}}, http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		if got := s.bound[0].http.Protocols.UnencryptedHTTP2(); got != test.want {
			t.Errorf("%+v: %v", test.l, got)
		}
		_ = s.bound[0].net.Close()
	}
}

func TestConfigRefused(t *testing.T) {
	one := []Listener{{Address: "127.0.0.1:0"}}
	for name, cfg := range map[string]Config{
		"no address":            {},
		"no host":               {Listeners: []Listener{{Address: ":80"}}},
		"no port":               {Listeners: []Listener{{Address: "127.0.0.1"}}},
		"empty port":            {Listeners: []Listener{{Address: "127.0.0.1:"}}},
		"certificate alone":     {Listeners: []Listener{{Address: "127.0.0.1:0", CertFile: "x"}}},
		"key alone":             {Listeners: []Listener{{Address: "127.0.0.1:0", KeyFile: "x"}}},
		"h2c with TLS":          {Listeners: []Listener{{Address: "127.0.0.1:0", CertFile: "x", KeyFile: "y", H2C: true}}},
		"metrics everywhere":    {Listeners: one, Metrics: ":9090"},
		"profiles nowhere":      {Listeners: one, Pprof: true},
		"host with scheme":      {Listeners: one, Hosts: []string{"https://bulla.example"}},
		"host pattern":          {Listeners: one, Hosts: []string{"*"}},
		"empty host":            {Listeners: one, Hosts: []string{""}},
		"negative drain":        {Listeners: one, DrainTime: -1},
		"negative time":         {Listeners: one, Limits: Limits{HeaderTime: -1}},
		"negative body":         {Listeners: one, Limits: Limits{BodyBytes: -1}},
		"tiny header":           {Listeners: one, Limits: Limits{HeaderBytes: 1}},
		"negative burst":        {Listeners: one, Limits: Limits{AddressBurst: -1}},
		"a burst of a year":     {Listeners: one, Limits: Limits{AddressRate: 1e-6, AddressBurst: 30}},
		"traces, not built in":  {Listeners: one, Tracing: Tracing{Endpoint: "ftp://127.0.0.1/"}},
		"too many to listen at": {Listeners: make([]Listener, maxListeners+1)},
	} {
		if _, err := New(cfg, http.NotFoundHandler()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Config{Listeners: one}, nil); err == nil {
		t.Error("no handler: no error")
	}
}

// All addresses or none: when the second one is taken, the first one is free again.
func TestListenAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := free.Addr().String()
	_ = free.Close()
	s, err := New(Config{Listeners: []Listener{{Address: first}, {Address: taken.Addr().String()}}}, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(); err == nil {
		t.Fatal("listens at an address that is taken")
	}
	again, err := net.Listen("tcp", first)
	if err != nil {
		t.Fatalf("the first address is still taken: %v", err)
	}
	_ = again.Close()
}

// Requests that have begun are answered, new ones are not, and /readyz says so meanwhile.
func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	health := NewHealth()
	health.Register("always", func(context.Context) error { return nil })
	s := start(t, Config{Metrics: "127.0.0.1:0", Health: health}, mux("/slow", func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		hello(w, r)
	}))
	answer := make(chan string, 1)
	go func() {
		_, body := fetch(t, s.url+"/slow")
		answer <- body
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for { // until nothing is accepted any more
		c, err := net.Dial("tcp", s.addrs[0].String())
		if err != nil {
			break
		}
		_ = c.Close()
		time.Sleep(time.Millisecond)
	}
	if resp, body := fetch(t, "http://"+s.addrs[1].String()+"/readyz"); resp.StatusCode != 503 || !strings.Contains(body, "draining") {
		t.Errorf("/readyz while draining: %s %s", resp.Status, body)
	}
	select {
	case err := <-stopped:
		t.Fatalf("ended with a request open: %v", err)
	default:
	}
	close(leave)
	if body := <-answer; body != "hello HTTP/1.1" {
		t.Errorf("the open request got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A request that does not end in time is broken off, its context ends, and Serve waits for it and says so.
func TestDrainTimeOver(t *testing.T) {
	entered := make(chan struct{})
	left := make(chan struct{})
	s := start(t, Config{DrainTime: 20 * time.Millisecond}, mux("/slow", func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		time.Sleep(20 * time.Millisecond)
		close(left)
	}))
	go func() {
		resp, err := http.Get(s.url + "/slow")
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-entered
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("Serve: %v", err)
	}
	select {
	case <-left:
	default:
		t.Error("Serve returned before the handler did")
	}
}

// When one address fails, Serve ends with the reason instead of serving half of what was asked for.
func TestListenerFails(t *testing.T) {
	s, err := New(Config{Listeners: []Listener{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0"}}, Log: slog.New(slog.DiscardHandler)}, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	_ = s.bound[1].net.Close()
	if err := s.Serve(t.Context()); err == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}
