package oidc_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/oidc"
)

// endpoint is a provider of the surroundings: it answers what it is asked as it must be asked.
func endpoint(t *testing.T, check func(req *http.Request, body string) bool, answer string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || !check(req, string(body)) {
			t.Errorf("asked %s %s %v %s", req.Method, req.URL, req.Header, body)
			http.Error(w, "wrong", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestProviders(t *testing.T) {
	raw := jwt(`{"iss":"https://ci","sub":"job","aud":"sigstore"}`)
	github := endpoint(t, func(r *http.Request, _ string) bool {
		return r.Method == "GET" && r.URL.Query().Get("api-version") == "2" && r.URL.Query().Get("audience") == "sigstore" && r.Header.Get("Authorization") == "Bearer canary"
	}, `{"value":"`+raw+`","count":1}`)
	buildkite := endpoint(t, func(r *http.Request, body string) bool {
		return r.Method == "POST" && r.URL.Path == "/v3/jobs/job%2F1/oidc/tokens" || r.URL.EscapedPath() == "/v3/jobs/job%2F1/oidc/tokens" &&
			r.Header.Get("Authorization") == "Token canary" && body == `{"audience":"sigstore"}`
	}, `{"token":"`+raw+`"}`)
	google := endpoint(t, func(r *http.Request, _ string) bool {
		return r.Header.Get("Metadata-Flavor") == "Google" && r.URL.Path == "/computeMetadata/v1/instance/service-accounts/default/identity" &&
			r.URL.Query().Get("audience") == "sigstore" && r.URL.Query().Get("format") == "full"
	}, raw)
	metadata := endpoint(t, func(r *http.Request, _ string) bool {
		return r.Header.Get("Metadata-Flavor") == "Google" && r.URL.Path == "/computeMetadata/v1/instance/service-accounts/default/token"
	}, `{"access_token":"canary"}`)
	iam := endpoint(t, func(r *http.Request, body string) bool {
		return r.URL.Path == "/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateIdToken" && r.Header.Get("Authorization") == "Bearer canary" &&
			body == `{"audience":"sigstore","includeEmail":true}`
	}, `{"token":"`+raw+`"}`)
	host := func(address string) string { return strings.TrimPrefix(address, "http://") }
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" = 'run oidc get --claims {\"aud\":\"sigstore\"}' ] || { echo \"wrong: $*\" >&2; exit 1; }\necho " + raw + "\n"
	if err := os.WriteFile(filepath.Join(bin, "circleci"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	impersonating := vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b.iam.gserviceaccount.com", "GCE_METADATA_HOST", host(metadata))
	impersonating.GoogleIAM = iam
	for name, e := range map[string]*oidc.Environment{
		"github-actions":           vars("ACTIONS_ID_TOKEN_REQUEST_URL", github+"/token?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
		"buildkite-agent":          vars("BUILDKITE_AGENT_ACCESS_TOKEN", "canary", "BUILDKITE_JOB_ID", "job/1", "BUILDKITE_AGENT_ENDPOINT", buildkite+"/v3"),
		"circleci":                 vars("CIRCLECI", "true"),
		"google-workload-identity": vars("GCE_METADATA_HOST", host(google)),
		"google-impersonate":       impersonating,
		"spiffe":                   vars("SPIFFE_ENDPOINT_SOCKET", "unix://"+workloadAPI(t, raw, "0")),
	} {
		token, from, err := oidc.Ambient(context.Background(), e, "")
		if err != nil || token.Subject != "job" || from != name {
			t.Errorf("%s: %v from %q, %v", name, token, from, err)
		}
	}
	for name, e := range map[string]*oidc.Environment{
		"without TLS":       vars("ACTIONS_ID_TOKEN_REQUEST_URL", "http://github.example/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
		"refused":           vars("SPIFFE_ENDPOINT_SOCKET", "unix://"+workloadAPI(t, raw, "7")),
		"no socket":         vars("SPIFFE_ENDPOINT_SOCKET", "tcp://127.0.0.1:1"),
		"host with a path":  vars("GCE_METADATA_HOST", "evil.example/x"),
		"agent without TLS": vars("BUILDKITE_AGENT_ACCESS_TOKEN", "canary", "BUILDKITE_JOB_ID", "1", "BUILDKITE_AGENT_ENDPOINT", "http://agent.example"),
	} {
		if token, _, err := oidc.Ambient(context.Background(), e, ""); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %v", name, token, err)
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
