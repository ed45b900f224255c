package issuer

import (
	"net/http"
)

// metadata is the discovery document (OpenID Connect Discovery 3, RFC 8414 2).
type metadata struct {
	Issuer                 string   `json:"issuer"`
	AuthorizationEndpoint  string   `json:"authorization_endpoint"`
	TokenEndpoint          string   `json:"token_endpoint"`
	KeysURI                string   `json:"jwks_uri"`
	DeviceEndpoint         string   `json:"device_authorization_endpoint"`
	ResponseTypes          []string `json:"response_types_supported"`
	ResponseModes          []string `json:"response_modes_supported"`
	GrantTypes             []string `json:"grant_types_supported"`
	SubjectTypes           []string `json:"subject_types_supported"`
	SigningAlgorithms      []string `json:"id_token_signing_alg_values_supported"`
	Scopes                 []string `json:"scopes_supported"`
	Claims                 []string `json:"claims_supported"`
	ChallengeMethods       []string `json:"code_challenge_methods_supported"`
	AuthenticationMethods  []string `json:"token_endpoint_auth_methods_supported"`
	NamesIssuer            bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter        bool     `json:"claims_parameter_supported"`
	RequestParameter       bool     `json:"request_parameter_supported"`
	RequestURIParameter    bool     `json:"request_uri_parameter_supported"`
	RequireURIRegistration bool     `json:"require_request_uri_registration"`
}

const (
	grantCode   = "authorization_code"
	grantDevice = "urn:ietf:params:oauth:grant-type:device_code"
	grantClient = "client_credentials"
)

// discovery answers /.well-known/openid-configuration. Everything in it is public, so pages of any origin may read it.
func (s *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	at := func(path string) string { return s.cfg.URL + path }
	grants := []string{grantCode, grantDevice}
	if hasMachines(s.cfg.Clients) {
		grants = append(grants, grantClient)
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, metadata{
		Issuer:                s.cfg.URL,
		AuthorizationEndpoint: at("/auth"),
		TokenEndpoint:         at("/token"),
		KeysURI:               at("/keys"),
		DeviceEndpoint:        at("/device/code"),
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query"},
		GrantTypes:            grants,
		SubjectTypes:          []string{"public"},
		SigningAlgorithms:     []string{"RS256"},
		Scopes:                scopes,
		Claims:                []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "jti", "email", "email_verified", "federated_claims"},
		ChallengeMethods:      []string{"S256"},
		AuthenticationMethods: []string{"none", "client_secret_basic", "client_secret_post"},
		NamesIssuer:           true,
	})
}

// keys answers /keys. The time it may be kept is far below Config.RotationLead's default.
func (s *Issuer) keys(w http.ResponseWriter, r *http.Request) {
	set, err := s.Keys(r.Context())
	if err != nil {
		s.log.ErrorContext(r.Context(), "no keys to publish", "error", err)
		writeJSON(w, http.StatusServiceUnavailable, oauthError{Code: "temporarily_unavailable", Description: "there are no keys"})
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, set)
}
