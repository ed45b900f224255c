package issuerconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// Limits on templates.
const (
	// maxTemplateBytes bounds one template; the longest known has 200 bytes.
	maxTemplateBytes = 4 << 10
	// MaxValueBytes bounds what a template gives; readers of certificates refuse extensions above 4 KiB.
	MaxValueBytes = 4 << 10
)

// Provider says how the claims of a CI provider's token become the name and the extensions of a certificate.
type Provider struct {
	// Defaults stand in for claims that a token does not have.
	Defaults map[string]string
	// DefaultURL says that the default "url" is the issuer's own URL where Defaults has none: true of providers that are
	// their own issuer wherever they are installed.
	DefaultURL bool
	// SAN makes the URI that names the signer.
	SAN *Template
	// Extensions by [identity.Extension].Name.
	Extensions map[string]*Template
}

// Template is the name of a claim, or, if it contains "{{", a text/template over the claims. Only what can neither loop
// nor call out is allowed in one: text, fields, if, and comparisons.
type Template struct {
	source string
	claim  bool
	strict *template.Template // index of an absent claim is an error
	loose  *template.Template // index of an absent claim is ""
}

// functions that a template may use: text/template's own, without those that format, call, or escape.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice"}

// NewTemplate checks a template.
func NewTemplate(source string) (*Template, error) {
	if len(source) > maxTemplateBytes {
		return nil, fmt.Errorf("the template is longer than %d bytes", maxTemplateBytes)
	}
	if strings.TrimSpace(source) == "" {
		return nil, errors.New("the template is empty")
	}
	t := &Template{source: source, claim: !strings.Contains(source, "{{")}
	if t.claim {
		return t, nil
	}
	// The built-in index gives "" for a key that is not there, whatever missingkey says. In a name that would drop what
	// tells two identities apart.
	var err error
	if t.strict, err = template.New("").Option("missingkey=error").Funcs(template.FuncMap{"index": present}).Parse(source); err != nil {
		return nil, err
	}
	if t.loose, err = template.New("").Option("missingkey=error").Parse(source); err != nil {
		return nil, err
	}
	if len(t.strict.Templates()) > 1 {
		return nil, errors.New("templates cannot define templates")
	}
	return t, allowed(t.strict.Root)
}

func present(claims map[string]string, claim string) (string, error) {
	value, ok := claims[claim]
	if !ok {
		return "", fmt.Errorf("the token has no claim %q", claim)
	}
	return value, nil
}

// allowed walks a parsed template and refuses what is not on the list.
func allowed(node parse.Node) error {
	switch n := node.(type) {
	case nil, *parse.TextNode, *parse.CommentNode, *parse.DotNode, *parse.FieldNode, *parse.StringNode, *parse.NumberNode,
		*parse.BoolNode:
		return nil
	case *parse.ListNode:
		return each(n.Nodes)
	case *parse.ActionNode:
		return allowed(n.Pipe)
	case *parse.IfNode:
		if err := errors.Join(allowed(n.Pipe), allowed(n.List)); err != nil || n.ElseList == nil {
			return err
		}
		return allowed(n.ElseList)
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return errors.New("templates cannot have variables")
		}
		for _, cmd := range n.Cmds {
			if err := each(cmd.Args); err != nil {
				return err
			}
		}
		return nil
	case *parse.IdentifierNode:
		if slices.Contains(functions, n.Ident) {
			return nil
		}
		return fmt.Errorf("templates cannot use function %q", n.Ident)
	}
	return fmt.Errorf("templates cannot have %s", node)
}

func each(nodes []parse.Node) error {
	for _, node := range nodes {
		if err := allowed(node); err != nil {
			return err
		}
	}
	return nil
}

// Execute gives the value for a token's claims. A claim that the template names and the token lacks is an error. If
// loose, that holds for fields ({{.claim}}) only and not for index, as in Fulcio: an optional claim with a slash in its
// name cannot be written otherwise.
func (t *Template) Execute(claims map[string]string, loose bool) (string, error) {
	if t.claim {
		return present(claims, t.source)
	}
	out := &limited{}
	compiled := t.strict
	if loose {
		compiled = t.loose
	}
	if err := compiled.Execute(out, claims); err != nil {
		return "", fmt.Errorf("template %q: %w", t.source, err)
	}
	return out.String(), nil
}

// String returns the template's source.
func (t *Template) String() string { return t.source }

// limited is a buffer that does not grow without end.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > MaxValueBytes {
		return 0, fmt.Errorf("the value is longer than %d bytes", MaxValueBytes)
	}
	return l.Builder.Write(p)
}
