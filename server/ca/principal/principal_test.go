package principal_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/ca/principal"
)

// decode reads claims as package token does.
func decode(t testing.TB, text string) principal.Claims {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	c := principal.Claims{}
	if err := d.Decode(&c.All); err != nil {
		t.Fatal(err)
	}
	c.Issuer, _ = c.All["iss"].(string)
	c.Subject, _ = c.All["sub"].(string)
	return c
}

// config accepts every kind of issuer.
func config(t testing.TB) *issuerconfig.Config {
	t.Helper()
	cfg, err := issuerconfig.Parse([]byte(`
oidc-issuers:
  https://accounts.example: {client-id: sigstore, type: email}
  https://dex.example: {client-id: sigstore, type: email, issuer-claim: $.federated_claims.connector_id}
  https://entra.example: {client-id: sigstore, type: email, skip-email-verification: true}
  https://spire.example: {client-id: sigstore, type: spiffe, spiffe-trust-domain: prod.example}
  https://kubernetes.default.svc: {client-id: sigstore, type: kubernetes}
  https://accounts.uri.example: {client-id: sigstore, type: uri, subject-domain: "https://users.uri.example"}
  https://accounts.name.example: {client-id: sigstore, type: username, subject-domain: name.example}
  https://issuer.enforce.example: {client-id: sigstore, type: chainguard-identity}
  https://token.actions.githubusercontent.com: {client-id: sigstore, type: github-workflow}
  https://gitlab.com: {client-id: sigstore, type: ci-provider, ci-provider: gitlab-pipeline}
  https://gitlab.example: {client-id: sigstore, type: gitlab-pipeline}
  https://agent.buildkite.com: {client-id: sigstore, type: buildkite-job}
  https://oidc.circleci.com/org/1: {client-id: sigstore, type: circleci-job}
  https://oidc.codefresh.io: {client-id: sigstore, type: codefresh-workflow}
  https://oidc.buddyusercontent.com: {client-id: sigstore, type: buddy-pipeline}
`))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func derive(t testing.TB, cfg *issuerconfig.Config, text string) (*principal.Principal, error) {
	t.Helper()
	claims := decode(t, text)
	issuer, ok := cfg.Lookup(claims.Issuer)
	if !ok {
		t.Fatalf("no issuer %q", claims.Issuer)
	}
	provider, _ := cfg.Provider(issuer)
	return principal.New(claims, issuer, provider)
}

// The claims of tokens, in the shape in which the providers issue them.
const (
	github = `{"iss":"https://token.actions.githubusercontent.com","aud":"sigstore","sub":"repo:acme/app:ref:refs/heads/main",
		"jti":"example-id","ref":"refs/heads/main","ref_type":"branch","ref_protected":"true","sha":"4a5b6c",
		"repository":"acme/app","repository_owner":"acme","repository_id":"74","repository_owner_id":"65","repository_visibility":"private",
		"run_id":"9876543210","run_number":"10","run_attempt":"2","actor":"octocat","actor_id":"12","workflow":"release",
		"workflow_ref":"acme/app/.github/workflows/release.yml@refs/heads/main","workflow_sha":"4a5b6c","head_ref":"","base_ref":"",
		"event_name":"workflow_dispatch","job_workflow_ref":"acme/shared/.github/workflows/build.yml@refs/tags/v1","job_workflow_sha":"7d8e9f",
		"runner_environment":"github-hosted","environment":"prod","iat":1632493567,"nbf":1632492967,"exp":1632493867}`
	gitlab = `{"iss":"https://gitlab.com","aud":"sigstore","sub":"project_path:acme/app:ref_type:branch:ref:main","namespace_id":"72","namespace_path":"acme",
		"project_id":"20","project_path":"acme/app","user_id":"1","user_login":"u","user_email":"u@example.com","pipeline_id":"574","pipeline_source":"push",
		"job_id":"302","ref":"main","ref_type":"branch","ref_path":"refs/heads/main","ref_protected":"true","runner_id":1,"runner_environment":"self-hosted",
		"sha":"714a62","ci_config_ref_uri":"gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main","ci_config_sha":"714a63","project_visibility":"public"}`
	buildkite = `{"iss":"https://agent.buildkite.com","aud":"sigstore","sub":"organization:acme:pipeline:app:ref:refs/heads/main:commit:9f3182:step:build",
		"organization_slug":"acme","pipeline_slug":"app","build_number":1234567,"build_branch":"main","build_tag":null,"build_commit":"9f3182",
		"step_key":"build","job_id":"0184990a-477b","agent_id":"0184990a","build_source":"webhook","runner_environment":"self-hosted"}`
	circleci = `{"iss":"https://oidc.circleci.com/org/1","aud":"sigstore","sub":"org/1/project/2/user/3","oidc.circleci.com/project-id":"p2",
		"oidc.circleci.com/context-ids":["c"],"oidc.circleci.com/ssh-rerun":false,"oidc.circleci.com/vcs-origin":"github.com/acme/app",
		"oidc.circleci.com/vcs-ref":"refs/heads/main","oidc.circleci.com/pipeline-id":"pl","oidc.circleci.com/pipeline-definition-id":"pd",
		"oidc.circleci.com/workflow-id":"w","oidc.circleci.com/job-id":"j"}`
	codefresh = `{"iss":"https://oidc.codefresh.io","aud":"sigstore","sub":"account:1:pipeline:2:scm_repo_url:https://github.com/acme/app","account_id":"1",
		"account_name":"acme","pipeline_id":"2","pipeline_name":"p/app","workflow_id":"64f","initiator":"u","scm_user_name":"u"}`
	buddy = `{"iss":"https://oidc.buddyusercontent.com","aud":"sigstore","sub":"acme/abc123","workspace_domain":"acme","project_name":"app",
		"pipeline_id":"123456","execution_id":"exec-456","revision":"a1b2c3"}`
	kubernetes = `{"iss":"https://kubernetes.default.svc","aud":["sigstore"],"sub":"system:serviceaccount:build:signer","kubernetes.io":{"namespace":"build",
		"pod":{"name":"p","uid":"49ad"},"serviceaccount":{"name":"signer","uid":"f572"}}}`
)

func TestIdentities(t *testing.T) {
	cfg := config(t)
	for name, c := range map[string]struct {
		claims string
		san    identity.SAN
		// extensions beside issuer and subject
		extensions map[string]string
		challenges []string
	}{
		"email": {
			`{"iss":"https://accounts.example","sub":"108","email":"Alice+x@bulla.test","email_verified":"true"}`,
			identity.SAN{Kind: identity.Email, Value: "Alice+x@bulla.test"},
			nil,
			[]string{"Alice+x@bulla.test", "108"},
		},
		"federated": {
			`{"iss":"https://dex.example","sub":"Cg","email":"a@bulla.test","email_verified":true,"federated_claims":{"connector_id":"https://github.com/login/oauth","user_id":"1"}}`,
			identity.SAN{Kind: identity.Email, Value: "a@bulla.test"},
			map[string]string{"oidcIssuer": "https://github.com/login/oauth", "oidcIssuerV2": "https://github.com/login/oauth"},
			[]string{"a@bulla.test", "Cg"},
		},
		"email that nobody verified": {
			`{"iss":"https://entra.example","sub":"Cg","email":"a@bulla.test"}`,
			identity.SAN{Kind: identity.Email, Value: "a@bulla.test"},
			nil,
			[]string{"a@bulla.test", "Cg"},
		},
		"spiffe": {
			`{"iss":"https://spire.example","sub":"spiffe://prod.example/ns/build/sa/signer"}`,
			identity.SAN{Kind: identity.URI, Value: "spiffe://prod.example/ns/build/sa/signer"},
			nil,
			[]string{"spiffe://prod.example/ns/build/sa/signer"},
		},
		"kubernetes": {
			kubernetes,
			identity.SAN{Kind: identity.URI, Value: "https://kubernetes.io/namespaces/build/serviceaccounts/signer"},
			nil,
			[]string{"system:serviceaccount:build:signer"},
		},
		"uri": {
			`{"iss":"https://accounts.uri.example","sub":"https://users.uri.example/u/7"}`,
			identity.SAN{Kind: identity.URI, Value: "https://users.uri.example/u/7"},
			nil,
			[]string{"https://users.uri.example/u/7"},
		},
		"username": {
			`{"iss":"https://accounts.name.example","sub":"alice"}`,
			identity.SAN{Kind: identity.OtherName, Value: "alice!name.example"},
			nil,
			[]string{"alice"},
		},
		"chainguard": {
			`{"iss":"https://issuer.enforce.example","sub":"4cbf/8acf","email":"a@bulla.test","email_verified":true}`,
			identity.SAN{Kind: identity.URI, Value: "https://issuer.enforce.example/4cbf/8acf"},
			nil,
			[]string{"a@bulla.test", "4cbf/8acf"},
		},
		"github": {
			github,
			identity.SAN{Kind: identity.URI, Value: "https://github.com/acme/shared/.github/workflows/build.yml@refs/tags/v1"},
			map[string]string{
				"githubWorkflowTrigger": "workflow_dispatch", "githubWorkflowSha": "4a5b6c", "githubWorkflowName": "release",
				"githubWorkflowRepository": "acme/app", "githubWorkflowRef": "refs/heads/main",
				"buildSignerURI":    "https://github.com/acme/shared/.github/workflows/build.yml@refs/tags/v1",
				"buildSignerDigest": "7d8e9f", "runnerEnvironment": "github-hosted",
				"sourceRepositoryURI": "https://github.com/acme/app", "sourceRepositoryDigest": "4a5b6c", "sourceRepositoryRef": "refs/heads/main",
				"sourceRepositoryIdentifier": "74", "sourceRepositoryOwnerURI": "https://github.com/acme", "sourceRepositoryOwnerIdentifier": "65",
				"buildConfigURI":    "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main",
				"buildConfigDigest": "4a5b6c", "buildTrigger": "workflow_dispatch",
				"runInvocationURI":                    "https://github.com/acme/app/actions/runs/9876543210/attempts/2",
				"sourceRepositoryVisibilityAtSigning": "private", "deploymentEnvironment": "prod",
			},
			[]string{"repo:acme/app:ref:refs/heads/main"},
		},
		"gitlab": {
			gitlab,
			identity.SAN{Kind: identity.URI, Value: "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main"},
			gitlabExtensions("https://gitlab.com"),
			[]string{"project_path:acme/app:ref_type:branch:ref:main"},
		},
		"gitlab elsewhere": {
			strings.Replace(gitlab, "https://gitlab.com", "https://gitlab.example", 1),
			identity.SAN{Kind: identity.URI, Value: "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main"},
			gitlabExtensions("https://gitlab.example"),
			[]string{"project_path:acme/app:ref_type:branch:ref:main"},
		},
		"buildkite": {
			buildkite,
			identity.SAN{Kind: identity.URI, Value: "https://buildkite.com/acme/app"},
			map[string]string{
				"runnerEnvironment": "self-hosted", "sourceRepositoryDigest": "9f3182", "buildTrigger": "webhook",
				"runInvocationURI": "https://buildkite.com/acme/app/builds/1234567#0184990a-477b",
			},
			[]string{"organization:acme:pipeline:app:ref:refs/heads/main:commit:9f3182:step:build"},
		},
		"circleci": {
			circleci,
			identity.SAN{Kind: identity.URI, Value: "https://circleci.com/api/v2/projects/p2/pipeline-definitions/pd"},
			map[string]string{
				"buildSignerURI": "https://circleci.com/api/v2/projects/p2/pipeline-definitions/pd", "runnerEnvironment": `""`,
				"sourceRepositoryURI": "github.com/acme/app", "sourceRepositoryRef": "refs/heads/main",
				"buildConfigURI":   "https://circleci.com/api/v2/pipeline/pl/config",
				"runInvocationURI": "https://app.circleci.com//workflow/w/job/j",
			},
			[]string{"org/1/project/2/user/3"},
		},
		"codefresh": {
			codefresh,
			identity.SAN{Kind: identity.URI, Value: "https://g.codefresh.io/acme/p/app:1/2"},
			map[string]string{
				"buildSignerURI": "https://g.codefresh.io/build/64f", "buildConfigURI": "https://g.codefresh.io/api/pipelines/2",
				"runInvocationURI": "https://g.codefresh.io/build/64f",
			},
			[]string{"account:1:pipeline:2:scm_repo_url:https://github.com/acme/app"},
		},
		"buddy": {
			buddy,
			identity.SAN{Kind: identity.URI, Value: "https://app.buddy.works/acme/app/pipelines/pipeline/123456"},
			map[string]string{
				"buildSignerURI":         "https://app.buddy.works/acme/app/pipelines/pipeline/123456",
				"sourceRepositoryDigest": "a1b2c3", "sourceRepositoryOwnerURI": "https://app.buddy.works/acme",
				"runInvocationURI": "https://app.buddy.works/acme/app/pipelines/pipeline/123456/execution/exec-456",
			},
			[]string{"acme/abc123"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := derive(t, cfg, c.claims)
			if err != nil {
				t.Fatal(err)
			}
			claims := decode(t, c.claims)
			want := map[string]string{"oidcIssuer": claims.Issuer, "oidcIssuerV2": claims.Issuer, "tokenSubject": claims.Subject}
			maps.Copy(want, c.extensions)
			if p.SAN != c.san {
				t.Errorf("name %v, want %v", p.SAN, c.san)
			}
			for key := range want {
				if p.Extensions[key] != want[key] {
					t.Errorf("%s: %q, want %q", key, p.Extensions[key], want[key])
				}
			}
			if len(p.Extensions) != len(want) {
				t.Errorf("extensions %v", p.Extensions)
			}
			if strings.Join(p.Challenges, "\n") != strings.Join(c.challenges, "\n") {
				t.Errorf("challenges %q, want %q", p.Challenges, c.challenges)
			}
		})
	}
}

func gitlabExtensions(base string) map[string]string {
	return map[string]string{
		"buildSignerURI":    "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
		"buildSignerDigest": "714a63", "runnerEnvironment": "self-hosted", "sourceRepositoryURI": base + "/acme/app",
		"sourceRepositoryDigest": "714a62", "sourceRepositoryRef": "refs/heads/main", "sourceRepositoryIdentifier": "20",
		"sourceRepositoryOwnerURI": base + "/acme", "sourceRepositoryOwnerIdentifier": "72",
		"buildConfigURI":    "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
		"buildConfigDigest": "714a63", "buildTrigger": "push",
		"runInvocationURI": base + "/acme/app/-/jobs/302", "sourceRepositoryVisibilityAtSigning": "public",
	}
}

func TestRefused(t *testing.T) {
	cfg := config(t)
	mail := func(address string) string {
		return `{"iss":"https://accounts.example","sub":"1","email_verified":true,"email":` + address + `}`
	}
	spiffe := func(id string) string { return `{"iss":"https://spire.example","sub":"` + id + `"}` }
	uri := func(sub string) string { return `{"iss":"https://accounts.uri.example","sub":"` + sub + `"}` }
	for name, c := range map[string]struct{ claims, want string }{
		"no @":                      {mail(`"alice"`), "not an address"},
		"two @":                     {mail(`"a@b@c.test"`), "not an address"},
		"no domain":                 {mail(`"a@"`), "not an address"},
		"no name":                   {mail(`"@b.test"`), "not an address"},
		"dots":                      {mail(`"a@b..test"`), "proper domain"},
		"quotes":                    {mail(`"\"a b\"@b.test"`), "not an address"},
		"newline":                   {mail(`"a@b.test\n"`), "not an address"},
		"list":                      {mail(`["a@b.test"]`), "no claim email"},
		"long":                      {mail(`"` + strings.Repeat("a", 300) + `@b.test"`), "not an address"},
		"not verified, other type":  {`{"iss":"https://accounts.example","sub":"1","email":"a@b.test","email_verified":1}`, "email_verified"},
		"not verified, other text":  {`{"iss":"https://accounts.example","sub":"1","email":"a@b.test","email_verified":"True"}`, "email_verified"},
		"not federated":             {`{"iss":"https://dex.example","sub":"1","email":"a@b.test","email_verified":true}`, "$.federated_claims.connector_id"},
		"federated by a number":     {`{"iss":"https://dex.example","sub":"1","email":"a@b.test","email_verified":true,"federated_claims":{"connector_id":7}}`, "connector_id"},
		"federated, newline":        {`{"iss":"https://dex.example","sub":"1","email":"a@b.test","email_verified":true,"federated_claims":{"connector_id":"a\nb"}}`, "control"},
		"other trust domain":        {spiffe("spiffe://test.example/x"), `"test.example", this issuer is for "prod.example"`},
		"longer trust domain":       {spiffe("spiffe://prod.example.evil.test/x"), "trust domain"},
		"user in the trust domain":  {spiffe("spiffe://prod.example@evil.test/x"), "trust domain"},
		"port in the trust domain":  {spiffe("spiffe://prod.example:80/x"), "trust domain"},
		"upper case":                {spiffe("SPIFFE://prod.example/x"), "not a SPIFFE ID"},
		"dots in the path":          {spiffe("spiffe://prod.example/a/../b"), "malformed"},
		"empty segment":             {spiffe("spiffe://prod.example/a//b"), "malformed"},
		"slash at the end":          {spiffe("spiffe://prod.example/a/"), "slash"},
		"query":                     {spiffe("spiffe://prod.example/a?b"), "malformed"},
		"escape":                    {spiffe("spiffe://prod.example/a%2fb"), "malformed"},
		"https":                     {spiffe("https://prod.example/a"), "not a SPIFFE ID"},
		"no service account":        {`{"iss":"https://kubernetes.default.svc","sub":"x","kubernetes.io":{"namespace":"a"}}`, "service account"},
		"namespace with a slash":    {`{"iss":"https://kubernetes.default.svc","sub":"x","kubernetes.io":{"namespace":"a/serviceaccounts/b","serviceaccount":{"name":"c"}}}`, "not a name"},
		"account with a slash":      {`{"iss":"https://kubernetes.default.svc","sub":"x","kubernetes.io":{"namespace":"a","serviceaccount":{"name":"b/../c"}}}`, "not a name"},
		"kubernetes is a text":      {`{"iss":"https://kubernetes.default.svc","sub":"x","kubernetes.io":"a"}`, "service account"},
		"uri of another host":       {uri("https://evil.test/u/7"), "this issuer is for"},
		"uri of a subdomain":        {uri("https://x.users.uri.example/"), "this issuer is for"},
		"uri with a user":           {uri("https://users.uri.example@evil.test/"), "this issuer is for"},
		"uri with a user of it":     {uri("https://u@users.uri.example/"), "this issuer is for"},
		"uri over http":             {uri("http://users.uri.example/"), "this issuer is for"},
		"uri is an address":         {uri("a@users.uri.example"), "not a URL"},
		"user with !":               {`{"iss":"https://accounts.name.example","sub":"a!name.example"}`, "no !"},
		"user with @":               {`{"iss":"https://accounts.name.example","sub":"a@name.example"}`, "no @"},
		"github without workflow":   {strings.Replace(github, `"job_workflow_ref"`, `"x"`, 1), `no entry for key "job_workflow_ref"`},
		"github without sha":        {strings.Replace(github, `"sha"`, `"x"`, 1), `no claim "sha"`},
		"github, workflow is null":  {strings.Replace(github, `"job_workflow_ref":"acme/shared/.github/workflows/build.yml@refs/tags/v1"`, `"job_workflow_ref":null`, 1), "job_workflow_ref"},
		"github, workflow is a map": {strings.Replace(github, `"job_workflow_ref":"acme/shared/.github/workflows/build.yml@refs/tags/v1"`, `"job_workflow_ref":{"a":"b"}`, 1), "job_workflow_ref"},
		"github, control character": {strings.Replace(github, `"release"`, `"rel\u0000ease"`, 1), "control characters"},
		"github, long":              {strings.Replace(github, `"release"`, `"`+strings.Repeat("x", 5000)+`"`, 1), "longer"},
		"gitlab, user in the name":  {strings.Replace(gitlab, `"gitlab.com/acme/app//`, `"gitlab.com@evil.test/`, 1), "without a user"},
		"gitlab, empty name":        {strings.Replace(gitlab, `"gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main"`, `""`, 1), "not a URI with a host"},
		"circleci without project":  {strings.Replace(circleci, `"oidc.circleci.com/project-id"`, `"x"`, 1), `no claim "oidc.circleci.com/project-id"`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := derive(t, cfg, c.claims)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, %+v, want %q", err, p, c.want)
			}
		})
	}
}

// TestNumbers: ids that are numbers are written as ids.
func TestNumbers(t *testing.T) {
	cfg := config(t)
	for number, want := range map[string]string{
		"7": "7", "1e3": "1000", "12345678901234567890": "12345678901234567890", "7.0": "7", "7.5": "7.5", "1000000": "1000000",
	} {
		p, err := derive(t, cfg, strings.Replace(buildkite, "1234567", number, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Extensions["runInvocationURI"]; got != "https://buildkite.com/acme/app/builds/"+want+"#0184990a-477b" {
			t.Errorf("%s is written %q", number, got)
		}
	}
	if _, err := derive(t, cfg, strings.Replace(buildkite, "1234567", "1e400", 1)); err == nil {
		t.Error("1e400 is accepted")
	}
}

func FuzzPrincipal(f *testing.F) {
	cfg := config(f)
	for _, seed := range []string{github, gitlab, buildkite, circleci, codefresh, buddy, kubernetes, `{"iss":"https://accounts.example","sub":"1","email":"a@b.test","email_verified":true}`} {
		f.Add([]byte(seed))
	}
	issuers := cfg.Issuers()
	f.Fuzz(func(t *testing.T, data []byte) {
		var all map[string]any
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		if d.Decode(&all) != nil {
			return
		}
		subject, _ := all["sub"].(string)
		for _, issuer := range issuers {
			provider, _ := cfg.Provider(issuer)
			p, err := principal.New(principal.Claims{Issuer: issuer.URL, Subject: subject, All: all}, issuer, provider)
			if err != nil {
				if err.Error() == "" {
					t.Fatal("no reason")
				}
				continue
			}
			if p.SAN.Kind == 0 || p.SAN.Value == "" || p.Extensions["oidcIssuerV2"] == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// TestOptionalIssuerClaim: without the claim the issuer has vouched itself; with a bad one nobody has.
func TestOptionalIssuerClaim(t *testing.T) {
	claim := []string{"federated_claims", "connector_id"}
	if _, err := issuerconfig.New(issuerconfig.Issuer{URL: "https://own.example", ClientID: "sigstore", Type: issuerconfig.Email, IssuerClaimOptional: true}); err == nil {
		t.Error("a claim that is optional and none is taken")
	}
	cfg, err := issuerconfig.New(issuerconfig.Issuer{
		URL: "https://own.example", ClientID: "sigstore", Type: issuerconfig.Email, IssuerClaim: claim, IssuerClaimOptional: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for more, want := range map[string]string{
		``: "https://own.example",
		`,"federated_claims":{"connector_id":"https://up.example"}`: "https://up.example",
		`,"federated_claims":{"user_id":"1"}`:                       "",
		`,"federated_claims":{"connector_id":""}`:                   "",
		`,"federated_claims":{"connector_id":7}`:                    "",
		`,"federated_claims":"https://up.example"`:                  "",
		`,"federated_claims":null`:                                  "",
	} {
		p, err := derive(t, cfg, `{"iss":"https://own.example","sub":"1","email":"a@b.test","email_verified":true`+more+`}`)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is taken: %v", more, p.Extensions)
		case want != "" && (err != nil || p.Extensions["oidcIssuer"] != want || p.Extensions["oidcIssuerV2"] != want):
			t.Errorf("%s: %+v, %v", more, p, err)
		}
	}
}
