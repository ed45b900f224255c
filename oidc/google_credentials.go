package oidc

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/pipe"
)

// Google's application default credentials (AIP-4110): away from Google's machines, a file says who may impersonate an
// account. It is that of a person (gcloud auth application-default login), a key of a service account (AIP-4112), or says where
// the token of another provider lies that Google takes for one of its own (AIP-4117).

const (
	credentialsVariable = "GOOGLE_APPLICATION_CREDENTIALS"
	// maxCredentials bounds the file: a key of 4,096 bits and a few names have 4 KiB.
	maxCredentials = 64 << 10
	// cloudPlatform is the scope that impersonation needs.
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
	googleToken   = "https://oauth2.googleapis.com/token"
)

// credentials is such a file, as far as it is used.
type credentials struct {
	Type string `json:"type"`
	// Of a person.
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
	// Of a service account.
	Email string `json:"client_email"`
	Key   string `json:"private_key"` // PEM, PKCS #8 or #1
	KeyID string `json:"private_key_id"`
	Token string `json:"token_uri"`

	federated
}

// credentialsFile is the file that there is, or empty.
func credentialsFile(e *Environment) string {
	if name := e.env(credentialsVariable); name != "" {
		return name // and say what is wrong with it when it is used
	}
	dir := e.env("CLOUDSDK_CONFIG")
	if dir == "" && e.env("HOME") != "" {
		dir = filepath.Join(e.env("HOME"), ".config", "gcloud")
	}
	name := filepath.Join(dir, "application_default_credentials.json")
	if _, err := os.Stat(name); dir == "" || err != nil {
		return ""
	}
	return name
}

// googleAccess returns a token for Google's services, by the file of credentials or else the machine's own.
func googleAccess(ctx context.Context, e *Environment) (string, error) {
	name := credentialsFile(e)
	if name == "" {
		c, err := metadata(e, "token", nil)
		if err != nil {
			return "", err
		}
		return accessToken(ctx, e.within(), c)
	}
	read, err := readCredentials(ctx, name)
	if err != nil {
		return "", err
	}
	if read.Type == "external_account" {
		token, err := read.federated.access(ctx, e)
		if err != nil {
			err = fmt.Errorf("%s: %w", clean(name), err)
		}
		return token, err
	}
	form, address, err := read.ask(time.Now())
	if err != nil {
		return "", fmt.Errorf("%s: %w", clean(name), err)
	}
	return accessToken(ctx, e.fetch(), posted(address, form))
}

func posted(address string, form url.Values) call {
	return call{method: http.MethodPost, url: address, body: form.Encode(), contentType: "application/x-www-form-urlencoded"}
}

func accessToken(ctx context.Context, f *fetcher, c call) (string, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	err := f.do(ctx, c, &answer)
	if err == nil && answer.Token == "" {
		err = fmt.Errorf("%s: the answer holds no access token", where(c.url))
	}
	return answer.Token, err
}

func readCredentials(ctx context.Context, name string) (*credentials, error) {
	data, err := readCredentialsFile(ctx, name)
	if err != nil {
		return nil, err
	}
	c := new(credentials)
	if json.NewDecoder(bytes.NewReader(data)).Decode(c) != nil {
		return nil, fmt.Errorf("%s does not hold credentials of Google's", clean(name))
	}
	return c, nil
}

func readCredentialsFile(ctx context.Context, name string) ([]byte, error) {
	f, err := pipe.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err == nil && len(data) > maxCredentials {
		err = fmt.Errorf("%s has more than %d bytes", clean(name), maxCredentials)
	}
	return data, err
}

// ask is what the token endpoint is asked, and its address.
func (c *credentials) ask(now time.Time) (url.Values, string, error) {
	switch c.Type {
	case "authorized_user":
		if c.ClientID == "" || c.RefreshToken == "" {
			return nil, "", errors.New("it lacks a client_id or a refresh_token")
		}
		return url.Values{
			"grant_type": {"refresh_token"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}, "refresh_token": {c.RefreshToken},
		}, c.endpoint(), ofGoogle("token_uri", c.endpoint())
	case "service_account":
		assertion, err := c.assertion(now)
		if err != nil {
			return nil, "", err
		}
		return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}, c.endpoint(), ofGoogle("token_uri", c.endpoint())
	}
	return nil, "", fmt.Errorf("credentials of the type %q are not supported; authorized_user, service_account and external_account are", clean(c.Type))
}

func (c *credentials) endpoint() string {
	if c.Token == "" {
		return googleToken
	}
	return c.Token
}

// ofGoogle refuses a file that would send its secret to somebody other than Google.
func ofGoogle(field, address string) error {
	if err := private(address); err != nil {
		return fmt.Errorf("its %s: %w", field, err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("its %s is not a URL", field)
	}
	if host := u.Hostname(); !strings.HasSuffix(host, ".googleapis.com") && !loopback(host) {
		return fmt.Errorf("its %s is %s, not an address of Google's", field, where(address))
	}
	return nil
}

// assertion says that the bearer is the service account (RFC 7523 2.1).
func (c *credentials) assertion(now time.Time) (string, error) {
	block, _ := pem.Decode([]byte(c.Key))
	if c.Email == "" || block == nil {
		return "", errors.New("it lacks a client_email or a private_key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return "", errors.New("its private_key is not an RSA key")
	}
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": c.KeyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": c.Email, "scope": cloudPlatform, "aud": c.endpoint(), "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	part := base64.RawURLEncoding.EncodeToString
	signed := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return signed + "." + part(signature), nil
}
