package network

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// counter dials for real and notes where to.
type counter struct {
	mu    sync.Mutex
	asked []string
}

func (c *counter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	c.asked = append(c.asked, address)
	c.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

func server(t *testing.T) (*httptest.Server, string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	t.Cleanup(s.Close)
	return s, strings.TrimPrefix(s.URL, "http://")
}

func get(t *testing.T, tr http.RoundTripper, at string) error {
	t.Helper()
	resp, err := (&http.Client{Transport: tr}).Get(at)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestOffline(t *testing.T) {
	s, address := server(t)
	c := new(counter)
	off := New(true, c.dial)
	if err := get(t, off.Transport(), s.URL); !errors.Is(err, ErrOffline) {
		t.Errorf("offline: %v", err)
	}
	own := off.Guard(&http.Transport{DialContext: c.dial, DialTLSContext: c.dial})
	for _, at := range []string{s.URL, strings.Replace(s.URL, "http", "https", 1)} {
		if err := get(t, own, at); !errors.Is(err, ErrOffline) {
			t.Errorf("a transport of one's own: %s: %v", at, err)
		}
	}
	if len(c.asked) != 0 {
		t.Errorf("dialled %v", c.asked)
	}
	for _, on := range []*Network{New(false, c.dial), New(false, nil), nil} {
		if err := get(t, on.Transport(), s.URL); err != nil {
			t.Errorf("online: %v", err)
		}
	}
	if !slices.Equal(c.asked, []string{address}) || !off.Offline() || (*Network)(nil).Offline() {
		t.Errorf("dialled %v", c.asked)
	}
}

// A registry is reached when it was named, and cannot lead anywhere else.
func TestRegistries(t *testing.T) {
	s, address := server(t)
	other, _ := server(t)
	off := New(true, nil)
	r := off.Registries(false)
	tr := &http.Transport{}
	r.Guard(tr)
	if err := get(t, tr, s.URL); !errors.Is(err, ErrOffline) {
		t.Errorf("not named: %v", err)
	}
	r.Named(address)
	if err := get(t, tr, s.URL); err != nil {
		t.Errorf("named: %v", err)
	}
	if err := get(t, tr, s.URL+"?to="+url.QueryEscape(other.URL)); !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), "only the registry that is named is asked") {
		t.Errorf("led elsewhere: %v", err)
	}
	wide := off.Registries(true)
	tr = &http.Transport{}
	wide.Guard(tr)
	if err := get(t, tr, s.URL+"?to="+url.QueryEscape(other.URL)); err != nil {
		t.Errorf("as cosign has it: %v", err)
	}
	tr = &http.Transport{}
	(*Network)(nil).Registries(false).Guard(tr)
	if err := get(t, tr, s.URL); err != nil {
		t.Errorf("no network: %v", err)
	}
}

func TestNamed(t *testing.T) {
	for registry, want := range map[string][]string{
		"ghcr.io": {"ghcr.io:443", "ghcr.io:80"}, "localhost:5000": {"localhost:5000"}, "[::1]:5000": {"[::1]:5000"},
	} {
		r := New(true, nil).Registries(false)
		r.Named(registry)
		for _, address := range want {
			if !r.named.has(address) {
				t.Errorf("%s does not name %s", registry, address)
			}
		}
		if len(r.named.set) != len(want) || r.named.has("evil.example:443") {
			t.Errorf("%s names %v", registry, r.named.set)
		}
	}
}

// A proxy is asked for the registry, and for nothing else.
func TestProxy(t *testing.T) {
	c := new(counter)
	proxy, at := server(t)
	to, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := New(true, c.dial).Registries(false)
	tr := &http.Transport{Proxy: http.ProxyURL(to)}
	r.Guard(tr)
	r.Named("registry.example")
	if err := get(t, tr, "http://registry.example/v2/"); err != nil {
		t.Errorf("the registry: %v", err)
	}
	if err := get(t, tr, "http://other.example/"); !errors.Is(err, ErrOffline) {
		t.Errorf("another host: %v", err)
	}
	if err := get(t, tr, "https://other.example/"); !errors.Is(err, ErrOffline) {
		t.Errorf("another host: %v", err)
	}
	if !slices.Equal(c.asked, []string{at}) {
		t.Errorf("dialled %v", c.asked)
	}
}
