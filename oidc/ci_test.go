package oidc_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/oidc"
)

// endpoint is a provider of the surroundings: it answers what it is asked as it must be asked. between, where it is not nil,
// answers in its place.
func endpoint(t *testing.T, between http.Handler, check func(req *http.Request, body string) bool, answer string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || !check(req, string(body)) {
			t.Errorf("asked %s %s %v %s", req.Method, req.URL, req.Header, body)
			http.Error(w, "wrong", http.StatusBadRequest)
			return
		}
		if between != nil {
			between.ServeHTTP(w, req)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func host(address string) string { return strings.TrimPrefix(address, "http://") }

// overHTTP are surroundings, by the source that they are of, whose providers speak HTTP. All that they are asked is checked;
// where between is not nil, it answers.
func overHTTP(t *testing.T, raw string, between http.Handler) map[string]*oidc.Environment {
	t.Helper()
	const account = "/computeMetadata/v1/instance/service-accounts/default/"
	github := endpoint(t, between, func(r *http.Request, _ string) bool {
		return r.Method == "GET" && r.URL.Path == "/token" && r.URL.Query().Get("api-version") == "2" && r.URL.Query().Get("audience") == "sigstore" &&
			r.Header.Get("Authorization") == "Bearer canary"
	}, `{"value":"`+raw+`","count":1}`)
	buildkite := endpoint(t, between, func(r *http.Request, body string) bool {
		return r.Method == "POST" && r.URL.EscapedPath() == "/v3/jobs/job%2F1/oidc/tokens" && r.Header.Get("Content-Type") == "application/json" &&
			r.Header.Get("Authorization") == "Token canary" && body == `{"audience":"sigstore"}`
	}, `{"token":"`+raw+`"}`)
	google := endpoint(t, between, func(r *http.Request, _ string) bool {
		return r.Method == "GET" && r.Header.Get("Metadata-Flavor") == "Google" && r.URL.Path == account+"identity" &&
			r.URL.Query().Get("audience") == "sigstore" && r.URL.Query().Get("format") == "full"
	}, raw)
	metadata := endpoint(t, nil, func(r *http.Request, _ string) bool {
		return r.Method == "GET" && r.Header.Get("Metadata-Flavor") == "Google" && r.URL.Path == account+"token"
	}, `{"access_token":"canary"}`)
	iam := endpoint(t, between, func(r *http.Request, body string) bool {
		return r.Method == "POST" && r.URL.Path == "/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateIdToken" &&
			r.Header.Get("Authorization") == "Bearer canary" && body == `{"audience":"sigstore","includeEmail":true}`
	}, `{"token":"`+raw+`"}`)
	impersonating := vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b.iam.gserviceaccount.com", "GCE_METADATA_HOST", host(metadata))
	impersonating.GoogleIAM = iam
	return map[string]*oidc.Environment{
		"github-actions":           vars("ACTIONS_ID_TOKEN_REQUEST_URL", github+"/token?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
		"buildkite-agent":          vars("BUILDKITE_AGENT_ACCESS_TOKEN", "canary", "BUILDKITE_JOB_ID", "job/1", "BUILDKITE_AGENT_ENDPOINT", buildkite+"/v3"),
		"google-workload-identity": vars("GCE_METADATA_HOST", host(google)),
		"google-impersonate":       impersonating,
	}
}

// circleCI puts a program circleci on PATH that gives the token, and leaves another one behind which holds its output open.
func circleCI(t *testing.T, raw string) {
	t.Helper()
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" = 'run oidc get --claims {\"aud\":\"sigstore\"}' ] || { echo \"wrong: $*\" >&2; exit 1; }\nsleep 70 &\necho $! > " + bin + "/left\necho " + raw + "\n"
	if err := os.WriteFile(filepath.Join(bin, "circleci"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		text, err := os.ReadFile(filepath.Join(bin, "left"))
		if err != nil {
			return
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			if left, err := os.FindProcess(pid); err == nil {
				_ = left.Kill() // it may have ended
			}
		}
	})
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

func TestProviders(t *testing.T) {
	raw := jwt(`{"iss":"https://ci","sub":"job","aud":"sigstore"}`)
	circleCI(t, raw)
	all := overHTTP(t, raw, nil)
	all["circleci"] = vars("CIRCLECI", "true")
	all["spiffe"] = vars("SPIFFE_ENDPOINT_SOCKET", "unix://"+workloadAPI(t, raw, "0"))
	bare := vars("SPIFFE_ENDPOINT_SOCKET", workloadAPI(t, raw, "0"))
	if token, _, err := oidc.Ambient(t.Context(), bare, "spiffe"); err != nil || token.Subject != "job" {
		t.Errorf("a path alone: %v", err)
	}
	for name, e := range all {
		start := time.Now()
		token, from, err := oidc.Ambient(t.Context(), e, "")
		if err != nil || token.Subject != "job" || from != name {
			t.Errorf("%s: %v from %q, %v", name, token, from, err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %s", name, took)
		}
	}
	for name, e := range map[string]*oidc.Environment{
		"without TLS":       vars("ACTIONS_ID_TOKEN_REQUEST_URL", "http://github.example/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
		"refused":           vars("SPIFFE_ENDPOINT_SOCKET", "unix://"+workloadAPI(t, raw, "7")),
		"no socket":         vars("SPIFFE_ENDPOINT_SOCKET", "tcp://127.0.0.1:1"),
		"host with a path":  vars("GCE_METADATA_HOST", "evil.example/x"),
		"agent without TLS": vars("BUILDKITE_AGENT_ACCESS_TOKEN", "canary", "BUILDKITE_JOB_ID", "1", "BUILDKITE_AGENT_ENDPOINT", "http://agent.example"),
	} {
		if token, _, err := oidc.Ambient(t.Context(), e, ""); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
}

// The audience is that of the deployment, wherever a token is asked for.
func TestAudience(t *testing.T) {
	raw := jwt(`{"iss":"https://ci","sub":"job","aud":"other"}`)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Audience string `json:"audience"`
		}
		if data, err := io.ReadAll(r.Body); err != nil || len(data) > 0 && json.Unmarshal(data, &body) != nil {
			t.Errorf("%s: %s, %v", r.URL, data, err)
		}
		if body.Audience == "other" || r.URL.Query().Get("audience") == "other" {
			asked++
		} else if !strings.HasSuffix(r.URL.Path, "/default/token") {
			t.Errorf("asked %s for %q", r.URL, body.Audience)
		}
		if strings.HasSuffix(r.URL.Path, "/identity") {
			_, _ = io.WriteString(w, raw)
			return
		}
		_, _ = io.WriteString(w, `{"value":"`+raw+`","token":"`+raw+`","access_token":"canary"}`)
	}))
	defer server.Close()
	all := []*oidc.Environment{
		vars("ACTIONS_ID_TOKEN_REQUEST_URL", server.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
		vars("BUILDKITE_AGENT_ACCESS_TOKEN", "canary", "BUILDKITE_JOB_ID", "1", "BUILDKITE_AGENT_ENDPOINT", server.URL),
		vars("GCE_METADATA_HOST", host(server.URL)),
		vars("GCE_METADATA_HOST", host(server.URL), "GOOGLE_SERVICE_ACCOUNT_NAME", "a@b"),
	}
	for i, e := range all {
		e.Audience, e.GoogleIAM = "other", server.URL
		if _, _, err := oidc.Ambient(t.Context(), e, ""); err != nil || asked != i+1 {
			t.Errorf("%d: asked for it %d times, %v", i, asked, err)
		}
	}
}

// What a provider answers instead of a token is an error that says what it was, and is not asked for again where that is in
// vain.
func TestProvidersFail(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string // in the error
		away   bool   // the provider could not be asked
	}{
		"forbidden":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no\x1b permission", http.StatusForbidden) }, "HTTP 403: no\uFFFD permission", false},
		"overloaded": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) }, "HTTP 503: service unavailable", true},
		"another time": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "4000")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "HTTP 429", true},
		"nothing": {func(http.ResponseWriter, *http.Request) {}, "", false},
		"empty":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, "", false},
		"no token": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"value":"a.b","token":"a.b"}`)
		}, "", false},
		"huge": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }, "more than", false},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"value":"`)
		}, "unexpected EOF", true},
	} {
		for source, e := range overHTTP(t, "x", c.answer) {
			e.Patience = -1
			token, from, err := oidc.Ambient(t.Context(), e, "")
			if err == nil || from != source || !strings.Contains(err.Error(), c.want) || errors.Is(err, oidc.ErrUnavailable) != c.away || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s of %s: %v, %v", name, source, token, err)
			}
		}
	}
}

// TestCanary: what opens a door is shown to nobody but the host that it is for: not to where that redirects, in whichever
// way, and not to a proxy on the way to a machine's own metadata.
func TestCanary(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("somebody else was asked %s %s %v", r.Method, r.URL, r.Header)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+r.URL.Path, status)
		})
		for source, e := range overHTTP(t, "x", redirect) {
			if _, _, err := oidc.Ambient(t.Context(), e, ""); err == nil || !strings.Contains(err.Error(), "which is not followed") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: HTTP %d: %v", source, status, err)
			}
		}
	}
	proxy, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	all := overHTTP(t, jwt(`{"iss":"https://ci","sub":"job","aud":"sigstore"}`), nil)
	e := all["google-workload-identity"]
	e.Transport = &http.Transport{Proxy: http.ProxyURL(proxy)}
	if _, _, err := oidc.Ambient(t.Context(), e, ""); err != nil {
		t.Error(err)
	}
	e = all["google-impersonate"]
	e.Transport = &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == host(e.GoogleIAM) {
			return nil, nil
		}
		return proxy, nil
	}}
	if _, _, err := oidc.Ambient(t.Context(), e, ""); err != nil {
		t.Error(err)
	}
}

// A provider that is away is asked again, for as long as the user is patient, and when it says that it will be back.
func TestPatience(t *testing.T) {
	raw := jwt(`{"iss":"https://ci","sub":"job","aud":"sigstore"}`)
	asked, wait := 0, ""
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", wait)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"value":"`+raw+`"}`)
	}))
	defer github.Close()
	for _, c := range []struct {
		wait     string
		patience time.Duration
		asked    int
		pause    time.Duration // that was told; 0: none
		want     string        // in the error; empty: none
	}{
		{"", 0, 2, time.Second, ""},
		{"0", 0, 2, time.Second, ""},
		{"1", time.Minute, 2, time.Second, ""},
		{"3600", time.Minute, 1, 0, "it asks to come back in 1h0m0s, which is too late"},
		{"99999999999999999999999", 0, 1, 0, "in 24h0m0s"},
		{"Thu, 01 Jan 1970 00:00:00 GMT", -1, 1, 0, "HTTP 503"},
		{"", -1, 1, 0, "HTTP 503"},
	} {
		asked, wait = 0, c.wait
		e := vars("ACTIONS_ID_TOKEN_REQUEST_URL", github.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary")
		var told time.Duration
		e.Patience, e.Notify = c.patience, func(err error, pause time.Duration) {
			if told = pause; !errors.Is(err, oidc.ErrUnavailable) {
				t.Errorf("told of %v", err)
			}
		}
		_, _, err := oidc.Ambient(t.Context(), e, "")
		if asked != c.asked || told != c.pause || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %s: asked %d times, paused %s, %v", c.wait, c.patience, asked, told, err)
		}
	}
}

// Whose job it is without a token is told what to do about it.
func TestLacks(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for want, e := range map[string]*oidc.Environment{
		"permissions: {id-token: write}":                         vars("GITHUB_ACTIONS", "true"),
		"id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}":        vars("GITLAB_CI", "true"),
		"pass BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID": vars("BUILDKITE", "true"),
		"circleci, which gets its tokens: it is not on PATH":     vars("CIRCLECI", "true"),
		"the audience sigstore at /var/run/sigstore":             vars("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
		"nothing here may impersonate that account":              vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b"),
	} {
		if _, _, err := oidc.Ambient(t.Context(), e, ""); !errors.Is(err, oidc.ErrNone) || strings.Count(err.Error(), "; ") != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		lacking := 0
		for _, f := range oidc.Look(t.Context(), e) {
			if f.Lacks != "" {
				lacking++
			}
		}
		if lacking != 1 {
			t.Errorf("%s: %d sources lack something", want, lacking)
		}
	}
}

// workloadAPI serves the SPIFFE Workload API's one call on a socket.
func workloadAPI(t *testing.T, token, status string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	bytesField := func(n byte, v string) string {
		return string(append(binary.AppendUvarint([]byte{n<<3 | 2}, uint64(len(v))), v...))
	}
	server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.URL.Path != "/SpiffeWorkloadAPI/FetchJWTSVID" || req.Header.Get("Workload.spiffe.io") != "true" || string(body) != "\x00\x00\x00\x00\x0a"+bytesField(1, "sigstore") {
			t.Errorf("asked %s %v %q", req.URL, req.Header, body)
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		if status == "0" {
			m := bytesField(1, bytesField(1, "spiffe://td/job")+bytesField(2, token))
			_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...))
		}
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", "no identity issued")
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return path
}
