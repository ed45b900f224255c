package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/sign"
)

var artifact = []byte("what was shipped\n")

// options are those of tests: short pauses, little patience.
func options(t testing.TB, s *services.Services) client.Options {
	return client.Options{Root: s.World.Root(t), UserAgent: "bulla/test", Pause: time.Millisecond, Patience: time.Minute}
}

func signer(t testing.TB, d algorithm.Details) keys.Signer {
	t.Helper()
	s, err := keys.FromSigner(mint.NewKey(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed is a fresh signature over the artifact, or over an envelope about it.
func signed(t testing.TB, key keys.Signer, envelope bool) *sign.Signature {
	t.Helper()
	alg, err := algorithm.Default(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := &sign.Signature{Algorithm: alg, Message: algorithm.Bytes(artifact), Public: key.Public()}
	if envelope {
		s.Envelope = &bundle.Envelope{PayloadType: world.PayloadType, Payload: world.StatementFor(artifact, world.PredicateType, `{"a":"<&>"}`)}
		s.Message = algorithm.Bytes(s.Envelope.PAE())
	}
	if s.Bytes, err = key.Sign(context.Background(), alg, s.Message); err != nil {
		t.Fatal(err)
	}
	if envelope {
		s.Envelope.Signatures = []bundle.EnvelopeSignature{{Sig: s.Bytes}}
	}
	return s
}

// A service is one of the four, called the same way by the tests of what they have in common.
type service struct {
	name, path string
	call       func(ctx context.Context, t testing.TB, s *services.Services, o client.Options) error
}

func all() []service {
	return []service{
		{"authority", "/api/v2/signingCert", func(ctx context.Context, t testing.TB, s *services.Services, o client.Options) error {
			ca, err := client.NewCA(s.URL+"/", o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ca.Certify(ctx, sign.Identity{Token: s.Token(nil), Challenge: s.Email}, signer(t, algorithm.ECDSAP256SHA256))
			return err
		}},
		{"log v1", "/api/v1/log/entries", func(ctx context.Context, t testing.TB, s *services.Services, o client.Options) error {
			log, err := client.NewLogV1(s.URL, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = log.Log(ctx, signed(t, signer(t, algorithm.ECDSAP256SHA256), false))
			return err
		}},
		{"log v2", "/api/v2/log/entries", func(ctx context.Context, t testing.TB, s *services.Services, o client.Options) error {
			log, err := client.NewLogV2(s.URL, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = log.Log(ctx, signed(t, signer(t, algorithm.ECDSAP256SHA256), false))
			return err
		}},
		{"timestamp authority", "/api/v1/timestamp", func(ctx context.Context, t testing.TB, s *services.Services, o client.Options) error {
			tsa, err := client.NewTSA(s.TSA, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tsa.Timestamp(ctx, []byte("a signature"))
			return err
		}},
	}
}

func TestFaults(t *testing.T) {
	s := services.New(t)
	for _, svc := range all() {
		f := func(f services.Fault) services.Fault { f.Method, f.Path = "POST", svc.path; return f }
		for _, c := range []struct {
			name   string
			faults []services.Fault
			opt    func(*client.Options)
			want   string // in the error; empty: it works in the end
			kind   error
			most   int // requests; 0: does not matter
		}{
			{name: "nothing"},
			{name: "503 twice", faults: []services.Fault{{Status: 503, Times: 2}}},
			{name: "429 with a moment", faults: []services.Fault{{Status: 429, Header: map[string]string{"Retry-After": "0"}}}},
			{name: "connection refused twice", faults: []services.Fault{{Refuse: true, Times: 2}}},
			{name: "dropped after commit", faults: []services.Fault{{Drop: true}}},
			{name: "cut off", faults: []services.Fault{{Cut: 40}}},
			{name: "slow once", faults: []services.Fault{{Slow: time.Minute}}, opt: func(o *client.Options) { o.Timeout = 300 * time.Millisecond }},
			{
				name: "429 for an hour", faults: []services.Fault{{Status: 429, Header: map[string]string{"Retry-After": "3600"}, Body: `{"message":"slow down"}`, Times: -1}},
				want: "HTTP 429: slow down; it asks to come back in 1h0m0s, which is too late", kind: client.ErrUnavailable, most: 1,
			},
			{
				name: "503 for ever", faults: []services.Fault{{Status: 503, Body: "down\x1b[31m for\nmaintenance", Times: -1}},
				opt:  func(o *client.Options) { o.Patience = time.Second }, // enough for a second try on a busy machine
				want: "HTTP 503: down\uFFFD[31m for maintenance (tried ", kind: client.ErrUnavailable,
			},
			{
				name: "one attempt", faults: []services.Fault{{Status: 502, Times: -1}},
				opt: func(o *client.Options) { o.Patience = -1 }, want: "HTTP 502: bad gateway", kind: client.ErrUnavailable, most: 1,
			},
			{
				name: "refused", faults: []services.Fault{{Status: 400, Body: `{"code":3,"message":"no <b>such</b> thing","details":[]}`, Times: -1}},
				want: "HTTP 400: no <b>such</b> thing", kind: client.ErrRefused, most: 1,
			},
			{name: "not there", faults: []services.Fault{{Status: 404, Times: -1}}, want: "HTTP 404: not found", kind: client.ErrRefused, most: 1},
			{
				name: "a login page", faults: []services.Fault{{Status: 200, Body: "<!DOCTYPE html><html>", Times: -1}},
				want: `the answer is not a `, kind: client.ErrAnswer, most: 1,
			},
			{name: "an empty answer", faults: []services.Fault{{Status: 201, Times: -1}}, want: "the answer is not a", kind: client.ErrAnswer, most: 1},
			{
				name: "another host", faults: []services.Fault{{Status: 307, Header: map[string]string{"Location": "https://evil.example/x"}, Times: -1}},
				want: "it redirects to https://evil.example, another host, which is not followed", kind: client.ErrAnswer, most: 1,
			},
			{
				name: "redirect that turns into a GET", faults: []services.Fault{{Status: 302, Header: map[string]string{"Location": "/elsewhere"}, Times: -1}},
				want: "it answers a POST with a redirect that turns it into a GET", kind: client.ErrAnswer, most: 1,
			},
			{
				name: "endless redirects", faults: []services.Fault{{Status: 308, Header: map[string]string{"Location": svc.path}, Times: -1}},
				want: "it redirects more than 3 times", kind: client.ErrAnswer,
			},
			{name: "redirect within the host", faults: []services.Fault{{Status: 308, Header: map[string]string{"Location": svc.path}, Times: 2}}},
			{
				name: "too much", faults: []services.Fault{{Edit: func(b []byte) []byte { return append(b, make([]byte, 5<<20)...) }, Times: -1}},
				want: "the answer has more than", kind: client.ErrAnswer, most: 1,
			},
		} {
			for i := range c.faults {
				c.faults[i] = f(c.faults[i])
			}
			s.Heal()
			s.Fail(c.faults...)
			before := s.Count("POST", svc.path)
			o := options(t, s)
			if c.opt != nil {
				c.opt(&o)
			}
			err := svc.call(context.Background(), t, s, o)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s, %s: %v", svc.name, c.name, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.kind)):
				t.Errorf("%s, %s: got %v, want %q (%v)", svc.name, c.name, err, c.want, c.kind)
			case c.want != "" && (!strings.Contains(err.Error(), s.URL) || !strings.Contains(err.Error(), ", asked for a ")):
				t.Errorf("%s, %s: does not say who was asked for what: %v", svc.name, c.name, err)
			}
			if n := s.Count("POST", svc.path) - before; c.most > 0 && n > c.most {
				t.Errorf("%s, %s: %d requests", svc.name, c.name, n)
			}
		}
	}
}

func TestContextEndsIt(t *testing.T) {
	s := services.New(t)
	for _, svc := range all() {
		s.Fail(services.Fault{Path: svc.path, Slow: 10 * time.Minute, Times: -1})
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		start := time.Now()
		err := svc.call(ctx, t, s, options(t, s))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Minute {
			t.Errorf("%s: %v after %s", svc.name, err, time.Since(start))
		}
		s.Heal()
		s.Fail(services.Fault{Path: svc.path, Status: 503, Times: -1})
		ctx, cancel = context.WithCancel(context.Background())
		o := options(t, s)
		o.Pause = time.Minute
		o.Patience = time.Hour
		o.Notify = func(r client.Retry) {
			if r.Pause < o.Pause/2 && r.Pause < 7*time.Second || !strings.Contains(r.Err.Error(), "HTTP 503") {
				t.Errorf("%s: told of %+v", svc.name, r)
			}
			cancel()
		}
		if err := svc.call(ctx, t, s, o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "HTTP 503: service unavailable") {
			t.Errorf("%s: %v", svc.name, err)
		}
		s.Heal()
	}
}

// TestNoCredentialLeaves: whatever a service answers, its token is sent to nobody else.
func TestNoCredentialLeaves(t *testing.T) {
	s := services.New(t)
	var other []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		other = append(other, req.Method+" "+req.URL.Path+" "+req.Header.Get("Authorization"))
	}))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, svc := range all() {
			s.Heal()
			s.Fail(services.Fault{Path: svc.path, Status: status, Header: map[string]string{"Location": thief.URL + svc.path}, Times: -1})
			if err := svc.call(context.Background(), t, s, options(t, s)); !errors.Is(err, client.ErrAnswer) {
				t.Errorf("%s, %d: %v", svc.name, status, err)
			}
		}
	}
	// A conflict that names an entry elsewhere is looked up at the log itself.
	s.Heal()
	s.Fail(services.Fault{
		Method: "POST", Path: "/api/v1/log/entries", Status: 409, Times: -1,
		Header: map[string]string{"Location": thief.URL + "/api/v1/log/entries/" + strings.Repeat("ab", 32)},
	})
	if err := all()[1].call(context.Background(), t, s, options(t, s)); !errors.Is(err, client.ErrRefused) {
		t.Errorf("an entry elsewhere: %v", err)
	}
	if len(other) > 0 {
		t.Errorf("another host was asked: %v", other)
	}
	for _, r := range s.Requests() {
		if (r.Authorization != "") != (r.Path == "/api/v2/signingCert") {
			t.Errorf("%s %s has the authorization %q", r.Method, r.Path, r.Authorization)
		}
		if r.UserAgent != "bulla/test" {
			t.Errorf("%s %s by %q", r.Method, r.Path, r.UserAgent)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{
		"", "x", "ftp://a.example", "https://", "https://user:canary@a.example", "https://a.example?canary", "https://a.example/#canary",
		"http://a b", "https://a.example/" + strings.Repeat("x", 2048),
	} {
		for _, open := range []func(string) error{
			func(a string) error { _, err := client.NewCA(a, client.Options{}); return err },
			func(a string) error { _, err := client.NewLogV1(a, client.Options{}); return err },
			func(a string) error { _, err := client.NewLogV2(a, client.Options{}); return err },
			func(a string) error { _, err := client.NewTSA(a, client.Options{}); return err },
		} {
			if err := open(bad); err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	s := services.New(t)
	o := options(t, s)
	o.Patience = 20 * time.Millisecond
	tsa, err := client.NewTSA("http://127.0.0.1:1/tsa", o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tsa.Timestamp(context.Background(), []byte("x"))
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

// change edits the JSON of an answer.
func change(t testing.TB, edit func(m map[string]any)) func([]byte) []byte {
	return func(body []byte) []byte {
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		edit(m)
		out, err := json.Marshal(m)
		if err != nil {
			t.Error(err)
		}
		return out
	}
}
