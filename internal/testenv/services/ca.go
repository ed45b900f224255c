package services

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
)

// Claims are what a token says.
type Claims map[string]any

// Token signs a token of the identity provider: for the audience sigstore, valid for ten minutes, unless claims say
// otherwise. A claim with the value nil is left out.
func (s *Services) Token(claims Claims) string {
	now := s.Now()
	all := Claims{
		"iss": s.Issuer, "aud": "sigstore", "sub": s.Subject, "email": s.Email, "email_verified": true,
		"iat": now.Unix(), "exp": now.Unix() + 600,
	}
	for name, value := range claims {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	payload, err := json.Marshal(all)
	if err != nil {
		s.t.Fatal(err)
	}
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + enc.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.tokenKey, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return signed + "." + enc.EncodeToString(append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...))
}

// bearer checks a token and returns what it says.
func (s *Services) bearer(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("the token has %d parts", len(parts))
	}
	enc := base64.RawURLEncoding
	sig, err := enc.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || len(sig) != 64 || !ecdsa.Verify(&s.tokenKey.PublicKey, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, fmt.Errorf("the token's signature is wrong")
	}
	payload, err := enc.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	if claims["iss"] != s.Issuer || claims["aud"] != "sigstore" {
		return nil, fmt.Errorf("the token is of %v for %v", claims["iss"], claims["aud"])
	}
	if exp, _ := claims["exp"].(float64); int64(exp) < s.Now().Unix() {
		return nil, fmt.Errorf("the token has expired")
	}
	return claims, nil
}

// signingCert is Fulcio's CreateSigningCertificate.
func (s *Services) signingCert(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Credentials      struct{ OIDCIdentityToken string }
		PublicKeyRequest struct {
			PublicKey         struct{ Content string }
			ProofOfPossession []byte
		}
		CertificateSigningRequest []byte
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = in.Credentials.OIDCIdentityToken
	}
	claims, err := s.bearer(token)
	if err != nil {
		refuse(w, http.StatusBadRequest, "There was an error processing the identity token: "+err.Error())
		return
	}
	challenge, san := claims["sub"], identity.SAN{Kind: identity.URI, Value: fmt.Sprint(claims["sub"])}
	if claims["email"] != nil {
		challenge, san = claims["email"], identity.SAN{Kind: identity.Email, Value: fmt.Sprint(claims["email"])}
	}
	var pub crypto.PublicKey
	if in.CertificateSigningRequest != nil {
		pub, err = requestKey(in.CertificateSigningRequest)
	} else {
		pub, err = possessed(in.PublicKeyRequest.PublicKey.Content, fmt.Sprint(challenge), in.PublicKeyRequest.ProofOfPossession)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	leaf := mint.LeafOptions{
		Public: pub, SANs: []identity.SAN{san}, Issuer: s.Issuer, NotBefore: s.Now().UTC().Truncate(1e9),
		CTLogs: []*mint.CTLog{s.World.CTLog},
	}
	if s.Leaf != nil {
		s.Leaf(&leaf)
	}
	chain := [][]byte{s.World.CA.Issue(s.t, leaf), s.World.CA.Intermediate.Raw, s.World.CA.Root.Raw}
	var pems []string
	for _, der := range chain {
		pems = append(pems, string(mint.PEM(der)))
	}
	reply(w, http.StatusOK, object{"signedCertificateEmbeddedSct": object{"chain": object{"certificates": pems}}})
}

func requestKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("the certificate signing request could not be parsed")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return csr.PublicKey, csr.CheckSignature()
}

// possessed checks the proof of possession of a key.
func possessed(text, challenge string, proof []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("the public key supplied in the request could not be parsed")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := pub.(ed25519.PublicKey); ok {
		if !ed25519.Verify(key, []byte(challenge), proof) {
			return nil, fmt.Errorf("the signature supplied in the request could not be verified")
		}
		return pub, nil
	}
	alg, err := algorithm.Default(pub)
	if err != nil {
		return nil, err
	}
	if alg.Verify(pub, algorithm.Bytes([]byte(challenge)), proof) != nil {
		return nil, fmt.Errorf("the signature supplied in the request could not be verified")
	}
	return pub, nil
}

// Impostor returns services with keys of their own that take the tokens of these.
func (s *Services) Impostor() *Services {
	s.t.Helper()
	other := New(s.t)
	other.tokenKey, other.Issuer = s.tokenKey, s.Issuer
	return other
}
