// Package publicgood holds the trusted root of Sigstore's public-good instance as it was when this program was built, so
// that a first verification needs no network, its signing config, and the TUF root from which newer ones are reached. All are copies of what
// github.com/sigstore/root-signing publishes; `go run ./trust/publicgood/refresh` replaces them.
//
// A program that links the package carries some 12 kB of JSON and decodes it when asked, not when it starts.
package publicgood

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/trust"
)

//go:embed trusted_root.json
var trustedRoot string

//go:embed root.json
var tufRoot string

//go:embed signing_config.v0.2.json
var signingConfig string

// Root decodes the embedded trusted root. Each call returns a value of its own. Its source names [Date], so that a report
// can say how old the knowledge is that a decision rests on.
func Root() (*trust.Root, error) {
	date, err := time.Parse(time.DateOnly, Date)
	if err != nil {
		return nil, fmt.Errorf("embedded trusted root: date %q is not a day", Date)
	}
	r, err := trust.DecodeRoot([]byte(trustedRoot))
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	r.Source.Name = "public-good, embedded"
	r.Source.Date = date
	r.Source.Embedded = true
	return r, nil
}

// SigningConfig decodes the embedded signing config, which names the instance's services as of [Date].
func SigningConfig() (*trust.SigningConfig, error) {
	c, err := trust.DecodeSigningConfig([]byte(signingConfig))
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	return c, nil
}

// TUFRoot returns the embedded root metadata of the public-good TUF repository (TUF specification, 4.3), version
// [TUFRootVersion]. It may have expired: a TUF client only needs it to find the next.
func TUFRoot() []byte { return []byte(tufRoot) }
