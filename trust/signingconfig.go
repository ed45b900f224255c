package trust

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Media types of a signing config.
const (
	SigningConfigMediaType = "application/vnd.dev.sigstore.signingconfig.v0.2+json"

	signingConfigMediaTypeV01 = "application/vnd.dev.sigstore.signingconfig.v0.1+json"
)

// Service is the address of a service that a signer calls (Service).
type Service struct {
	URL             string // base address; of a timestamp authority the full address
	MajorAPIVersion uint32 // 0: not released yet
	Window          Window // when the service may be called
	Operator        string // scheme-less URI of who runs it
}

// Selector says how many of the services listed are to be used (ServiceSelector).
type Selector int32

// The selectors. A signer that meets SelectUndefined uses none.
const (
	SelectUndefined Selector = 0
	SelectAll       Selector = 1
	SelectAny       Selector = 2 // one, whichever
	SelectExact     Selector = 3 // as many as Count says
)

// String returns the enum name: "ALL", "ANY", "EXACT", "SERVICE_SELECTOR_UNDEFINED".
func (s Selector) String() string {
	for _, v := range selectorNames {
		if v.Number == int32(s) {
			return v.Name
		}
	}
	return strconv.Itoa(int(s))
}

// Selection is a selector with its count (ServiceConfiguration). The zero value selects nothing.
type Selection struct {
	Selector Selector
	Count    uint32 // for SelectExact: at least 1
}

// ParseSelection reads the form of command lines: "ANY", "ALL" or "EXACT:n" with n at least 1.
func ParseSelection(s string) (Selection, error) {
	switch s {
	case "ANY":
		return Selection{Selector: SelectAny}, nil
	case "ALL":
		return Selection{Selector: SelectAll}, nil
	}
	if count, ok := strings.CutPrefix(s, "EXACT:"); ok {
		n, err := strconv.ParseUint(count, 10, 32)
		if err == nil && n > 0 {
			return Selection{SelectExact, uint32(n)}, nil
		}
	}
	return Selection{}, fmt.Errorf("selection is %q, want ANY, ALL or EXACT:n with n from 1", s)
}

// check refuses what no signer could follow.
func (s Selection) check() error {
	switch {
	case s.Selector < SelectUndefined || s.Selector > SelectExact:
		return fmt.Errorf("selector %d is unknown", s.Selector)
	case s.Selector == SelectExact && s.Count == 0:
		return errors.New("selector EXACT without a count")
	}
	return nil
}

// SigningConfig lists the services that a signer calls (SigningConfig). The zero value is the official way to sign
// without certificate authority, log and timestamps.
type SigningConfig struct {
	CAs       []Service // certificate authorities, newest first
	OIDC      []Service // identity providers, newest first
	Logs      []Service // transparency logs, newest first
	LogConfig Selection
	TSAs      []Service // timestamp authorities, newest first
	TSAConfig Selection
}

// NewSigningConfig makes a signing config of its parts: it checks them, addresses included, and sorts each list, the
// newest start first, as the specification asks.
func NewSigningConfig(parts SigningConfig) (*SigningConfig, error) {
	c := parts
	for _, list := range c.lists() {
		*list.services = slices.Clone(*list.services)
		for i := range *list.services {
			s := &(*list.services)[i]
			if err := s.checkURL(); err != nil {
				return nil, fmt.Errorf("signing config: %s[%d]: %w", list.field, i, err)
			}
		}
		slices.SortStableFunc(*list.services, func(a, b Service) int { return b.Window.Start.Compare(a.Window.Start) })
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	return &c, nil
}

// serviceList is one of the four lists with its name in the file.
type serviceList struct {
	field    string
	services *[]Service
}

func (c *SigningConfig) lists() [4]serviceList {
	return [...]serviceList{{"caUrls", &c.CAs}, {"oidcUrls", &c.OIDC}, {"rekorTlogUrls", &c.Logs}, {"tsaUrls", &c.TSAs}}
}

// check holds what must be true of a config that is read as well as of one that is written.
func (c *SigningConfig) check() error {
	for _, list := range c.lists() {
		if len(*list.services) > maxServices {
			return fmt.Errorf("%s has more than %d services", list.field, maxServices)
		}
		for i, s := range *list.services {
			if s.URL == "" || len(s.URL) > maxURL {
				return fmt.Errorf("%s[%d]: url has %d bytes, want 1 to %d", list.field, i, len(s.URL), maxURL)
			}
			if err := s.Window.check(); err != nil {
				return fmt.Errorf("%s[%d]: validFor %w", list.field, i, err)
			}
		}
	}
	if err := c.LogConfig.check(); err != nil {
		return fmt.Errorf("rekorTlogConfig: %w", err)
	}
	if err := c.TSAConfig.check(); err != nil {
		return fmt.Errorf("tsaConfig: %w", err)
	}
	return nil
}

// checkURL wants scheme and authority, as the specification does. Reading does not ask, so that one bad address does not
// make the others unreachable: whoever calls the service finds out.
func (s *Service) checkURL() error {
	u, err := url.Parse(s.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		return fmt.Errorf("address %q is not an http or https URL with a host", s.URL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("address %q has a user, query or fragment", u.Redacted())
	}
	return nil
}
