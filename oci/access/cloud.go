package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// cloudTime is how long a cloud may take to answer. Its metadata service is beside the machine; elsewhere nobody answers.
	cloudTime = 5 * time.Second
	// maxCloud bounds its answer, which is one token.
	maxCloud = 256 << 10
)

// provider is a cloud, the registries that are its own, and how to get a credential for them. A credential is asked for only
// for these hosts, and handed to no other.
type provider struct {
	name     string
	hosts    string   // a pattern
	programs []string // docker-credential programs, tried in this order
	ask      func(k *Keychain, ctx context.Context, host string) (authn.AuthConfig, error)
	asked    string // what ask asks
}

// providers are the clouds of cosign's --k8s-keychain.
var providers = []provider{
	{
		"Google", `^((.+\.)?gcr\.io|.+-docker\.pkg\.dev)$`,
		[]string{"gcr", "gcloud"},
		(*Keychain).google, "the machine's service account",
	},
	{
		"Amazon", `^(\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)|public\.ecr\.aws)$`,
		[]string{"ecr-login"},
		nil, "",
	},
	{
		"Azure", `^[a-z0-9-]+(\.[a-z0-9-]+)?\.azurecr\.(io|cn|us)$`,
		[]string{"acr-env"},
		(*Keychain).azure, "the workload or managed identity",
	},
	{"Alibaba", `^.+\.aliyuncs\.com$`, []string{"acr-helper"}, nil, ""},
	{"GitHub", `^ghcr\.io$`, nil, (*Keychain).github, "the variable GITHUB_TOKEN"},
}

// cloud asks the cloud that a repository's host belongs to. That it has none is not an error, since most images are public;
// tried says what was asked and what it said.
func (k *Keychain) cloud(ctx context.Context, repository string) (found *Credential, tried []string) {
	host, _, _ := strings.Cut(repository, "/")
	for _, p := range providers {
		if found, err := regexp.MatchString(p.hosts, host); !found || err != nil {
			continue
		}
		for _, program := range p.programs {
			name := "docker-credential-" + program
			if _, err := exec.LookPath(name); err != nil {
				tried = append(tried, name+" (not installed)")
				continue
			}
			config, err := askHelper(ctx, program, host)
			if err == nil {
				return &Credential{config, "the program " + name + ", for registries of " + p.name}, nil
			}
			tried = append(tried, fmt.Sprintf("%s (%v)", name, err))
		}
		if p.ask == nil {
			continue
		}
		config, err := p.ask(k, ctx, host)
		if err == nil {
			return &Credential{config, p.asked + ", for registries of " + p.name}, nil
		}
		tried = append(tried, fmt.Sprintf("%s (%v)", p.asked, err))
	}
	return nil, tried
}

func (k *Keychain) env(name string) string {
	v, _ := k.options.LookupEnv(name)
	return v
}

// github gives the job's token to GitHub's own registry, under the name of who started it.
func (k *Keychain) github(_ context.Context, _ string) (authn.AuthConfig, error) {
	token, actor := k.env("GITHUB_TOKEN"), k.env("GITHUB_ACTOR")
	if token == "" {
		return authn.AuthConfig{}, errors.New("not set")
	}
	if actor == "" {
		actor = "token" // the registry looks at the token only
	}
	return authn.AuthConfig{Username: actor, Password: token}, nil
}

// google asks the metadata service of a machine at Google for a token of its service account.
func (k *Keychain) google(ctx context.Context, _ string) (authn.AuthConfig, error) {
	host := k.env("GCE_METADATA_HOST")
	if host == "" {
		host = "metadata.google.internal"
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	at := url.URL{Scheme: "http", Host: host, Path: "/computeMetadata/v1/instance/service-accounts/default/token"}
	header, err := k.call(ctx, call{url: at.String(), header: [2]string{"Metadata-Flavor", "Google"}}, &token)
	if err == nil && (header.Get("Metadata-Flavor") != "Google" || token.AccessToken == "") {
		err = errors.New("what answers is not Google's metadata service")
	}
	return authn.AuthConfig{Username: "oauth2accesstoken", Password: token.AccessToken}, err
}

// azure exchanges the workload's or the machine's identity for a refresh token of the registry (ACR, "AAD-OAuth").
func (k *Keychain) azure(ctx context.Context, host string) (authn.AuthConfig, error) {
	access, err := k.azureToken(ctx)
	if err != nil {
		return authn.AuthConfig{}, err
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {access}}
	if tenant := k.env("AZURE_TENANT_ID"); tenant != "" {
		form.Set("tenant", tenant)
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if _, err = k.call(ctx, call{url: "https://" + host + "/oauth2/exchange", form: form}, &answer); err == nil && answer.RefreshToken == "" {
		err = errors.New("the registry gave no token in exchange")
	}
	return authn.AuthConfig{Username: "00000000-0000-0000-0000-000000000000", IdentityToken: answer.RefreshToken}, err
}

// azureToken gets a token of Azure's directory: for a federated token or a client's secret, else from the machine.
func (k *Keychain) azureToken(ctx context.Context) (string, error) {
	const resource = "https://management.azure.com/"
	client, tenant := k.env("AZURE_CLIENT_ID"), k.env("AZURE_TENANT_ID")
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "scope": {resource + ".default"}}
	request := call{form: form}
	switch file, secret := k.env("AZURE_FEDERATED_TOKEN_FILE"), k.env("AZURE_CLIENT_SECRET"); {
	case client != "" && tenant != "" && file != "":
		assertion, err := readFile(file, maxCloud)
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", strings.TrimSpace(string(assertion)))
	case client != "" && tenant != "" && secret != "":
		form.Set("client_secret", secret)
	default:
		query := url.Values{"api-version": {"2018-02-01"}, "resource": {resource}}
		if client != "" {
			query.Set("client_id", client)
		}
		request = call{url: "http://169.254.169.254/metadata/identity/oauth2/token?" + query.Encode(), header: [2]string{"Metadata", "true"}}
	}
	if request.form != nil {
		authority := k.env("AZURE_AUTHORITY_HOST")
		if authority == "" {
			authority = "https://login.microsoftonline.com/"
		}
		if !strings.HasPrefix(authority, "https://") {
			return "", errors.New("AZURE_AUTHORITY_HOST does not begin with https://")
		}
		request.url = strings.TrimSuffix(authority, "/") + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/token"
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if _, err := k.call(ctx, request, &token); err != nil {
		return "", err
	}
	if token.AccessToken == "" {
		return "", errors.New("the answer has no token")
	}
	return token.AccessToken, nil
}

// call is a question to a cloud: a GET, or with a form a POST.
type call struct {
	url    string
	header [2]string
	form   url.Values
}

// call asks, follows no redirect, and repeats nothing of an answer, which may hold a token.
func (k *Keychain) call(ctx context.Context, q call, into any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, cloudTime)
	defer cancel()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if q.form != nil {
		method, body = http.MethodPost, strings.NewReader(q.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, q.url, body)
	if err != nil {
		return nil, errors.New("its address cannot be read")
	}
	if q.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if q.header[0] != "" {
		req.Header.Set(q.header[0], q.header[1])
	}
	resp, err := k.options.Transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s does not answer: %s", req.URL.Host, plainText(err.Error()))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", req.URL.Host, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxCloud))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s was cut off", req.URL.Host)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return nil, fmt.Errorf("the answer of %s is not the JSON of a token", req.URL.Host)
	}
	return resp.Header, nil
}
