package ca

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/bulla-sign/bulla/server/ca/fulciopb"
	"github.com/bulla-sign/bulla/server/httpserver"
	"google.golang.org/grpc/codes"
)

// The paths of the API.
const (
	pathSigningCert   = "/api/v2/signingCert"
	pathTrustBundle   = "/api/v2/trustBundle"
	pathConfiguration = "/api/v2/configuration"
	pathLegacyCert    = "/api/v1/signingCert"
	pathLegacyRoot    = "/api/v1/rootCert"

	typeJSON = "application/json"
	typePEM  = "application/pem-certificate-chain"
)

// Names of the APIs, which are values of a metric's label.
const (
	apiREST   = "rest"
	apiLegacy = "rest-v1"
	apiGRPC   = "grpc"
)

// Patterns lists what the service answers, as patterns of net/http with full paths.
func (s *Server) Patterns() []string {
	return []string{
		pathSigningCert, pathTrustBundle, pathConfiguration, pathLegacyCert, pathLegacyRoot,
		"/" + serviceName + "/", "/grpc.health.v1.Health/",
	}
}

// ServeHTTP answers REST and gRPC.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		s.grpc.ServeHTTP(w, r)
		return
	}
	method, handle := http.MethodGet, s.getTrustBundle
	switch r.URL.Path {
	case pathSigningCert:
		method, handle = http.MethodPost, s.postSigningCert
	case pathLegacyCert:
		method, handle = http.MethodPost, s.postLegacyCert
	case pathTrustBundle:
	case pathConfiguration:
		handle = s.getConfiguration
	case pathLegacyRoot:
		handle = s.getLegacyRoot
	default:
		fail(w, http.StatusNotFound, codes.NotFound, "there is nothing here; gRPC needs HTTP/2 and content type application/grpc")
		return
	}
	if preflight(w, r, method) {
		return
	}
	if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
		w.Header().Set("Allow", method+", OPTIONS")
		fail(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%s takes %s", r.URL.Path, method))
		return
	}
	handle(w, r)
}

func fail(w http.ResponseWriter, httpCode int, code codes.Code, message string) {
	httpserver.Status(w, httpCode, uint32(code), message)
}

// preflight lets web pages of any origin use the API, as Fulcio does: nothing here depends on cookies. It reports whether
// the request is answered.
func preflight(w http.ResponseWriter, r *http.Request, method string) bool {
	w.Header().Add("Vary", "Origin")
	if r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}
	if r.Method != http.MethodOptions {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", method)
	w.Header().Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, X-Requested-With")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// read reads a request's body and parses it.
func read(w http.ResponseWriter, r *http.Request, parse func([]byte) (*fulciopb.SigningRequest, error)) (*fulciopb.SigningRequest, error) {
	body, err := httpserver.ReadBody(w, r, MaxBody)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, fmt.Errorf("the request is longer than %d bytes", MaxBody)
	case err != nil:
		return nil, errors.New("the request could not be read")
	}
	req, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be parsed: %w", err)
	}
	return req, bearer(r, req)
}

// bearer takes the token of header Authorization. Two tokens in one request would be of two opinions who asks.
func bearer(r *http.Request, req *fulciopb.SigningRequest) error {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return nil
	}
	scheme, value, _ := strings.Cut(values[0], " ")
	value = strings.TrimSpace(value)
	switch {
	case len(values) > 1:
		return errors.New("the request has more than one header Authorization")
	case !strings.EqualFold(scheme, "Bearer") || value == "":
		return errors.New("header Authorization is not of the form: Bearer TOKEN")
	case req.Token != "" && req.Token != value:
		return errors.New("the request has two different tokens, in its body and in header Authorization")
	}
	req.Token = value
	return nil
}

func (s *Server) postSigningCert(w http.ResponseWriter, r *http.Request) {
	chain, ok := s.post(w, r, apiREST, fulciopb.ParseJSON)
	if ok {
		body, err := fulciopb.NewSigningCertificate(chain).AppendJSON(make([]byte, 0, answerSize))
		writeBody(w, body, err)
	}
}

// answerSize is that of usual answers, in bytes: a chain of three certificates has some 3 kB.
const answerSize = 4 << 10

func (s *Server) postLegacyCert(w http.ResponseWriter, r *http.Request) {
	chain, ok := s.post(w, r, apiLegacy, fulciopb.ParseLegacyJSON)
	if ok {
		writePEM(w, http.StatusCreated, chain)
	}
}

// post answers a request for a certificate, up to the form of the answer. It writes errors itself.
func (s *Server) post(w http.ResponseWriter, r *http.Request, api string, parse func([]byte) (*fulciopb.SigningRequest, error)) ([]string, bool) {
	req, err := read(w, r, parse)
	if err != nil {
		s.metrics.observe(api, refused.String(), 0)
		fail(w, http.StatusBadRequest, codes.InvalidArgument, err.Error())
		return nil, false
	}
	chain, err := s.create(r.Context(), api, req)
	if err != nil {
		why := asRefusal(err)
		if why.retry > 0 {
			httpserver.RetryAfter(w, why.retry)
		}
		httpCode, code := why.kind.codes()
		fail(w, httpCode, code, why.message)
		return nil, false
	}
	return chain, true
}

func (s *Server) getTrustBundle(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.trustBundle())
}

func (s *Server) getConfiguration(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.configuration())
}

func (s *Server) getLegacyRoot(w http.ResponseWriter, _ *http.Request) {
	writePEM(w, http.StatusOK, s.chainPEM)
}

func (s *Server) trustBundle() *fulciopb.TrustBundle {
	return &fulciopb.TrustBundle{Chains: []fulciopb.Chain{{Certificates: s.chainPEM}}}
}

func (s *Server) configuration() *fulciopb.Configuration {
	out := &fulciopb.Configuration{Issuers: []fulciopb.OIDCIssuer{}}
	for _, issuer := range s.cfg.Issuers.Issuers() {
		entry := fulciopb.OIDCIssuer{
			IssuerURL: issuer.URL, Audience: issuer.ClientID, ChallengeClaim: issuer.ChallengeClaim, IssuerType: issuer.Declared,
			SpiffeTrustDomain: issuer.TrustDomain, SubjectDomain: issuer.SubjectDomain, SkipEmailVerification: issuer.SkipEmailVerification,
		}
		if issuer.Pattern != "" {
			entry.IssuerURL, entry.WildcardIssuerURL = "", issuer.Pattern
		}
		out.Issuers = append(out.Issuers, entry)
	}
	return out
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	writeBody(w, body, err)
}

func writeBody(w http.ResponseWriter, body []byte, err error) {
	if err != nil {
		fail(w, http.StatusInternalServerError, codes.Internal, "the answer could not be written")
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // the client has gone if this fails
}

func writePEM(w http.ResponseWriter, code int, certs []string) {
	w.Header().Set("Content-Type", typePEM)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, strings.TrimSpace(strings.Join(certs, ""))) // the client has gone if this fails
}
