package issuerconfig

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/identity"
	"go.yaml.in/yaml/v3"
)

// Limits on the shape of a file.
const (
	maxDepth = 16      // levels of nesting, aliases included; the format has four
	maxNodes = 200_000 // values after aliases are followed, so that aliases of aliases cannot multiply
)

// Parse reads a configuration file, YAML or JSON. Every error names the line.
func Parse(data []byte) (*Config, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("issuer configuration: longer than %d bytes", MaxBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("issuer configuration: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("issuer configuration: the file is empty")
	}
	cfg := &Config{issuers: map[string]Issuer{}, providers: builtin()}
	r := &reader{cfg: cfg}
	// Providers first, as issuers name them.
	err := r.file(doc.Content[0], map[string]func(*yaml.Node) error{"ci-issuer-metadata": r.providers})
	if err == nil {
		err = r.file(doc.Content[0], map[string]func(*yaml.Node) error{"oidc-issuers": r.issuers, "meta-issuers": r.families})
	}
	if err != nil {
		return nil, fmt.Errorf("issuer configuration: %w", err)
	}
	if len(cfg.issuers)+len(cfg.families) == 0 {
		return nil, errors.New("issuer configuration: it names no issuer, so nobody could get a certificate")
	}
	return cfg, nil
}

// older maps the spelling of JSON files to that of YAML ones.
var older = map[string]string{
	"OIDCIssuers": "oidc-issuers", "MetaIssuers": "meta-issuers", "CIIssuerMetadata": "ci-issuer-metadata",
	"IssuerURL": "issuer-url", "ClientID": "client-id", "Type": "type", "CIProvider": "ci-provider",
	"IssuerClaim": "issuer-claim", "SubjectDomain": "subject-domain", "SPIFFETrustDomain": "spiffe-trust-domain",
	"ChallengeClaim": "challenge-claim", "Description": "description", "Contact": "contact", "Environment": "environment",
	"CACert": "ca-cert", "SkipEmailVerification": "skip-email-verification",
	"DefaultTemplateValues": "default-template-values", "ExtensionTemplates": "extension-templates",
	"SubjectAlternativeNameTemplate": "subject-alternative-name-template",
}

type reader struct {
	cfg   *Config
	nodes int
}

// fields reads a mapping whose keys the format defines; they come in the YAML spelling.
func (r *reader) fields(node *yaml.Node, depth int, read func(key string, value *yaml.Node) error) error {
	seen := map[string]bool{}
	return r.mapping(node, depth, func(key string, value *yaml.Node) error {
		if current, ok := older[key]; ok {
			key = current
		}
		if seen[key] {
			return fmt.Errorf("line %d: %q is given twice, in both spellings", value.Line, key)
		}
		seen[key] = true
		return read(key, value)
	})
}

// mapping reads a mapping with arbitrary keys.
func (r *reader) mapping(node *yaml.Node, depth int, read func(key string, value *yaml.Node) error) error {
	node = follow(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: expected names with values", node.Line)
	}
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested too deeply", node.Line)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if r.nodes++; r.nodes > maxNodes {
			return errors.New("too many values")
		}
		key := follow(node.Content[i])
		if key.Kind != yaml.ScalarNode || key.Tag == "!!null" || key.Tag == "!!merge" {
			return fmt.Errorf("line %d: a name must be text, and merge keys are not supported", node.Content[i].Line)
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: %q is given twice", node.Content[i].Line, key.Value)
		}
		seen[key.Value] = true
		if err := read(key.Value, node.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func unknown(key string, node *yaml.Node) error {
	return fmt.Errorf("line %d: unknown key %q", node.Line, key)
}

// follow resolves aliases. An alias cannot point at itself in what the YAML library returns, and the depth of mappings is
// bounded.
func follow(node *yaml.Node) *yaml.Node {
	for range maxDepth {
		if node.Kind != yaml.AliasNode || node.Alias == nil {
			return node
		}
		node = node.Alias
	}
	return node
}

// text reads a scalar into dst. Numbers and the like count as the text they are written with.
func text(dst *string, node *yaml.Node) error {
	n := follow(node)
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: expected text", node.Line)
	}
	if n.Tag == "!!null" {
		return nil
	}
	*dst = n.Value
	return nil
}

func boolean(dst *bool, node *yaml.Node) error {
	n := follow(node)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		return fmt.Errorf("line %d: expected true or false", node.Line)
	}
	*dst = strings.EqualFold(n.Value, "true")
	return nil
}

// file reads the top level, one section at a time. "define" is where Fulcio's own file keeps its anchors.
func (r *reader) file(node *yaml.Node, sections map[string]func(*yaml.Node) error) error {
	return r.fields(node, 1, func(key string, value *yaml.Node) error {
		switch key {
		case "oidc-issuers", "meta-issuers", "ci-issuer-metadata":
			if read, ok := sections[key]; ok {
				return read(value)
			}
			return nil
		case "define":
			return nil
		}
		return unknown(key, value)
	})
}

func (r *reader) issuers(node *yaml.Node) error {
	return r.mapping(node, 2, func(url string, value *yaml.Node) error {
		issuer, err := r.issuer(value)
		if err != nil {
			return err
		}
		if issuer.URL == "" {
			issuer.URL = url
		}
		if issuer.URL != url {
			return fmt.Errorf("line %d: issuer-url %q differs from the name of its entry, %q", value.Line, issuer.URL, url)
		}
		return atLine(value, r.cfg.add(issuer))
	})
}

func (r *reader) families(node *yaml.Node) error {
	return r.mapping(node, 2, func(pattern string, value *yaml.Node) error {
		issuer, err := r.issuer(value)
		if err != nil {
			return err
		}
		if issuer.URL != "" && issuer.URL != pattern {
			return fmt.Errorf("line %d: issuer-url %q differs from the name of its entry, %q", value.Line, issuer.URL, pattern)
		}
		issuer.URL, issuer.Pattern = "", pattern
		return atLine(value, r.cfg.add(issuer))
	})
}

func atLine(node *yaml.Node, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("line %d: %w", node.Line, err)
}

func (r *reader) issuer(node *yaml.Node) (Issuer, error) {
	var issuer Issuer
	err := r.fields(node, 3, func(key string, value *yaml.Node) error {
		texts := map[string]*string{
			"issuer-url": &issuer.URL, "client-id": &issuer.ClientID, "ci-provider": &issuer.Provider,
			"subject-domain": &issuer.SubjectDomain, "spiffe-trust-domain": &issuer.TrustDomain,
			"challenge-claim": &issuer.ChallengeClaim, "description": &issuer.Description, "contact": &issuer.Contact,
			"environment": &issuer.Environment, "ca-cert": &issuer.CACert, "type": (*string)(&issuer.Type),
		}
		if dst, ok := texts[key]; ok {
			return text(dst, value)
		}
		switch key {
		case "skip-email-verification":
			return boolean(&issuer.SkipEmailVerification, value)
		case "issuer-claim":
			var path string
			if err := text(&path, value); err != nil {
				return err
			}
			var err error
			issuer.IssuerClaim, err = claimPath(path)
			return atLine(value, err)
		}
		return unknown(key, value)
	})
	return issuer, err
}

// claimPath reads the subset of JSONPath that names one claim: $.a.b
func claimPath(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(path, "$.")
	names := strings.Split(rest, ".")
	if !ok || len(names) > 8 {
		return nil, fmt.Errorf("issuer-claim %q is not of the form $.claim.claim", path)
	}
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, `[]()*?@$'" `) {
			return nil, fmt.Errorf("issuer-claim %q is not of the form $.claim.claim", path)
		}
	}
	return names, nil
}

func (r *reader) providers(node *yaml.Node) error {
	return r.mapping(node, 2, func(name string, value *yaml.Node) error {
		var san string
		defaults, extensions := map[string]string{}, map[string]string{}
		err := r.fields(value, 3, func(key string, value *yaml.Node) error {
			switch key {
			case "default-template-values":
				return r.texts(defaults, value, false)
			case "extension-templates":
				return r.texts(extensions, value, true)
			case "subject-alternative-name-template":
				return text(&san, value)
			}
			return unknown(key, value)
		})
		if err != nil {
			return err
		}
		provider, err := newProvider(san, extensions, defaults)
		if err != nil {
			return fmt.Errorf("line %d: ci-issuer-metadata %q: %w", value.Line, name, err)
		}
		r.cfg.providers[name] = provider
		return nil
	})
}

// texts reads a mapping of texts; with templates, names are those of extensions, and empty ones are left out.
func (r *reader) texts(dst map[string]string, node *yaml.Node, templates bool) error {
	return r.mapping(node, 4, func(key string, value *yaml.Node) error {
		var v string
		if err := text(&v, value); err != nil {
			return err
		}
		if templates {
			key = kebab(key)
			if _, ok := extensionNames[key]; !ok {
				return unknown(key, value)
			}
			if strings.TrimSpace(v) == "" {
				return nil
			}
		}
		dst[key] = v
		return nil
	})
}

// extensionNames are the keys of extension-templates, and the names of the extensions in the table of package identity.
// Issuer and subject are not among them: they come from the token and cannot be templated.
var extensionNames = extensionKeys()

func extensionKeys() map[string]string {
	out := map[string]string{}
	for _, ext := range identity.Extensions() {
		switch ext.Number {
		case 1, 7, 8, 24:
		default:
			out[kebab(ext.Name)] = ext.Name
		}
	}
	return out
}

// kebab turns the name of an extension ("sourceRepositoryURI", in JSON files "SourceRepositoryURI") into the key of a
// YAML file ("source-repository-uri").
func kebab(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && name[i-1] != '-' && (name[i-1] < 'A' || name[i-1] > 'Z') {
			b.WriteByte('-')
		}
		if upper {
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return strings.Replace(b.String(), "git-hub", "github", 1)
}

// newProvider compiles the templates of a provider.
func newProvider(san string, extensions, defaults map[string]string) (*Provider, error) {
	p := &Provider{Defaults: defaults, Extensions: map[string]*Template{}}
	var err error
	if p.SAN, err = NewTemplate(san); err != nil {
		return nil, fmt.Errorf("subject-alternative-name-template: %w", err)
	}
	for key, source := range extensions {
		name, ok := extensionNames[key]
		if !ok {
			return nil, fmt.Errorf("extension-templates: unknown key %q", key)
		}
		if p.Extensions[name], err = NewTemplate(source); err != nil {
			return nil, fmt.Errorf("extension-templates: %s: %w", key, err)
		}
	}
	return p, nil
}
