package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// tokenPath is where the registry with tokens gives them out.
const tokenPath = "/token"

// withTokens puts a registry behind token authentication, as the distribution specification has it and all public registries
// do: the ping and what comes without a token, or with one for less, is answered by where to get one. Anybody gets any; what
// counts here is how often it is asked for. A token is its scope.
func withTokens(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenPath {
			scope := base64.RawURLEncoding.EncodeToString([]byte(strings.Join(r.URL.Query()["scope"], " ")))
			_ = json.NewEncoder(w).Encode(map[string]string{"token": "t" + scope}) // the client may have gone away
			return
		}
		repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
		need := "pull"
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			need = "push"
		}
		scope, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer t"))
		if err == nil && strings.HasPrefix(string(scope), "repository:"+repository+"/app:") && strings.Contains(string(scope), need) {
			registry.ServeHTTP(w, r)
			return
		}
		challenge := fmt.Sprintf(`Bearer realm="http://%s%s",service="bench"`, r.Host, tokenPath)
		if repository != "" {
			challenge += fmt.Sprintf(`,scope="repository:%s/app:%s"`, repository, need)
		}
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
	})
}
