package identity

import (
	"fmt"
	"time"
)

// Line is one line of a description: a label for people and the value.
type Line struct {
	Label string
	Value string
}

// Describe returns what the certificate says, for people, in a fixed order: names, identity provider, claims in the
// order of the table, then the certificate's own fields. Values are as in the certificate; the caller escapes them for
// where it prints them. Nothing of it is verified.
func (c *Certificate) Describe() []Line {
	var lines []Line
	add := func(label, value string) {
		if value != "" {
			lines = append(lines, Line{label, value})
		}
	}
	for _, san := range c.SANs {
		add(fmt.Sprintf("Identity (%s)", san.Kind), san.Value)
	}
	add("Identity provider", c.Issuer)
	for _, e := range Extensions() {
		if e.Name != NameIssuer && e.Name != NameIssuerV2 {
			add(e.Label, c.Extensions[e.Name])
		}
	}
	add("Subject", c.X509.Subject.String())
	add("Issued by", c.X509.Issuer.String())
	add("Serial number", fmt.Sprintf("%x", c.X509.SerialNumber))
	add("Valid from", c.X509.NotBefore.UTC().Format(time.RFC3339))
	add("Valid until", c.X509.NotAfter.UTC().Format(time.RFC3339))
	return lines
}
