package access

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/go-containerregistry/pkg/authn"
)

// maxConfig bounds a file of credentials. A thousand registries with long tokens take less.
const maxConfig = 4 << 20

// config is a file of credentials: Docker's config.json, Podman's auth.json (containers-auth.json(5)) and the value of a
// Kubernetes secret of the type kubernetes.io/dockerconfigjson have the same form. Other members are for other programs.
type config struct {
	Auths   map[string]entry  `json:"auths"`
	Helpers map[string]string `json:"credHelpers"` // host -> NAME of the program docker-credential-NAME
	Store   string            `json:"credsStore"`  // NAME for all other hosts
}

// entry is what is stored for one registry, or one repository and what is below it.
type entry struct {
	Auth          string `json:"auth"` // base64 of user:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"` // to be exchanged for a token of the registry
	RegistryToken string `json:"registrytoken"` // to be sent as it is
}

// parseConfig reads a file of credentials. Its errors quote nothing of the content.
func parseConfig(data []byte) (*config, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("it has %d bytes, the limit is %d", len(data), maxConfig)
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		// The decoder's text may quote a value.
		var syntax *json.SemanticError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("not a file of registry credentials: at byte %d something has another type than expected", syntax.ByteOffset)
		}
		return nil, errors.New("not a file of registry credentials: it is not valid JSON, or names a member twice")
	}
	programs := slices.Concat(slices.Collect(maps.Values(c.Helpers)), []string{c.Store})
	for _, name := range programs {
		if err := checkHelper(name); name != "" && err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// credential decodes an entry; false when it is empty, as Docker leaves it where a program keeps the secret.
func (e *entry) credential() (authn.AuthConfig, bool, error) {
	cred := authn.AuthConfig{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" {
		user, password, err := decodeAuth(e.Auth)
		if err != nil {
			return cred, false, err
		}
		cred.Username, cred.Password = user, password
	}
	if cred.IdentityToken != "" {
		cred.Password = "" // the user name is a placeholder then
	}
	return cred, cred != authn.AuthConfig{}, nil
}

// decodeAuth reads the member auth: base64 of "user:password", padded or not; Docker strips NUL bytes at the end.
func decodeAuth(auth string) (user, password string, err error) {
	text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(auth), "="))
	if err != nil {
		return "", "", errors.New("its auth is not base64")
	}
	user, password, ok := strings.Cut(string(text), ":")
	if !ok || user == "" {
		return "", "", errors.New("its auth is not the base64 of user:password")
	}
	return user, strings.TrimRight(password, "\x00"), nil
}

// hub is Docker's own registry in the names of images; index is what Docker calls it in files and to programs.
const (
	hub   = "docker.io"
	index = "https://index.docker.io/v1/"
)

// canonical brings a key of a file and the name of a repository to one form: host[/path], without scheme, and without the
// path of the API. A key with a scheme is about its host, whatever its path.
func canonical(key string) string {
	rest, scheme := key, false
	for _, prefix := range []string{"https://", "http://"} {
		if cut, ok := strings.CutPrefix(key, prefix); ok {
			rest, scheme = cut, true
		}
	}
	host, path, _ := strings.Cut(rest, "/")
	path = strings.Trim(path, "/")
	if scheme || path == "v1" || path == "v2" {
		path = ""
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		host = hub
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

// scopes are the keys that apply to a repository, the most specific first: host/a/b, host/a, host.
func scopes(repository string) []string {
	name := canonical(repository)
	list := []string{name}
	for {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return list
		}
		name = name[:i]
		list = append(list, name)
	}
}

// lookup returns the key that is about a scope; the exact key comes before one that only means the same.
func lookup[T any](all map[string]T, scope string) (key string, value T, ok bool) {
	if value, ok = all[scope]; ok {
		return scope, value, true
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if canonical(key) == scope {
			return key, all[key], true
		}
	}
	return "", value, false
}
