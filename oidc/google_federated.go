package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// federated are credentials of the type external_account (AIP-4117): where the token of another provider lies, and what Google
// gives for it. Tokens of AWS, and those that a program hands out, are not among them.
type federated struct {
	Audience      string `json:"audience"`
	SubjectType   string `json:"subject_token_type"`
	Exchange      string `json:"token_url"`
	Impersonation string `json:"service_account_impersonation_url"` // empty: the token serves as it is
	Source        struct {
		File    string            `json:"file"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Format  struct {
			Type  string `json:"type"` // text, also when empty, or json
			Field string `json:"subject_token_field_name"`
		} `json:"format"`
	} `json:"credential_source"`
}

// maxHeaders bounds the headers of a source; GitHub's has one.
const maxHeaders = 16

// access exchanges the other provider's token (RFC 8693 2.1) for one of Google's.
func (c *federated) access(ctx context.Context, e *Environment) (string, error) {
	if c.Audience == "" || c.SubjectType == "" {
		return "", errors.New("it lacks an audience or a subject_token_type")
	}
	if err := ofGoogle("token_url", c.Exchange); err != nil {
		return "", err
	}
	if c.Impersonation != "" {
		if err := ofGoogle("service_account_impersonation_url", c.Impersonation); err != nil {
			return "", err
		}
	}
	subject, err := c.subject(ctx, e)
	if err != nil {
		return "", err
	}
	f := e.fetch()
	token, err := accessToken(ctx, f, posted(c.Exchange, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"audience": {c.Audience}, "scope": {cloudPlatform}, "subject_token_type": {c.SubjectType}, "subject_token": {subject},
	}))
	if err != nil || c.Impersonation == "" {
		return token, err
	}
	body, err := json.Marshal(map[string]any{"scope": []string{cloudPlatform}})
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"accessToken"`
	}
	err = f.do(ctx, call{
		method: http.MethodPost, url: c.Impersonation, body: string(body), contentType: "application/json",
		header: map[string]string{"Authorization": "Bearer " + token},
	}, &answer)
	if err == nil && answer.Token == "" {
		err = fmt.Errorf("%s: the answer holds no access token", where(c.Impersonation))
	}
	return answer.Token, err
}

// subject reads the other provider's token.
func (c *federated) subject(ctx context.Context, e *Environment) (string, error) {
	var data []byte
	var err error
	from := c.Source.File
	switch {
	case from != "":
		data, err = readCredentialsFile(ctx, from)
	case c.Source.URL == "":
		return "", errors.New("its credential_source names no file and no url, which alone are supported")
	case len(c.Source.Headers) > maxHeaders:
		return "", fmt.Errorf("its credential_source has more than %d headers", maxHeaders)
	default:
		if err := private(c.Source.URL); err != nil {
			return "", fmt.Errorf("its credential_source: %w", err)
		}
		from = where(c.Source.URL)
		data, err = e.fetch().text(ctx, call{method: http.MethodGet, url: c.Source.URL, header: c.Source.Headers})
	}
	if err != nil {
		return "", err
	}
	token := string(bytes.TrimSpace(data))
	if c.Source.Format.Type == "json" {
		var fields map[string]json.RawMessage
		if json.Unmarshal(data, &fields) != nil || json.Unmarshal(fields[c.Source.Format.Field], &token) != nil {
			return "", fmt.Errorf("%s holds no field %q with a token", clean(from), clean(c.Source.Format.Field))
		}
	}
	if token == "" {
		return "", fmt.Errorf("%s holds no token", clean(from))
	}
	return token, nil
}
