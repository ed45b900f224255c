package httpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Panics become an answer that says so, or no whole answer; they are counted, and the server lives on.
func TestPanics(t *testing.T) {
	var logged lockedBuffer
	s := start(t, Config{Log: slog.New(slog.NewJSONHandler(&logged, nil))}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/before":
			w.Header().Set("Set-Cookie", "session=canary")
			panic("canary")
		case "/runtime":
			var list []int
			_ = list[len(r.URL.Path)]
		case "/after":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 50000))
			panic(fmt.Errorf("canary"))
		case "/begun":
			_, _ = io.WriteString(w, `{"signedEntry":"half`)
			panic("canary")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	}))
	for _, path := range []string{"/before", "/runtime"} {
		resp, body := fetch(t, s.url+path)
		if resp.StatusCode != 500 || !strings.Contains(body, `"code":13`) || resp.Header.Get("Set-Cookie") != "" ||
			!strings.Contains(body, resp.Header.Get("X-Request-Id")) || strings.Contains(body, "canary") {
			t.Errorf("%s: %s %v %s", path, resp.Status, resp.Header, body)
		}
	}
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	h2 := &http.Transport{Protocols: p}
	defer h2.CloseIdleConnections()
	for _, tr := range []*http.Transport{{DisableKeepAlives: true}, h2} {
		for _, path := range []string{"/after", "/begun", "/abort"} {
			resp, err := (&http.Client{Transport: tr}).Get(s.url + path)
			if err != nil {
				continue // no answer at all is none that could be mistaken
			}
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s: %s, %d bytes without error", path, resp.Status, len(body))
			}
			_ = resp.Body.Close()
		}
	}
	// Two of /before and /runtime, two times two of /after and /begun. The transport may try some again.
	if n := count(s.handler.metrics.panics); n < 6 {
		t.Errorf("%v panics were counted", n)
	}
	if !strings.Contains(logged.String(), "handler_test.go") || !strings.Contains(logged.String(), "index out of range") {
		t.Error("the log does not say where and what")
	}
	if strings.Contains(logged.String(), "canary") {
		t.Error("the log holds the value of a panic")
	}
}

// Nothing that a client sends in a header, a query or a body, nor a password in a URL, is ever logged.
func TestNothingSecretIsLogged(t *testing.T) {
	var logged lockedBuffer
	s := start(t, Config{
		Log: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug - 10})),
		// Even what a proxy sends on must look like an ID to be taken for one.
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Limits:  Limits{HeaderBytes: 4096, BodyBytes: 1000, AddressBurst: 50, AddressRate: 0.001, HeaderTime: 100 * time.Millisecond},
	}, mux("/{path...}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.URL.Path == "/panic" || err != nil {
			panic(fmt.Sprintf("%v %s %v", err, body, r))
		}
	}))
	for _, raw := range []string{
		"GET /ok?token=canary HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer canary\r\nCookie: canary=canary\r\n" +
			"Referer: http://x/?canary\r\nUser-Agent: canary\r\nX-Request-Id: canary canary\r\nX-Forwarded-For: canary\r\nX-Canary: canary\r\n\r\n",
		"POST /panic?canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\nContent-Length: 6\r\n\r\ncanary",
		"POST /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\ncanary\r\n",
		"CANARY /canary-method HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"[0:7] + "/ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET http://canary:canary@x/ok?canary#canary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /ok HTTP/1.1\r\nHost: x\r\ncanary\r\n\r\n",
		"GET /ok HTTP/9.canary\r\n\r\n",
		"\x16\x03\x01canary",
		"canary\r\n\r\n",
		"POST /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9999\r\n\r\ncanary",
		"GET /ok HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + strings.Repeat("canary", 2000) + "\r\n\r\n",
		"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: canary\r\n\r\n",
		"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: canary\r\n\r\n",
		"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: canary\r\n\r\n",
	} {
		closed(t, dial(t, s, raw))
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	text := strings.ToLower(logged.String())
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "canary") {
			t.Errorf("logged: %s", line)
		}
	}
	if n := strings.Count(text, `"msg":"request"`); n < 6 {
		t.Errorf("only %d requests were logged: %s", n, text)
	}
}

// A line has what an operator needs, and its ID is the one that the client was given.
func TestAccessLog(t *testing.T) {
	var logged lockedBuffer
	s := start(t, Config{
		Log:     slog.New(slog.NewJSONHandler(&logged, nil)),
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		if RequestID(r.Context()) == "" || ClientAddress(r.Context()) != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("context: %q %v", RequestID(r.Context()), ClientAddress(r.Context()))
		}
		Status(w, http.StatusTeapot, 3, "no coffee")
	}))
	resp, body := fetch(t, s.url+"/pot?q", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") })
	if body != `{"code":3,"message":"no coffee","details":[]}`+"\n" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %v", body, resp.Header)
	}
	fetch(t, s.url+"/"+strings.Repeat("a", 2000), func(r *http.Request) {
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		r.Header.Set("X-Request-Id", "from-the.proxy_1")
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	type line struct {
		Msg, ID, Method, Path, Client, Proto string
		Status, Bytes                        int
	}
	var lines []line
	for _, text := range strings.Split(strings.TrimSpace(logged.String()), "\n") {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), logged.String())
	}
	if want := (line{"request", resp.Header.Get("X-Request-Id"), "GET", "/pot", "192.0.2.1", "HTTP/1", 418, len(body)}); lines[0] != want {
		t.Errorf("%+v, want %+v", lines[0], want)
	}
	if l := lines[1]; l.ID != "from-the.proxy_1" || len(l.Path) > maxLoggedPath+3 {
		t.Errorf("%+v", l)
	}
}

// Nobody but a proxy of ours chooses the ID.
func TestRequestIDIsOurs(t *testing.T) {
	s := start(t, Config{}, mux("/", hello))
	resp, _ := fetch(t, s.url+"/", func(r *http.Request) { r.Header.Set("X-Request-Id", "mine") })
	if id := resp.Header.Get("X-Request-Id"); !regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString(id) {
		t.Errorf("ID %q", id)
	}
	if RequestID(context.Background()) != "" || ClientAddress(context.Background()).IsValid() {
		t.Error("a context without request has one")
	}
}

// GHSA-9c54-x2g4-v92j: random paths, methods, hosts and headers leave the number of series as it is.
func TestSeriesAreBounded(t *testing.T) {
	s := start(t, Config{Limits: Limits{AddressRate: -1}}, func() http.Handler {
		m := http.NewServeMux()
		m.HandleFunc("POST /api/v2/log/entries", hello)
		m.HandleFunc("GET /tile/{rest...}", hello)
		m.HandleFunc("/any/{name}", hello)
		return m
	}())
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string { return fmt.Sprintf("%x", random.Uint64()) }
	batch := func(n int) int {
		for i := range n {
			method, path := "M"+word(), []string{"/", "/tile/", "/any/", "/api/v2/log/entries/", "//"}[i%5]+word()
			if i%3 == 0 {
				method = []string{"GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH"}[i%7]
			}
			// Straight to the handler: what net/http's parser lets through must not matter.
			r, err := http.NewRequest(method, "http://"+word()+path+"?"+word(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("User-Agent", word())
			r.RemoteAddr = "127.0.0.1:1"
			s.handler.ServeHTTP(discard{}, r)
		}
		families, err := s.cfg.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		series := 0
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "bulla_") {
				series += len(f.GetMetric())
			}
		}
		return series
	}
	first := batch(2000)
	if n := batch(20000); n != first {
		t.Errorf("%d series after 2,000 requests, %d after 22,000", first, n)
	}
}

// discard is an answer that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// Even patterns that a handler makes up itself have an end.
func TestRoutesAreBounded(t *testing.T) {
	s := start(t, Config{}, http.NotFoundHandler())
	seen := make(map[string]bool)
	for i := range 10 * maxRoutes {
		pattern := fmt.Sprint("GET /made/up/", i)
		seen[s.handler.metrics.route(pattern)] = true
		s.handler.metrics.observe(pattern, http.MethodGet, http.StatusOK, time.Second)
	}
	if len(seen) > maxRoutes+1 || !seen["other"] {
		t.Errorf("%d routes", len(seen))
	}
	if n := len(s.handler.metrics.series); n > maxSeries {
		t.Errorf("%d series are remembered", n)
	}
}

func TestExpiry(t *testing.T) {
	c := newClock()
	reg := NewRegistry()
	e, err := NewExpiry(reg, c.now)
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]time.Time{
		"root": c.now().Add(time.Hour), "past": c.now().Add(-time.Minute), "none": {},
	} {
		if err := e.Register(name, func() time.Time { return end }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(root, past float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, f := range families {
			if f.GetName() == "bulla_expires_in_seconds" {
				for _, m := range f.GetMetric() {
					got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		if len(got) != 2 || got["root"] != root || got["past"] != past {
			t.Errorf("%v", got)
		}
	}
	want(3600, -60)
	c.move(time.Minute)
	want(3540, -120)
	for i := range maxExpiries {
		err = e.Register(fmt.Sprint(i), time.Now)
	}
	if err == nil {
		t.Error("names without end")
	}
	if _, err := NewExpiry(reg, nil); err == nil {
		t.Error("registered twice")
	}
}

// What a message says cannot become part of the JSON around it, or of a page.
func TestStatusEscapes(t *testing.T) {
	s := start(t, Config{}, mux("/", func(w http.ResponseWriter, _ *http.Request) {
		Status(w, 400, 3, "<script>\"\n\xff")
	}))
	resp, body := fetch(t, s.url+"/")
	var got struct{ Message string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || strings.Contains(body, "<") || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", body, err)
	}
}

// A request that states its length twice, in two ways, is the last on its connection: what a proxy took for its body is no
// request of somebody else's.
func TestNoSmuggling(t *testing.T) {
	s := start(t, Config{}, mux("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/panic" {
			panic("x")
		}
		_, _ = io.WriteString(w, "answer to "+r.URL.Path)
	}))
	for _, path := range []string{"/first", "/panic"} {
		got := closed(t, dial(t, s, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"0\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n"))
		if !strings.HasPrefix(got, "HTTP/1.1 ") || strings.Contains(got, "second") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// "OPTIONS *" goes the way of all requests.
func TestOptionsForTheServer(t *testing.T) {
	s := start(t, Config{Hosts: []string{"x"}}, mux("/", hello))
	for host, want := range map[string]string{"x": "HTTP/1.1 400", "y": "HTTP/1.1 421"} {
		got := closed(t, dial(t, s, "OPTIONS * HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"))
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "X-Request-Id") {
			t.Errorf("%s: %q", host, got)
		}
	}
}
