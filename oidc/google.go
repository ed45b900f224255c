package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Google: the metadata server of a virtual machine or a workload gives tokens of its service account. It is asked only
// where the machine says that it is Google's, since elsewhere its name may lead anywhere.

const metadataHost = "metadata.google.internal"

func onGoogle(e *Environment) bool {
	if e.env("GCE_METADATA_HOST") != "" || e.env("CLOUD_RUN_JOB") != "" { // whose machines do not say whose they are
		return true
	}
	name, err := os.ReadFile(e.Root + "/sys/class/dmi/id/product_name")
	return err == nil && strings.HasPrefix(string(name), "Google")
}

func lookGoogle(e *Environment) (string, bool) {
	return "a machine of Google's (or GCE_METADATA_HOST)", onGoogle(e)
}

// metadata asks the metadata server. The protocol is plain HTTP within the machine's own network.
func metadata(e *Environment, path string, query url.Values) (call, error) {
	host := e.env("GCE_METADATA_HOST")
	if host == "" {
		host = metadataHost
	}
	if strings.ContainsAny(host, "/@?#\\ ") {
		return call{}, errors.New("GCE_METADATA_HOST is not the name of a host")
	}
	u := url.URL{Scheme: "http", Host: host, Path: "/computeMetadata/v1/instance/service-accounts/default/" + path, RawQuery: query.Encode()}
	return call{method: http.MethodGet, url: u.String(), header: map[string]string{"Metadata-Flavor": "Google"}}, nil
}

func getGoogle(ctx context.Context, e *Environment) (string, error) {
	c, err := metadata(e, "identity", url.Values{"audience": {e.audience()}, "format": {"full"}})
	if err != nil {
		return "", err
	}
	text, err := e.within().text(ctx, c)
	return string(text), err
}

// within asks without a proxy, whatever the environment says: the metadata server is of the machine's own network, and
// anybody on the way could read its tokens, which are not encrypted.
func (e *Environment) within() *fetcher {
	f := e.fetch()
	from := e.Transport
	if from == nil {
		from = http.DefaultTransport
	}
	if t, ok := from.(*http.Transport); ok {
		t = t.Clone()
		t.Proxy, t.DisableKeepAlives = nil, true // nobody will close its connections
		f.client.Transport = t
	}
	return f
}

const accountVariable = "GOOGLE_SERVICE_ACCOUNT_NAME"

func lookImpersonation(e *Environment) (string, bool) {
	return "the variable " + accountVariable + ", with credentials (" + credentialsVariable + " or gcloud's) or on a machine of Google's",
		e.env(accountVariable) != "" && (onGoogle(e) || credentialsFile(e) != "")
}

func lacksImpersonation(e *Environment) string {
	if e.env(accountVariable) == "" {
		return ""
	}
	return accountVariable + " is set, and nothing here may impersonate that account: this is no machine of Google's, and " + credentialsVariable + " names no credentials"
}

// iamEndpoint is Google's service that gives out tokens of other service accounts.
const iamEndpoint = "https://iamcredentials.googleapis.com"

func getImpersonation(ctx context.Context, e *Environment) (string, error) {
	access, err := googleAccess(ctx, e)
	if err != nil {
		return "", err
	}
	base := iamEndpoint
	if e.GoogleIAM != "" {
		base = e.GoogleIAM
	}
	body, err := json.Marshal(map[string]any{"audience": e.audience(), "includeEmail": true})
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"token"`
	}
	err = e.fetch().do(ctx, call{
		method: http.MethodPost, body: string(body), contentType: "application/json",
		url:    strings.TrimRight(base, "/") + "/v1/projects/-/serviceAccounts/" + url.PathEscape(e.env(accountVariable)) + ":generateIdToken",
		header: map[string]string{"Authorization": "Bearer " + access},
	}, &answer)
	if err == nil && answer.Token == "" {
		err = errors.New("the answer holds no token")
	}
	return answer.Token, err
}
