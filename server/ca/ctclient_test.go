package ca_test

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bulla-sign/bulla/server/ca"
)

// httpLog serves a CT log over HTTP, as RFC 6962 4.2 has it.
type httpLog struct {
	log   *ctLog
	first []func(http.ResponseWriter) // answers to the first requests
	hits  atomic.Int64
}

func (l *httpLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(l.hits.Add(1))
	if n <= len(l.first) {
		l.first[n-1](w)
		return
	}
	var request struct {
		Chain [][]byte `json:"chain"`
	}
	if r.URL.Path != "/ct/main/ct/v1/add-pre-chain" || r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&request) != nil {
		http.NotFound(w, r)
		return
	}
	tls, _, err := l.log.AddPreChain(r.Context(), request.Chain)
	if err != nil {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	extensions := int(binary.BigEndian.Uint16(tls[41:]))
	_ = json.NewEncoder(w).Encode(map[string]any{
		"sct_version": 0, "id": tls[1:33], "timestamp": binary.BigEndian.Uint64(tls[33:]),
		"extensions": tls[43 : 43+extensions], "signature": tls[43+extensions:],
	})
}

func code(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(status) }
}

func text(s string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = w.Write([]byte(s)) }
}

// TestLogClient issues with a log elsewhere, which is busy at first.
func TestLogClient(t *testing.T) {
	var remote *httpLog
	w := newWorld(t, func(cfg *ca.Config) {
		log, ok := cfg.CT.(*ctLog)
		if !ok {
			t.Fatal("not the test's log")
		}
		remote = &httpLog{log: log, first: []func(http.ResponseWriter){code(http.StatusServiceUnavailable)}}
		srv := httptest.NewServer(remote)
		t.Cleanup(srv.Close)
		client, err := ca.NewLogClient(srv.URL+"/ct/main/", srv.Client())
		if err != nil {
			t.Fatal(err)
		}
		cfg.CT = client
	})
	key := newKey(t, elliptic.P256())
	w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)), key.Public())
	if remote.hits.Load() != 2 {
		t.Fatalf("%d requests", remote.hits.Load())
	}
}

func TestLogClientRefuses(t *testing.T) {
	moved := func(w http.ResponseWriter) {
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	for name, c := range map[string]struct {
		answers []func(http.ResponseWriter)
		want    string
		hits    int64
	}{
		"bad request":  {[]func(http.ResponseWriter){code(400)}, "status 400", 1},
		"redirect":     {[]func(http.ResponseWriter){moved}, "status 307", 1},
		"always busy":  {[]func(http.ResponseWriter){code(503), code(429), code(500)}, "status 500", 3},
		"not JSON":     {[]func(http.ResponseWriter){text("<html>")}, "not an SCT", 1},
		"empty":        {[]func(http.ResponseWriter){text("{}")}, "not an SCT of version 1", 1},
		"version 2":    {[]func(http.ResponseWriter){text(`{"sct_version":1}`)}, "not an SCT of version 1", 1},
		"short id":     {[]func(http.ResponseWriter){text(`{"sct_version":0,"id":"AAAA","signature":"AAAAAAAA"}`)}, "not an SCT of version 1", 1},
		"long":         {[]func(http.ResponseWriter){text(strings.Repeat(" ", 100<<10))}, "too long", 1},
		"no extension": {[]func(http.ResponseWriter){text(`{"sct_version":0,"id":"` + strings.Repeat("A", 43) + `=","signature":"AAAAAAAA","extensions":"?"}`)}, "base64", 1},
	} {
		t.Run(name, func(t *testing.T) {
			remote := &httpLog{first: c.answers}
			srv := httptest.NewServer(remote)
			defer srv.Close()
			client, err := ca.NewLogClient(srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = client.AddPreChain(t.Context(), [][]byte{{1}})
			if err == nil || !strings.Contains(err.Error(), c.want) || remote.hits.Load() != c.hits {
				t.Fatalf("%v after %d requests, want %q after %d", err, remote.hits.Load(), c.want, c.hits)
			}
		})
	}
	for _, base := range []string{"", "ftp://a", "https://", "https://a?b", "a/b"} {
		if _, err := ca.NewLogClient(base, nil); err == nil {
			t.Errorf("%q is accepted", base)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client, err := ca.NewLogClient("http://127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.AddPreChain(ctx, nil); err == nil {
		t.Fatal("a request that was cancelled succeeds")
	}
}

// TestNewRefuses is about the configuration.
func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(cfg *ca.Config, a authority)
		want string
	}{
		"no chain":        {func(cfg *ca.Config, _ authority) { cfg.Chain = nil }, "0 certificates"},
		"root alone":      {func(cfg *ca.Config, _ authority) { cfg.Chain = cfg.Chain[1:] }, "1 certificates"},
		"wrong order":     {func(cfg *ca.Config, _ authority) { cfg.Chain[0], cfg.Chain[1] = cfg.Chain[1], cfg.Chain[0] }, "code signing"},
		"nil certificate": {func(cfg *ca.Config, _ authority) { cfg.Chain[1] = nil }, "nil"},
		"leaf": {func(cfg *ca.Config, _ authority) {
			cfg.Chain = newAuthority(t, func(c *x509.Certificate) {
				c.IsCA, c.KeyUsage, c.MaxPathLenZero = false, x509.KeyUsageDigitalSignature, false
			}).chain
		}, "not one of an authority"},
		"any purpose": {func(cfg *ca.Config, _ authority) {
			cfg.Chain = newAuthority(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil }).chain
		}, "code signing"},
		"two purposes": {func(cfg *ca.Config, _ authority) {
			cfg.Chain = newAuthority(t, func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) }).chain
		}, "code signing"},
		"root of another":      {func(cfg *ca.Config, _ authority) { cfg.Chain[1] = newAuthority(t, nil).chain[1] }, "hold together"},
		"key of another":       {func(cfg *ca.Config, a authority) { cfg.Key = a.key }, "not that of the issuing certificate"},
		"no key":               {func(cfg *ca.Config, _ authority) { cfg.Key = nil }, "missing"},
		"no CT":                {func(cfg *ca.Config, _ authority) { cfg.CT = nil }, "no CT log"},
		"CT and none":          {func(cfg *ca.Config, _ authority) { cfg.WithoutCT = true }, "shall be none"},
		"no key of the CT log": {func(cfg *ca.Config, _ authority) { cfg.CTKey = nil }, "key of the CT log"},
		"odd key of the CT":    {func(cfg *ca.Config, _ authority) { cfg.CTKey = "x" }, "key of the CT log"},
		"no issuers":           {func(cfg *ca.Config, _ authority) { cfg.Issuers = nil }, "no issuers"},
	} {
		t.Run(name, func(t *testing.T) {
			other := newAuthority(t, nil)
			var config ca.Config
			newWorld(t, func(cfg *ca.Config) { config = *cfg })
			c.edit(&config, other)
			if _, err := ca.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}
