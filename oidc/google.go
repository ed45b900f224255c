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
	if e.env("GCE_METADATA_HOST") != "" {
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
	text, err := e.fetch().text(ctx, c)
	return string(text), err
}

const accountVariable = "GOOGLE_SERVICE_ACCOUNT_NAME"

func lookImpersonation(e *Environment) (string, bool) {
	return "the variable " + accountVariable + " on a machine of Google's", e.env(accountVariable) != "" && onGoogle(e)
}

// iamEndpoint is Google's service that gives out tokens of other service accounts.
const iamEndpoint = "https://iamcredentials.googleapis.com"

func getImpersonation(ctx context.Context, e *Environment) (string, error) {
	c, err := metadata(e, "token", nil)
	if err != nil {
		return "", err
	}
	f := e.fetch()
	var access struct {
		Token string `json:"access_token"`
	}
	if err := f.do(ctx, c, &access); err != nil {
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
	err = f.do(ctx, call{
		method: http.MethodPost, body: string(body), contentType: "application/json",
		url:    strings.TrimRight(base, "/") + "/v1/projects/-/serviceAccounts/" + url.PathEscape(e.env(accountVariable)) + ":generateIdToken",
		header: map[string]string{"Authorization": "Bearer " + access.Token},
	}, &answer)
	if err == nil && answer.Token == "" {
		err = errors.New("the answer holds no token")
	}
	return answer.Token, err
}
