// Package principal turns the claims of a verified identity token into what a certificate says of its holder: one name,
// and the extensions below 1.3.6.1.4.1.57264.1 (Fulcio's docs/oid-info.md).
//
// The claims must come from a token whose signature, issuer, audience and times were checked; this package decides only
// what they amount to, and refuses those that do not amount to a name. It is pure.
package principal

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
)

// Principal is who a certificate is for.
type Principal struct {
	// SAN is the one name.
	SAN identity.SAN
	// Extensions by [identity.Extension].Name, issuer and subject included; none is empty.
	Extensions map[string]string
	// Challenges are the texts over which a proof of possession is accepted: the verified e-mail address and the subject
	// of the token, whichever it has. Which of the two clients sign depends on the claims they look at, and not on the
	// type of the issuer.
	Challenges []string
}

// Claims are the claims of a verified token.
type Claims struct {
	Issuer  string
	Subject string
	// All claims, decoded with numbers as json.Number.
	All map[string]any
}

const (
	nameSubject = "tokenSubject" // .24 in the table of package identity

	// maxName bounds the name in the certificate, as readers of certificates do.
	maxName = 4 << 10
)

// New derives the principal for a token of the issuer. The provider is needed for issuerconfig.CIProvider, and nil
// otherwise. Errors say which claim is missing or wrong; they are meant for the client.
func New(claims Claims, issuer issuerconfig.Issuer, provider *issuerconfig.Provider) (*Principal, error) {
	p := &Principal{Extensions: map[string]string{
		identity.NameIssuer: claims.Issuer, identity.NameIssuerV2: claims.Issuer, nameSubject: claims.Subject,
	}}
	var err error
	switch issuer.Type {
	case issuerconfig.Email:
		err = p.email(claims, issuer)
	case issuerconfig.SPIFFE:
		err = p.spiffe(claims, issuer)
	case issuerconfig.Kubernetes:
		err = p.kubernetes(claims)
	case issuerconfig.URI:
		err = p.uri(claims, issuer)
	case issuerconfig.Username:
		err = p.username(claims, issuer)
	case issuerconfig.Chainguard:
		err = p.setURI(strings.TrimSuffix(claims.Issuer, "/") + "/" + claims.Subject)
	case issuerconfig.CIProvider:
		err = p.ci(claims, issuer, provider)
	default:
		err = fmt.Errorf("issuers of type %q are not known", issuer.Type)
	}
	if err != nil {
		return nil, err
	}
	if len(p.SAN.Value) > maxName {
		return nil, fmt.Errorf("the name in the certificate would be longer than %d bytes", maxName)
	}
	for _, text := range challenges(claims) {
		if !slices.Contains(p.Challenges, text) {
			p.Challenges = append(p.Challenges, text)
		}
	}
	maps.DeleteFunc(p.Extensions, func(_, value string) bool { return value == "" })
	return p, nil
}

// challenges are the texts of this token that a client may have signed. An address counts only if the issuer says that it
// verified it: clients refuse to sign another one.
func challenges(claims Claims) []string {
	var out []string
	if address, ok := claims.All["email"].(string); ok && address != "" && verified(claims) {
		out = append(out, address)
	}
	return append(out, claims.Subject)
}

// verified reads email_verified, which some issuers write as text.
func verified(claims Claims) bool {
	switch v := claims.All["email_verified"].(type) {
	case bool:
		return v
	case string:
		return v == "true"
	}
	return false
}

func (p *Principal) email(claims Claims, issuer issuerconfig.Issuer) error {
	address, ok := claims.All["email"].(string)
	if !ok || address == "" {
		return errors.New("the token has no claim email; was the scope email asked for?")
	}
	if !issuer.SkipEmailVerification && !verified(claims) {
		if _, ok := claims.All["email_verified"]; !ok {
			return errors.New("the token does not say that the issuer verified the e-mail address: it has no claim email_verified")
		}
		return errors.New("the issuer has not verified the e-mail address: claim email_verified is not true")
	}
	if err := checkAddress(address); err != nil {
		return err
	}
	p.SAN = identity.SAN{Kind: identity.Email, Value: address}
	p.Challenges = []string{address}
	if len(issuer.IssuerClaim) == 0 {
		return nil
	}
	name := "$." + strings.Join(issuer.IssuerClaim, ".")
	// Whatever is at the beginning of the path makes the claim one that must be read to its end.
	if _, there := claims.All[issuer.IssuerClaim[0]]; !there && issuer.IssuerClaimOptional {
		return nil
	}
	var value any = claims.All
	for _, key := range issuer.IssuerClaim {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	upstream, ok := value.(string)
	if !ok || upstream == "" {
		return fmt.Errorf("the token has no text in claim %s, which names the issuer", name)
	}
	if err := plain("claim "+name, upstream); err != nil {
		return err
	}
	p.Extensions[identity.NameIssuer], p.Extensions[identity.NameIssuerV2] = upstream, upstream
	return nil
}

// checkAddress accepts what an rfc822Name can hold (RFC 5280 4.2.1.6: ASCII, local-part@domain) and what names a mailbox
// without quoting.
func checkAddress(address string) error {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || len(address) > 254 {
		return fmt.Errorf("claim email is not an address: %q", clip(address))
	}
	for i := range len(address) {
		if c := address[i]; c <= ' ' || c > '~' || strings.IndexByte(`"(),:;<>[\]`, c) >= 0 {
			return fmt.Errorf("claim email is not an address that a certificate can hold: %q", clip(address))
		}
	}
	if strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") {
		return fmt.Errorf("claim email has no proper domain: %q", clip(address))
	}
	return nil
}

func (p *Principal) spiffe(claims Claims, issuer issuerconfig.Issuer) error {
	rest, ok := strings.CutPrefix(claims.Subject, "spiffe://")
	domain, path, _ := strings.Cut(rest, "/")
	if !ok || domain == "" || len(claims.Subject) > 2048 {
		return fmt.Errorf("sub is not a SPIFFE ID: %q", clip(claims.Subject))
	}
	if domain != issuer.TrustDomain {
		return fmt.Errorf("sub is in trust domain %q, this issuer is for %q", clip(domain), issuer.TrustDomain)
	}
	if strings.HasSuffix(rest, "/") {
		return fmt.Errorf("sub is not a SPIFFE ID, it ends in a slash: %q", clip(claims.Subject))
	}
	// SPIFFE-ID 2.2: the path's segments are of letters, digits, dots, dashes and underscores, and not empty, "." or "..".
	if path != "" {
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "" || segment == "." || segment == ".." || !letters(segment, "-._") {
				return fmt.Errorf("sub is not a SPIFFE ID, its path is malformed: %q", clip(claims.Subject))
			}
		}
	}
	p.SAN = identity.SAN{Kind: identity.URI, Value: claims.Subject}
	return nil
}

func (p *Principal) kubernetes(claims Claims) error {
	cluster, _ := claims.All["kubernetes.io"].(map[string]any)
	account, _ := cluster["serviceaccount"].(map[string]any)
	namespace, _ := cluster["namespace"].(string)
	name, _ := account["name"].(string)
	if namespace == "" || name == "" {
		return errors.New("the token has no kubernetes.io.namespace or no kubernetes.io.serviceaccount.name: it is not a service account's")
	}
	// Kubernetes names are those of RFC 1123; a slash in one would name another account.
	if !letters(namespace, "-.") || !letters(name, "-.") {
		return fmt.Errorf("namespace %q or service account %q is not a name of Kubernetes", clip(namespace), clip(name))
	}
	return p.setURI("https://kubernetes.io/namespaces/" + namespace + "/serviceaccounts/" + name)
}

func (p *Principal) uri(claims Claims, issuer issuerconfig.Issuer) error {
	domain, err := url.Parse(issuer.SubjectDomain)
	if err != nil {
		return fmt.Errorf("subject-domain of this issuer: %w", err)
	}
	subject, err := url.Parse(claims.Subject)
	if err != nil || subject.Host == "" {
		return fmt.Errorf("sub is not a URL: %q", clip(claims.Subject))
	}
	if subject.Scheme != domain.Scheme || subject.Hostname() != domain.Hostname() || subject.User != nil {
		return fmt.Errorf("sub is %q, this issuer is for names below %q", clip(claims.Subject), issuer.SubjectDomain)
	}
	return p.setURI(claims.Subject)
}

func (p *Principal) username(claims Claims, issuer issuerconfig.Issuer) error {
	if strings.ContainsAny(claims.Subject, "!@") {
		return fmt.Errorf("sub is %q, a user name has no ! and no @", clip(claims.Subject))
	}
	p.SAN = identity.SAN{Kind: identity.OtherName, Value: claims.Subject + "!" + issuer.SubjectDomain}
	return nil
}

// setURI takes a URI as the name. It must be absolute and name a host, without user: "https://github.com@evil.example"
// reads like something that it is not.
func (p *Principal) setURI(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("the name in the certificate would not be a URI: %q", clip(raw))
	}
	if u.Scheme == "" || u.Host == "" || u.User != nil {
		return fmt.Errorf("the name in the certificate would be %q, which is not a URI with a host and without a user", clip(raw))
	}
	// uniformResourceIdentifier is ASCII; String escapes what is not.
	p.SAN = identity.SAN{Kind: identity.URI, Value: u.String()}
	return nil
}

func letters(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// plain refuses values that do not show as they are.
func plain(what, value string) error {
	if len(value) > issuerconfig.MaxValueBytes {
		return fmt.Errorf("%s is longer than %d bytes", what, issuerconfig.MaxValueBytes)
	}
	for _, r := range value {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Errorf("%s has control characters", what)
		}
	}
	return nil
}

// clip shortens a claim for an error message.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
