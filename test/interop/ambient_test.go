package interop

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// surroundings are those of jobs and workloads: an issuer for each kind, whose tokens an authority takes, and the endpoint
// that hands them out, as the real one does.
type surroundings struct {
	t   *testing.T
	key *rsa.PrivateKey
	url string // issuers lie below
}

const trustDomain = "bulla.test"

// jobs are what the tokens say, by the issuer's name.
var jobs = map[string]map[string]any{
	"spiffe": {"sub": "spiffe://" + trustDomain + "/job"},
	"github": {
		"sub": "repo:o/r:ref:refs/heads/main", "event_name": "push", "sha": strings.Repeat("a", 40), "workflow": "release", "repository": "o/r",
		"ref": "refs/heads/main", "job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "job_workflow_sha": strings.Repeat("a", 40),
		"runner_environment": "github-hosted", "repository_id": "1", "repository_owner": "o", "repository_owner_id": "2", "repository_visibility": "public",
		"workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "workflow_sha": strings.Repeat("a", 40), "run_id": "3", "run_attempt": "1",
	},
	"google": {"sub": "1234", "email": "ci@p.iam.gserviceaccount.com", "email_verified": true, "azp": "1234"},
	"buildkite": {
		"sub": "organization:o:pipeline:p:ref:refs/heads/main:commit:c:step:", "organization_slug": "o", "pipeline_slug": "p", "build_number": 1,
		"build_branch": "main", "build_commit": strings.Repeat("a", 40), "build_source": "ui", "step_key": "", "job_id": "job-1", "agent_id": "a", "runner_environment": "self-hosted",
	},
}

func newSurroundings(t *testing.T) *surroundings {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &surroundings{t: t, key: key}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return s
}

func (s *surroundings) keys() map[string]any {
	part := base64.RawURLEncoding.EncodeToString
	return map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": part(s.key.N.Bytes()), "e": part(big.NewInt(int64(s.key.E)).Bytes()),
	}}}
}

// token is one of the issuer for the audience.
func (s *surroundings) token(issuer, audience string) string {
	now := time.Now()
	claims := map[string]any{"iss": s.url + "/" + issuer, "aud": audience, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
	for name, value := range jobs[issuer] {
		claims[name] = value
	}
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			s.t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := part(map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		s.t.Error(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// ServeHTTP is the issuers, GitHub's endpoint for the tokens of a job, the API of Buildkite's agents, and the metadata server of
// a machine of Google's.
func (s *surroundings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	issuer, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var v any
	switch {
	case path == ".well-known/openid-configuration":
		own := s.url + "/" + issuer
		v = map[string]any{
			"issuer": own, "jwks_uri": own + "/keys", "authorization_endpoint": own + "/auth", "token_endpoint": own + "/token",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}
	case path == "keys":
		v = s.keys()
	case r.URL.Path == "/github/token" && r.Method == http.MethodGet && r.URL.Query().Get("api-version") == "2" &&
		strings.EqualFold(r.Header.Get("Authorization"), "Bearer canary"):
		v = map[string]any{"value": s.token("github", r.URL.Query().Get("audience")), "count": 1}
	case r.URL.Path == "/buildkite/v3/jobs/job-1/oidc/tokens" && r.Method == http.MethodPost && r.Header.Get("Authorization") == "Token canary":
		var body struct{ Audience string }
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&body); err != nil {
			s.t.Errorf("Buildkite's agent was asked for something else: %v", err)
		}
		v = map[string]any{"token": s.token("buildkite", body.Audience)}
	case strings.HasPrefix(r.URL.Path, "/computeMetadata/") && r.Header.Get("Metadata-Flavor") == "Google":
		w.Header().Set("Metadata-Flavor", "Google")
		switch {
		case strings.HasSuffix(r.URL.Path, "/service-accounts/default/identity") && r.URL.Query().Get("format") == "full":
			_, _ = io.WriteString(w, s.token("google", r.URL.Query().Get("audience")))
		default: // what else Google's own client wants to know
			http.NotFound(w, r)
		}
		return
	default:
		s.t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

// wire is a message of protocol buffers as it is.
type wire struct{}

func (wire) Name() string                  { return "proto" }
func (wire) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (wire) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

// field is one of bytes.
func field(number byte, value string) string {
	return string(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value)))) + value
}

// workloadAPI serves the SPIFFE Workload API with the gRPC library that SPIRE's agent serves it with, and returns the path of its socket.
func (s *surroundings) workloadAPI() string {
	dir, err := os.MkdirTemp("", "api") // the path of a socket has some hundred bytes at most
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(wire{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if m, _ := metadata.FromIncomingContext(stream.Context()); len(m.Get("workload.spiffe.io")) != 1 || m.Get("workload.spiffe.io")[0] != "true" {
			return status.Error(codes.InvalidArgument, "security header missing from request")
		}
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		switch method, _ := grpc.MethodFromServerStream(stream); method {
		case "/SpiffeWorkloadAPI/FetchJWTSVID":
			if string(request) != field(1, "sigstore") {
				return status.Errorf(codes.InvalidArgument, "audience %q", request)
			}
			answer := []byte(field(1, field(1, "spiffe://"+trustDomain+"/job")+field(2, s.token("spiffe", "sigstore"))))
			return stream.SendMsg(&answer)
		case "/SpiffeWorkloadAPI/FetchJWTBundles": // which SPIFFE's own client watches
			keys, err := json.Marshal(s.keys())
			if err != nil {
				return err
			}
			answer := []byte(field(1, field(1, "spiffe://"+trustDomain)+field(2, string(keys))))
			if err := stream.SendMsg(&answer); err != nil {
				return err
			}
			<-stream.Context().Done()
			return context.Canceled
		default:
			return status.Error(codes.Unimplemented, method)
		}
	}))
	go func() { _ = server.Serve(listener) }() // ends when it is stopped
	s.t.Cleanup(server.Stop)
	return path
}

// TestAmbientTokens has cosign and bulla sign in the same surroundings, one after the other: what hands out tokens there is
// real enough for cosign, with the clients of Buildkite and SPIFFE themselves in it.
func TestAmbientTokens(t *testing.T) {
	t.Parallel()
	s := newSurroundings(t)
	issuer := func(name, lines string) string {
		return fmt.Sprintf("  %q:\n    issuer-url: %q\n    client-id: sigstore\n%s", s.url+"/"+name, s.url+"/"+name, lines)
	}
	in := behindProvider(t, s.url+"/spiffe", "    client-id: sigstore\n    type: spiffe\n    spiffe-trust-domain: "+trustDomain+"\n"+
		issuer("github", "    type: ci-provider\n    ci-provider: github-workflow\n")+issuer("buildkite", "    type: ci-provider\n    ci-provider: buildkite-job\n")+
		issuer("google", "    type: email\n"))
	socket := s.workloadAPI()
	for _, c := range []struct {
		name, provider, who string
		env                 []string
	}{
		{"spiffe", "spiffe", "spiffe://" + trustDomain + "/job", []string{"SPIFFE_ENDPOINT_SOCKET=" + socket}},
		{"github", "github-actions", "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main", []string{
			"ACTIONS_ID_TOKEN_REQUEST_URL=" + s.url + "/github/token?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary",
		}},
		{"buildkite", "buildkite-agent", "https://buildkite.com/o/p", []string{
			"BUILDKITE_AGENT_ACCESS_TOKEN=canary", "BUILDKITE_JOB_ID=job-1", "BUILDKITE_AGENT_ENDPOINT=" + s.url + "/buildkite/v3",
		}},
		{"google", "google-workload-identity", "ci@p.iam.gserviceaccount.com", []string{"GCE_METADATA_HOST=" + strings.TrimPrefix(s.url, "http://")}},
		{"envvar", "envvar", "spiffe://" + trustDomain + "/job", []string{"SIGSTORE_ID_TOKEN=" + s.token("spiffe", "sigstore")}},
	} {
		for _, p := range []*program{theWorld.cosign, theWorld.bulla} {
			t.Run(c.name+"/"+p.name, func(t *testing.T) {
				trusting := in.trusting(t, p).with(c.env...)
				if p == theWorld.bulla && c.name == "spiffe" { // cosign takes a path alone
					trusting = trusting.with("SPIFFE_ENDPOINT_SOCKET=unix://" + socket)
				}
				artifact, bundle := toSign(t)
				trusting.run("sign-blob", "--yes", "--oidc-provider", c.provider, "--bundle", bundle, artifact).wantOK(t)
				from := s.url + "/" + strings.Replace(c.name, "envvar", "spiffe", 1)
				trusting.run("verify-blob", "--bundle", bundle, "--certificate-identity", c.who, "--certificate-oidc-issuer", from, artifact).wantOK(t)
				trusting.run("verify-blob", "--bundle", bundle, "--certificate-identity", c.who+"x", "--certificate-oidc-issuer", from, artifact).wantRefused(t)
			})
		}
	}
}
