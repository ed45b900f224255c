package principal

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
)

// ci fills the templates of a CI provider.
func (p *Principal) ci(claims Claims, issuer issuerconfig.Issuer, provider *issuerconfig.Provider) error {
	if provider == nil {
		return fmt.Errorf("no templates are configured for ci-provider %q", issuer.Provider)
	}
	values := map[string]string{}
	if provider.DefaultURL {
		values["url"] = strings.TrimSuffix(issuer.URL, "/")
	}
	maps.Copy(values, provider.Defaults)
	maps.Copy(values, flatten(claims.All))

	san, err := provider.SAN.Execute(values, false)
	if err != nil {
		return fmt.Errorf("the name in the certificate: %w", cause(err))
	}
	if err := p.setURI(san); err != nil {
		return err
	}
	for name, template := range provider.Extensions {
		value, err := template.Execute(values, true)
		if err != nil {
			return fmt.Errorf("certificate extension %s: %w", name, cause(err))
		}
		if err := plain("certificate extension "+name, value); err != nil {
			return err
		}
		p.Extensions[name] = value
	}
	return nil
}

// cause drops the machinery from the errors of text/template.
func cause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// flatten writes claims as text. Objects, lists and null are left out: as text they would be no claim of the token.
func flatten(claims map[string]any) map[string]string {
	out := make(map[string]string, len(claims))
	for name, value := range claims {
		switch v := value.(type) {
		case string:
			out[name] = v
		case bool:
			out[name] = strconv.FormatBool(v)
		case json.Number:
			if text, ok := number(v); ok {
				out[name] = text
			}
		}
	}
	return out
}

// number writes whole numbers without point or exponent, as ids are written; large ones keep all their digits.
func number(n json.Number) (string, bool) {
	text := n.String()
	if strings.Trim(text, "-0123456789") == "" {
		return text, true
	}
	f, err := n.Float64()
	if err != nil || math.IsInf(f, 0) || math.Abs(f) > 1e21 {
		return "", false
	}
	return strconv.FormatFloat(f, 'f', -1, 64), true
}
