package ca_test

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/ca"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/httpserver"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
)

// TestMetrics: outcomes are counted, and nothing that a client sends becomes a label.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	w := newWorld(t, func(cfg *ca.Config) { cfg.Metrics = registry })
	key := newKey(t, elliptic.P256())
	do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)
	do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(map[string]any{"iss": "https://evil.test"})), key, email), nil)
	do(t, w, http.MethodPost, v1, "bulla", nil)
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			series++
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"bulla_ca_requests_total rest issued": 1, "bulla_ca_requests_total rest refused": 1, "bulla_ca_requests_total rest-v1 refused": 1,
		"bulla_ca_certificates_total email": 1, "bulla_ca_certificates_total spiffe": 0,
		"bulla_ca_certificate_expires_in_seconds 0": w.chain[0].NotAfter.Sub(now).Seconds(),
		"bulla_ca_certificate_expires_in_seconds 1": w.chain[1].NotAfter.Sub(now).Seconds(),
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, %t, want %v", name, value, ok, want)
		}
	}
	if series != 15+7+3+2 {
		t.Errorf("%d series", series)
	}
}

// readyLog is a log that can tell whether it is ready.
type readyLog struct {
	*ctLog
	err error
}

func (l *readyLog) Ready(context.Context) error { return l.err }

func TestReady(t *testing.T) {
	log := &readyLog{}
	at := now
	w := newWorld(t, func(cfg *ca.Config) {
		inner, ok := cfg.CT.(*ctLog)
		if !ok {
			t.Fatal("not the test's log")
		}
		log.ctLog, cfg.CT = inner, log
		cfg.Now = func() time.Time { return at }
	})
	if err := w.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.err = errors.New("the log is behind")
	if err := w.Ready(t.Context()); !errors.Is(err, log.err) {
		t.Fatal(err)
	}
	log.err = nil
	for _, at = range []time.Time{mint.Epoch.AddDate(-2, 0, 0), mint.Epoch.AddDate(2, 0, 0)} {
		if err := w.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate 0") {
			t.Fatal(err)
		}
	}
}

// TestConcurrent issues for many at once; run with -race.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey(t, elliptic.P256())
	payload, err := json.Marshal(body(t, w.idp.token(t, claims(nil)), key, email))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	serials := map[string]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			rw := do(t, w, http.MethodPost, v2, payload, nil)
			var leaf *x509.Certificate
			if rw.Code == http.StatusOK {
				leaf = chainOf(t, rw)[0]
			}
			mu.Lock()
			defer mu.Unlock()
			if leaf == nil || serials[leaf.SerialNumber.String()] {
				t.Errorf("%d, or a serial number twice", rw.Code)
				return
			}
			serials[leaf.SerialNumber.String()] = true
		})
	}
	wg.Wait()
}

// TestBehindTheServer serves REST and gRPC through the server that all services share.
func TestBehindTheServer(t *testing.T) {
	w := newWorld(t, nil)
	mux := http.NewServeMux()
	for _, pattern := range w.Patterns() {
		mux.Handle(pattern, w)
	}
	checks := httpserver.NewHealth()
	checks.Register("ca", w.Ready)
	srv, err := httpserver.New(httpserver.Config{Listeners: []httpserver.Listener{{Address: "127.0.0.1:0"}}, Health: checks}, mux)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var address net.Addr = addrs[0]
	res, err := http.Get("http://" + address.String() + "/api/v2/configuration")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	conn, err := grpc.NewClient(address.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := health.NewHealthClient(conn).Check(t.Context(), &health.HealthCheckRequest{Service: "dev.sigstore.fulcio.v2.CA"})
	if err != nil || answer.GetStatus() != health.HealthCheckResponse_SERVING {
		t.Fatal(answer, err)
	}
}

// TestCIToken goes the whole way for a token of a CI job.
func TestCIToken(t *testing.T) {
	w := newWorld(t, nil, issuerconfig.Issuer{URL: issuerURL, ClientID: "sigstore", Type: "github-workflow"})
	key := newKey(t, elliptic.P256())
	sub := "repo:acme/app:ref:refs/heads/main"
	raw := w.idp.token(t, map[string]any{
		"iss": issuerURL, "aud": "sigstore", "sub": sub, "exp": now.Add(time.Minute).Unix(), "event_name": "push", "sha": "4a5b", "workflow": "w",
		"repository": "acme/app", "ref": "refs/heads/main", "job_workflow_ref": "acme/app/.github/workflows/w.yml@refs/heads/main",
		"job_workflow_sha": "4a5b", "runner_environment": "github-hosted", "repository_id": "7", "repository_owner": "acme",
		"repository_owner_id": "8", "workflow_ref": "acme/app/.github/workflows/w.yml@refs/heads/main", "workflow_sha": "4a5b", "run_id": 9876543210,
		"run_attempt": "1", "repository_visibility": "public",
	})
	leaf := w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, raw, key, sub), nil)), key.Public())
	if leaf.SANs[0].Value != "https://github.com/acme/app/.github/workflows/w.yml@refs/heads/main" || len(leaf.Extensions) != 22 ||
		leaf.Extensions["runInvocationURI"] != "https://github.com/acme/app/actions/runs/9876543210/attempts/1" {
		t.Fatal(leaf.SANs, leaf.Extensions)
	}
}

func FuzzServe(f *testing.F) {
	w := newWorld(f, nil)
	key := newKey(f, elliptic.P256())
	good, err := json.Marshal(body(f, w.idp.token(f, claims(nil)), key, email))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"credentials":{"oidcIdentityToken":"a.b.c"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w.log.t, w.log.chains = t, nil
		w.out.Reset()
		for _, path := range []string{v2, v1} {
			if rw := do(t, w, http.MethodPost, path, data, nil); rw.Code != http.StatusOK && rw.Code != http.StatusBadRequest {
				t.Fatalf("status %d: %s", rw.Code, rw.Body)
			}
		}
	})
}
