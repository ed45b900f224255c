package issuerconfig_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
)

func parse(t testing.TB, text string) *issuerconfig.Config {
	t.Helper()
	cfg, err := issuerconfig.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// usual has the shape of Fulcio's own file: anchors, aliases as names, wildcards, templates.
const usual = `
define:
  - &gitlab "gitlab-pipeline"
  - &forge "forge-job"
oidc-issuers:
  https://accounts.example:
    issuer-url: https://accounts.example
    client-id: sigstore
    type: email
    issuer-claim: $.federated_claims.connector_id
    contact: ops@bulla.test
    description: "people"
  https://gitlab.example:
    client-id: sigstore
    type: ci-provider
    ci-provider: *gitlab
  https://forge.example:
    client-id: "7"
    type: ci-provider
    ci-provider: *forge
  https://token.actions.githubusercontent.com: {client-id: sigstore, type: github-workflow}
  https://spire.example: {client-id: sigstore, type: spiffe, spiffe-trust-domain: prod.example}
  https://users.example: {client-id: sigstore, type: username, subject-domain: users.example}
  https://uri.users.example: {client-id: sigstore, type: uri, subject-domain: "https://users.example"}
  http://127.0.0.1:8080/oidc: {client-id: sigstore, type: email, skip-email-verification: true, challenge-claim: email}
meta-issuers:
  https://oidc.eks.*.amazonaws.com/id/*: {client-id: sigstore, type: kubernetes}
  https://oidc.circleci.example/org/*: {client-id: sigstore, type: ci-provider, ci-provider: circleci-job}
ci-issuer-metadata:
  *forge :
    default-template-values: {url: "https://forge.example", Type: "kept"}
    extension-templates:
      build-signer-uri: "{{ .url }}/{{ .ref }}"
      source-repository-digest: sha
      run-invocation-uri: ""
    subject-alternative-name-template: "{{ .url }}/{{ .workflow }}"
`

func TestParse(t *testing.T) {
	cfg := parse(t, usual)
	issuer, ok := cfg.Lookup("https://accounts.example")
	if !ok || issuer.Type != issuerconfig.Email || issuer.ClientID != "sigstore" || strings.Join(issuer.IssuerClaim, "/") != "federated_claims/connector_id" ||
		issuer.ChallengeClaim != "email" || issuer.Contact != "ops@bulla.test" || issuer.Description != "people" {
		t.Fatalf("%+v", issuer)
	}
	issuer, _ = cfg.Lookup("https://token.actions.githubusercontent.com")
	if issuer.Type != issuerconfig.CIProvider || issuer.Provider != "github-workflow" || issuer.Declared != "github-workflow" || issuer.ChallengeClaim != "sub" {
		t.Fatalf("%+v", issuer)
	}
	issuer, ok = cfg.Lookup("https://oidc.eks.eu-central-1.amazonaws.com/id/0AB")
	if !ok || issuer.Pattern != "https://oidc.eks.*.amazonaws.com/id/*" || issuer.URL != "https://oidc.eks.eu-central-1.amazonaws.com/id/0AB" {
		t.Fatalf("%+v", issuer)
	}
	issuer, _ = cfg.Lookup("https://forge.example")
	provider, ok := cfg.Provider(issuer)
	if !ok || len(provider.Extensions) != 2 || provider.Defaults["Type"] != "kept" || issuer.ClientID != "7" {
		t.Fatalf("%+v %+v", issuer, provider)
	}
	issuer, _ = cfg.Lookup("http://127.0.0.1:8080/oidc")
	if !issuer.Loopback() || issuer.Secure() || !issuer.SkipEmailVerification {
		t.Fatalf("%+v", issuer)
	}
	if list := cfg.Issuers(); len(list) != 10 || list[0].URL != "http://127.0.0.1:8080/oidc" || list[9].URL != "https://oidc.eks.*.amazonaws.com/id/*" {
		t.Fatalf("%+v", list)
	}
}

// TestOlderSpelling reads the JSON form.
func TestOlderSpelling(t *testing.T) {
	cfg := parse(t, `{"OIDCIssuers":{"https://a.example":{"IssuerURL":"https://a.example","ClientID":"sigstore","Type":"email",
		"IssuerClaim":"$.x","SkipEmailVerification":true}},
		"MetaIssuers":{"https://*.k8s.example/*":{"ClientID":"sigstore","Type":"kubernetes"}},
		"CIIssuerMetadata":{"f":{"SubjectAlternativeNameTemplate":"{{ .a }}","ExtensionTemplates":{"GithubWorkflowSHA":"sha","BuildSignerURI":"u","SourceRepositoryVisibilityAtSigning":"v"}}}}`)
	issuer, ok := cfg.Lookup("https://a.example")
	if !ok || issuer.IssuerClaim[0] != "x" || !issuer.SkipEmailVerification {
		t.Fatalf("%+v", issuer)
	}
	provider, ok := cfg.Provider(issuerconfig.Issuer{Type: issuerconfig.CIProvider, Provider: "f"})
	if !ok || provider.Extensions["githubWorkflowSha"] == nil || provider.Extensions["buildSignerURI"] == nil || provider.Extensions["sourceRepositoryVisibilityAtSigning"] == nil {
		t.Fatalf("%+v", provider)
	}
}

// TestPatterns is the corpus of GHSA-59jp-pj84-45mr and its neighbours: what must not match a pattern.
func TestPatterns(t *testing.T) {
	cfg := parse(t, `
meta-issuers:
  https://oidc.eks.*.amazonaws.com/id/*: {client-id: sigstore, type: kubernetes}
  https://*.oic.prod-aks.azure.com/*: {client-id: sigstore, type: kubernetes}
  https://issuer.example:8443/*: {client-id: sigstore, type: kubernetes}
`)
	for _, iss := range []string{
		"https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB",
		"https://eastus.oic.prod-aks.azure.com/0a-1_B", "https://issuer.example:8443/x",
	} {
		if _, ok := cfg.Lookup(iss); !ok {
			t.Errorf("%s does not match", iss)
		}
	}
	for _, iss := range []string{
		"", "*", "https://", "https://oidc.eks.*.amazonaws.com/id/*",
		"https://oidc.eks..amazonaws.com/id/x", "https://oidc.eks.a.b.amazonaws.com/id/x", // no label, two labels
		"https://oidc.eks.a.amazonaws.com/id/", "https://oidc.eks.a.amazonaws.com/id/x/", "https://oidc.eks.a.amazonaws.com/id/x/y",
		"https://oidc.eks.a.amazonaws.com.evil.test/id/x", "https://oidc.eks.evil.test/.amazonaws.com/id/x",
		"https://oidc.eks.evil.test#.amazonaws.com/id/x", "https://oidc.eks.evil.test?.amazonaws.com/id/x",
		"https://oidc.eks.x@evil.test/.amazonaws.com/id/x", "https://oidc.eks.evil.test\\.amazonaws.com/id/x",
		"https://oidc.eks.evil.test%2f.amazonaws.com/id/x", "https://oidc.eks.evil.test%00.amazonaws.com/id/x",
		"http://localhost:3000?https://oidc.eks.a.amazonaws.com/id/x", "http://oidc.eks.a.amazonaws.com/id/x",
		"https://oidc.eks.a.amazonaws.com:443/id/x", "https://oidc.eks.a:80.amazonaws.com/id/x", "https://user@oidc.eks.a.amazonaws.com/id/x",
		"HTTPS://oidc.eks.a.amazonaws.com/id/x", "https://OIDC.eks.a.amazonaws.com/id/x",
		"https://oidc.eks.a.amazonaws.com/id/x?y=z", "https://oidc.eks.a.amazonaws.com/id/x#y", "https://oidc.eks.a.amazonaws.com/id/..",
		" https://oidc.eks.a.amazonaws.com/id/x", "https://oidc.eks.a.amazonaws.com/id/x\n", "\nhttps://oidc.eks.a.amazonaws.com/id/x",
		"https://oidc.eks.a.amazonaws.com/id/x\nhttps://evil.test", "https://oidc.eks.ä.amazonaws.com/id/x", "https://oidc.eks.a。amazonaws.com/id/x",
		"https://oidc.eks.аmazonaws.amazonaws.com/id/x", // Cyrillic
		"https://oidc.eks.a.amazonaws.com/id/" + strings.Repeat("x", 600),
		"https://evil.test/https://oidc.eks.a.amazonaws.com/id/x", "xhttps://oidc.eks.a.amazonaws.com/id/x",
		"https://a.b.oic.prod-aks.azure.com/x", "https://.oic.prod-aks.azure.com/x", "https://evil-oic.prod-aks.azure.com/x",
		"https://issuer.example/x", "https://issuer.example:84430/x", "https://issuer.example:8443.evil.test/x",
	} {
		if got, ok := cfg.Lookup(iss); ok {
			t.Errorf("%q matches %s", iss, got.Pattern)
		}
	}
}

// TestSpecific: of two patterns that match, the one with more literal characters counts, wherever it stands.
func TestSpecific(t *testing.T) {
	for range 20 {
		cfg := parse(t, `meta-issuers: {"https://*.k8s.example/*": {client-id: wide, type: kubernetes}, "https://a.k8s.example/*": {client-id: narrow, type: kubernetes}}`)
		if issuer, _ := cfg.Lookup("https://a.k8s.example/x"); issuer.ClientID != "narrow" {
			t.Fatalf("%+v", issuer)
		}
	}
}

func TestRefused(t *testing.T) {
	issuer := func(members string) string {
		return "oidc-issuers:\n  https://a.example: {client-id: sigstore, type: email" + members + "}\n"
	}
	typed := func(members string) string {
		return "oidc-issuers: {'https://a.example': {client-id: x, " + members + "}}"
	}
	meta := func(pattern string) string {
		return fmt.Sprintf("meta-issuers: {%q: {client-id: x, type: kubernetes}}", pattern)
	}
	provider := func(text string) string { return typed("type: email") + "\nci-issuer-metadata: {f: " + text + "}" }
	san := func(template string) string {
		return provider(fmt.Sprintf("{subject-alternative-name-template: %q}", template))
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":                    {"", "empty"},
		"no issuer":                {"oidc-issuers: {}", "names no issuer"},
		"not YAML":                 {"a: [", "yaml"},
		"a list":                   {"- a", "line 1"},
		"unknown section":          {issuer("") + "issuers: {}", `line 3: unknown key "issuers"`},
		"unknown key":              {issuer(", clientid: x"), `line 2: unknown key "clientid"`},
		"unknown key of old files": {`{"OIDCIssuers":{"https://a.example":{"ClientId":"x","Type":"email"}}}`, `unknown key "ClientId"`},
		"key twice":                {"oidc-issuers:\n  https://a.example: {client-id: a, client-id: b, type: email}", `"client-id" is given twice`},
		"key in both spellings":    {issuer(", ClientID: b"), "both spellings"},
		"issuer twice":             {"oidc-issuers:\n  https://a.example: {client-id: a, type: email}\n  https://a.example: {client-id: b, type: email}", "given twice"},
		"merge key":                {"define: &x {type: email}\noidc-issuers: {'https://a.example': {<<: *x, client-id: a}}", "merge keys"},
		"other URL":                {issuer(", issuer-url: https://b.example"), "differs"},
		"no client":                {"oidc-issuers: {'https://a.example': {type: email}}", "client-id is missing"},
		"no type":                  {"oidc-issuers: {'https://a.example': {client-id: x}}", "type is missing"},
		"unknown type":             {typed("type: saml"), `type "saml" is not known`},
		"bool":                     {issuer(", skip-email-verification: perhaps"), "true or false"},
		"text":                     {issuer(", contact: [a]"), "expected text"},
		"challenge":                {issuer(", challenge-claim: name"), "challenge-claim"},
		"CA certificate":           {issuer(", ca-cert: x"), "ca-cert"},
		"query":                    {"oidc-issuers: {'https://a.example?b': {client-id: x, type: email}}", "query"},
		"fragment":                 {"oidc-issuers: {'https://a.example#': {client-id: x, type: email}}", "fragment"},
		"user":                     {"oidc-issuers: {'https://u@a.example': {client-id: x, type: email}}", "user"},
		"scheme":                   {"oidc-issuers: {'ftp://a.example': {client-id: x, type: email}}", "scheme"},
		"no host":                  {"oidc-issuers: {'https:///a': {client-id: x, type: email}}", "no host"},
		"long":                     {"oidc-issuers: {'https://a.example/" + strings.Repeat("x", 600) + "': {client-id: x, type: email}}", "longer"},
		"issuer-claim of a CI":     {typed("type: github-workflow, issuer-claim: $.x"), "issuer-claim is for"},
		"claim with filter":        {issuer(", issuer-claim: '$..x'"), "$.claim.claim"},
		"claim with index":         {issuer(", issuer-claim: '$.x[0]'"), "$.claim.claim"},
		"claim without root":       {issuer(", issuer-claim: x"), "$.claim.claim"},
		"skip of a CI":             {typed("type: github-workflow, skip-email-verification: true"), "skip-email-verification is for"},
		"trust domain of email":    {issuer(", spiffe-trust-domain: x"), "spiffe-trust-domain is for"},
		"subject domain of email":  {issuer(", subject-domain: x"), "subject-domain is for"},
		"provider of email":        {issuer(", ci-provider: x"), "ci-provider is for"},
		"no trust domain":          {typed("type: spiffe"), "spiffe-trust-domain is missing"},
		"trust domain as a URL":    {typed("type: spiffe, spiffe-trust-domain: 'spiffe://x'"), "not a trust domain"},
		"no subject domain":        {typed("type: uri"), "subject-domain is missing"},
		"subject domain, no URL":   {typed("type: uri, subject-domain: a.example"), "not a URL"},
		"subject domain, scheme":   {typed("type: uri, subject-domain: 'http://a.example'"), "scheme"},
		"subject domain elsewhere": {typed("type: uri, subject-domain: 'https://a.test'"), "another domain"},
		"user domain as URL":       {typed("type: username, subject-domain: 'https://a.example'"), "bare domain"},
		"user domain elsewhere":    {typed("type: username, subject-domain: evil.test"), "another domain"},
		"unknown provider":         {typed("type: ci-provider, ci-provider: nobody"), "github-workflow"},
		"no provider":              {typed("type: ci-provider"), "ci-provider"},
		"SPIFFE family":            {"meta-issuers: {'https://*.b.example': {client-id: x, type: spiffe, spiffe-trust-domain: x}}", "one issuer"},
		"any host":                 {meta("https://*"), "two labels"},
		"any domain":               {meta("https://*.com/x"), "last two labels"},
		"any top":                  {meta("https://a.*/x"), "last two labels"},
		"part of a label":          {meta("https://a*.com/x"), "last two labels"},
		"plain":                    {meta("http://*.a.example"), "https://"},
		"wild scheme":              {meta("*://a.example"), "https://"},
		"wild port":                {meta("https://b.a.example:*/x"), "port"},
		"wild user":                {meta("https://*@b.example/"), `cannot contain '@'`},
		"wild query":               {meta("https://b.a.example/?*"), `cannot contain '?'`},
		"no wildcard":              {meta("https://b.a.example/"), "without *"},
		"empty label":              {meta("https://*..example/"), "empty label"},
		"SAN missing":              {provider("{}"), "subject-alternative-name-template"},
		"unknown extension":        {provider("{subject-alternative-name-template: x, extension-templates: {build-singer-uri: x}}"), `unknown key "build-singer-uri"`},
		"issuer templated":         {provider("{subject-alternative-name-template: x, extension-templates: {oidc-issuer: x}}"), "unknown key"},
		"subject templated":        {provider("{subject-alternative-name-template: x, extension-templates: {token-subject: x}}"), "unknown key"},
		"broken template":          {san("{{ .a"), "unclosed action"},
		"loop":                     {san("{{ range . }}x{{ end }}"), "cannot have"},
		"loop over a number":       {san("{{ range 1000000000 }}{{ end }}"), "cannot have"},
		"printf":                   {san(`{{ printf "%1000000000d" 1 }}`), `"printf"`},
		"call":                     {san(`{{ call .a }}`), `"call"`},
		"html":                     {san(`{{ .a | html }}`), `"html"`},
		"unknown function":         {san(`{{ env "HOME" }}`), "env"},
		"definition":               {san(`{{ define "x" }}{{ end }}x`), "define"},
		"recursion":                {san(`{{ template "x" }}{{ define "x" }}{{ template "x" }}{{ end }}`), ""},
		"variable":                 {san(`{{ $x := .a }}{{ $x }}`), "variables"},
		"with":                     {san(`{{ with .a }}x{{ end }}`), "cannot have"},
		"long template":            {san(strings.Repeat("x", 5000)), "longer"},
		"method":                   {san(`{{ (index . "a").String }}`), "cannot have"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := issuerconfig.Parse([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestAliasBomb: aliases of aliases must not multiply.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("define:\n  - &a0 {x: y}\n")
	for i := range 30 {
		fmt.Fprintf(&b, "  - &a%d {", i+1)
		for j := range 20 {
			fmt.Fprintf(&b, "k%d: *a%d, ", j, i)
		}
		b.WriteString("}\n")
	}
	b.WriteString("ci-issuer-metadata: *a30\n")
	if _, err := issuerconfig.Parse([]byte(b.String())); err == nil {
		t.Fatal("accepted")
	}
	if _, err := issuerconfig.Parse(make([]byte, issuerconfig.MaxBytes+1)); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Fatal(err)
	}
}

func TestNew(t *testing.T) {
	one := issuerconfig.Issuer{URL: "https://a.example", ClientID: "x", Type: "github-workflow"}
	if _, err := issuerconfig.New(one, one); err == nil {
		t.Fatal("an issuer twice")
	}
	cfg, err := issuerconfig.New(one, issuerconfig.Issuer{Pattern: "https://*.b.example", ClientID: "x", Type: issuerconfig.Email})
	if err != nil {
		t.Fatal(err)
	}
	issuer, ok := cfg.Lookup("https://x.b.example")
	if !ok || issuer.URL != "https://x.b.example" {
		t.Fatalf("%+v", issuer)
	}
	if _, ok := cfg.Provider(issuer); ok {
		t.Fatal("an e-mail issuer has a provider")
	}
}

func TestTemplate(t *testing.T) {
	claims := map[string]string{"a": "A", "e": "", "x/y": "slash"}
	for _, c := range []struct {
		source, strict, loose string // "!": an error
	}{
		{"a", "A", "A"},
		{"b", "!", "!"},
		{"e", "", ""},
		{"x{{ .a }}", "xA", "xA"},
		{"{{ .b }}", "!", "!"},
		{`{{ index . "x/y" }}`, "slash", "slash"},
		{`{{ index . "z" }}`, "!", ""},
		{`{{ if eq .a "A" }}yes{{ else }}no{{ end }}`, "yes", "yes"},
		{`{{ if eq (index . "z") "q" }}yes{{ else }}no{{ end }}`, "!", "no"},
	} {
		tmpl, err := issuerconfig.NewTemplate(c.source)
		if err != nil {
			t.Fatal(err)
		}
		for loose, want := range map[bool]string{false: c.strict, true: c.loose} {
			got, err := tmpl.Execute(claims, loose)
			if (err != nil) != (want == "!") || err == nil && got != want {
				t.Errorf("%s, loose %t: %q, %v, want %q", c.source, loose, got, err, want)
			}
		}
	}
	tmpl, err := issuerconfig.NewTemplate(strings.Repeat("{{ .a }}", 100))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Execute(map[string]string{"a": strings.Repeat("x", 100)}, false); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(usual))
	f.Add([]byte(`{"OIDCIssuers":{"https://a.example":{"ClientID":"x","Type":"email"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := issuerconfig.Parse(data)
		if err != nil {
			return
		}
		for _, issuer := range cfg.Issuers() {
			if issuer.ClientID == "" || issuer.Type == "" || issuer.ChallengeClaim == "" {
				t.Fatalf("incomplete: %+v", issuer)
			}
			if issuer.Type == issuerconfig.CIProvider {
				if _, ok := cfg.Provider(issuer); !ok {
					t.Fatalf("without provider: %+v", issuer)
				}
			}
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("{{ .url }}/{{ .a }}", "a", "b")
	f.Add(`{{ if eq (index . "a") "b" }}x{{ else }}y{{ end }}`, "a", "b")
	f.Fuzz(func(t *testing.T, source, name, value string) {
		tmpl, err := issuerconfig.NewTemplate(source)
		if err != nil {
			return
		}
		for _, loose := range []bool{false, true} {
			if got, err := tmpl.Execute(map[string]string{name: value}, loose); err == nil && len(got) > max(issuerconfig.MaxValueBytes, len(value)) {
				t.Fatalf("%d bytes", len(got))
			}
		}
	})
}

func FuzzLookup(f *testing.F) {
	cfg := parse(f, `meta-issuers: {"https://oidc.eks.*.amazonaws.com/id/*": {client-id: x, type: kubernetes}}`)
	f.Add("https://oidc.eks.a.amazonaws.com/id/x")
	f.Fuzz(func(t *testing.T, iss string) {
		issuer, ok := cfg.Lookup(iss)
		if !ok {
			return
		}
		rest, ok := strings.CutPrefix(iss, "https://oidc.eks.")
		label, id, ok2 := strings.Cut(rest, ".amazonaws.com/id/")
		if !ok || !ok2 || strings.ContainsAny(label+id, "./:@?#%\\ \n") || issuer.URL != iss {
			t.Fatalf("%q matches", iss)
		}
	})
}
