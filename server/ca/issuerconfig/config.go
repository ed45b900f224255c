package issuerconfig

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Type is what the tokens of an issuer speak of, and so where the name in the certificate comes from.
type Type string

// The types. Fulcio's older names for single CI providers ("github-workflow") are read as CIProvider.
const (
	Email      Type = "email"               // rfc822Name: the verified address in claim email
	SPIFFE     Type = "spiffe"              // URI: sub, in the configured trust domain
	Kubernetes Type = "kubernetes"          // URI: namespace and service account of claim kubernetes.io
	URI        Type = "uri"                 // URI: sub, below the configured domain
	Username   Type = "username"            // otherName: sub!domain
	CIProvider Type = "ci-provider"         // URI: from a template
	Chainguard Type = "chainguard-identity" // URI: iss/sub
)

// Issuer is one accepted issuer, or a family of them.
type Issuer struct {
	// URL is what claim iss must equal. In a family it is a pattern, until [Config.Lookup] has put the issuer's own URL here.
	URL string
	// Pattern is set for a family: the pattern as configured.
	Pattern string
	// ClientID is what claim aud must contain.
	ClientID string
	Type     Type
	// Provider names the entry of ci-issuer-metadata, for CIProvider.
	Provider string
	// Declared is the type as the file spells it, which is what clients are told: "github-workflow" for example.
	Declared string
	// ChallengeClaim is the claim that clients are told to sign: "email" or "sub".
	ChallengeClaim string
	// IssuerClaim is the path of the claim to name as issuer in the certificate; empty: iss. Only for Email.
	IssuerClaim []string
	// IssuerClaimOptional names the issuer itself for tokens that have nothing at IssuerClaim; otherwise they are refused. Only
	// for an issuer that leaves the claim out for nobody whom another provider vouches for. No file can say it.
	IssuerClaimOptional bool
	// SubjectDomain is what the subject lies below: "https://example.com" for URI, "example.com" for Username.
	SubjectDomain string
	// TrustDomain of SPIFFE, without scheme.
	TrustDomain string
	// CACert is PEM: who may sign the certificate of the issuer's web server, beside the system's authorities.
	CACert string
	// SkipEmailVerification accepts addresses whose claim email_verified is not true.
	SkipEmailVerification bool
	// Description, Contact and Environment are for people.
	Description, Contact, Environment string
}

// Config is a checked configuration. It does not change.
type Config struct {
	issuers   map[string]Issuer
	families  []family // the most specific pattern first
	providers map[string]*Provider
}

// Limits on a configuration.
const (
	// MaxBytes bounds the file; the public-good instance's has 14 kB.
	MaxBytes = 1 << 20
	// MaxIssuers bounds issuers and families each; keys of every issuer are kept in memory.
	MaxIssuers = 1000
	// MaxURLBytes bounds the URL of an issuer: those of Kubernetes clusters have some 120 characters.
	MaxURLBytes = 512
)

// New makes a configuration of issuers that do not come from a file. Providers are the built-in ones.
func New(issuers ...Issuer) (*Config, error) {
	cfg := &Config{issuers: map[string]Issuer{}, providers: builtin()}
	for _, issuer := range issuers {
		if err := cfg.add(issuer); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// add checks an issuer and takes it in. A family has a Pattern and no URL.
func (c *Config) add(issuer Issuer) error {
	name := issuer.URL
	if issuer.Pattern != "" {
		name = issuer.Pattern
	}
	if err := c.check(&issuer); err != nil {
		return fmt.Errorf("issuer %q: %w", name, err)
	}
	if len(c.issuers) >= MaxIssuers || len(c.families) >= MaxIssuers {
		return fmt.Errorf("issuer %q: more than %d issuers", name, MaxIssuers)
	}
	if issuer.Pattern == "" {
		if _, twice := c.issuers[issuer.URL]; twice {
			return fmt.Errorf("issuer %q: given twice", name)
		}
		c.issuers[issuer.URL] = issuer
		return nil
	}
	f, err := newFamily(issuer)
	if err != nil {
		return fmt.Errorf("issuer %q: %w", name, err)
	}
	c.families = append(c.families, f)
	slices.SortStableFunc(c.families, compareFamilies)
	return nil
}

// Lookup finds the issuer that a token names. The exact URL comes first, then the most specific pattern.
func (c *Config) Lookup(iss string) (Issuer, bool) {
	if issuer, ok := c.issuers[iss]; ok {
		return issuer, true
	}
	if !plausible(iss) {
		return Issuer{}, false
	}
	for _, f := range c.families {
		if f.match.MatchString(iss) {
			issuer := f.issuer
			issuer.URL = iss
			return issuer, true
		}
	}
	return Issuer{}, false
}

// Issuers returns all issuers sorted by URL, then all families, whose URL is the pattern.
func (c *Config) Issuers() []Issuer {
	out := make([]Issuer, 0, len(c.issuers)+len(c.families))
	for _, url := range slices.Sorted(maps.Keys(c.issuers)) {
		out = append(out, c.issuers[url])
	}
	patterns := map[string]Issuer{}
	for _, f := range c.families {
		patterns[f.issuer.Pattern] = f.issuer
	}
	for _, pattern := range slices.Sorted(maps.Keys(patterns)) {
		issuer := patterns[pattern]
		issuer.URL = pattern
		out = append(out, issuer)
	}
	return out
}

// Provider returns how the claims of an issuer's tokens become names and extensions; only CIProvider has that.
func (c *Config) Provider(issuer Issuer) (*Provider, bool) {
	p, ok := c.providers[issuer.Provider]
	return p, ok && issuer.Type == CIProvider
}

// aliases are Fulcio's older types, each for one CI provider.
var aliases = []string{"github-workflow", "gitlab-pipeline", "buildkite-job", "codefresh-workflow", "circleci-job", "buddy-pipeline"}

// check completes an issuer and refuses one that cannot work.
func (c *Config) check(issuer *Issuer) error {
	if issuer.ClientID == "" {
		return errors.New("client-id is missing: without it a token made for another service would do")
	}
	if issuer.Declared == "" {
		issuer.Declared = string(issuer.Type)
	}
	if slices.Contains(aliases, string(issuer.Type)) {
		if issuer.Provider == "" {
			issuer.Provider = string(issuer.Type)
		}
		issuer.Type = CIProvider
	}
	if issuer.ChallengeClaim == "" {
		issuer.ChallengeClaim = "sub"
		if issuer.Type == Email {
			issuer.ChallengeClaim = "email"
		}
	}
	if issuer.ChallengeClaim != "sub" && issuer.ChallengeClaim != "email" {
		return fmt.Errorf("challenge-claim is %q, it can be email or sub", issuer.ChallengeClaim)
	}
	if issuer.Pattern == "" {
		if err := checkURL(issuer.URL); err != nil {
			return err
		}
	}
	if err := checkCACert(issuer.CACert); err != nil {
		return err
	}
	if err := misplaced(issuer); err != nil {
		return err
	}
	return c.checkType(issuer)
}

// misplaced refuses settings that the issuer's type would not look at.
func misplaced(issuer *Issuer) error {
	switch {
	case len(issuer.IssuerClaim) > 0 && issuer.Type != Email:
		return errors.New("issuer-claim is for issuers of type email")
	case issuer.IssuerClaimOptional && len(issuer.IssuerClaim) == 0:
		return errors.New("an optional issuer-claim is none")
	case issuer.SkipEmailVerification && issuer.Type != Email:
		return errors.New("skip-email-verification is for issuers of type email")
	case issuer.TrustDomain != "" && issuer.Type != SPIFFE:
		return errors.New("spiffe-trust-domain is for issuers of type spiffe")
	case issuer.SubjectDomain != "" && issuer.Type != URI && issuer.Type != Username:
		return errors.New("subject-domain is for issuers of type uri or username")
	case issuer.Provider != "" && issuer.Type != CIProvider:
		return errors.New("ci-provider is for issuers of type ci-provider")
	}
	return nil
}

// checkType checks what an issuer's type needs.
func (c *Config) checkType(issuer *Issuer) error {
	switch issuer.Type {
	case Email, Kubernetes, Chainguard:
		return nil
	case SPIFFE:
		if issuer.Pattern != "" {
			return errors.New("a SPIFFE trust domain has one issuer, not a family of them")
		}
		return checkTrustDomain(issuer.TrustDomain)
	case URI, Username:
		return checkSubjectDomain(issuer)
	case CIProvider:
		if _, ok := c.providers[issuer.Provider]; !ok {
			return fmt.Errorf("ci-provider %q has no entry in ci-issuer-metadata and is not built in (%s)",
				issuer.Provider, strings.Join(slices.Sorted(maps.Keys(c.providers)), ", "))
		}
		return nil
	case "":
		return errors.New("type is missing")
	}
	return fmt.Errorf("type %q is not known", issuer.Type)
}

func checkCACert(pem string) error {
	if pem == "" {
		return nil
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		return errors.New("ca-cert holds no PEM certificate")
	}
	return nil
}
