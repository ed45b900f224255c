package tufrepo

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/tuf"
)

// Names of the targets that clients of today read.
const (
	trustedRootName   = "trusted_root.json"
	signingConfigName = "signing_config.v0.2.json"
)

// Targets returns the files that a repository should publish: the trusted root and the signing config, and the same in the
// form that older clients read (cosign 2, policy-controller), which find single keys and certificates by their custom
// metadata. now decides which of these count as active. Parts that the older form cannot express are left out of it.
func Targets(root *trust.Root, config *trust.SigningConfig, now time.Time) ([]tuf.Target, error) {
	encodedRoot, err := root.Encode()
	if err != nil {
		return nil, fmt.Errorf("TUF targets: %w", err)
	}
	encodedConfig, err := config.Encode()
	if err != nil {
		return nil, fmt.Errorf("TUF targets: %w", err)
	}
	older, err := signingConfigV1(config, now)
	if err != nil {
		return nil, fmt.Errorf("TUF targets: %w", err)
	}
	out := []tuf.Target{
		{Name: trustedRootName, Data: encodedRoot},
		{Name: signingConfigName, Data: encodedConfig},
		{Name: "signing_config.json", Data: older},
	}
	single := &singles{now: now}
	if err := single.collect(root); err != nil {
		return nil, fmt.Errorf("TUF targets: %w", err)
	}
	return append(out, single.files...), nil
}

// singles are the files of single keys and certificates.
type singles struct {
	now   time.Time
	files []tuf.Target
}

func (s *singles) collect(root *trust.Root) error {
	// Older clients fall back to the plain names, so that these go to the newest.
	for i, ca := range newestFirst(root.CAs, func(a trust.Authority) trust.Window { return a.Window }) {
		last := len(ca.Chain) - 1
		if err := s.add(numbered("fulcio", i)+".crt.pem", "Fulcio", ca.URI, ca.Window, certificates(ca.Chain[last:])); err != nil {
			return err
		}
		if last > 0 {
			if err := s.add(numbered("fulcio_intermediate", i)+".crt.pem", "Fulcio", ca.URI, ca.Window, certificates(ca.Chain[:last])); err != nil {
				return err
			}
		}
	}
	for _, kind := range []struct {
		name, usage string
		logs        []trust.Log
	}{{"rekor", "Rekor", root.Logs}, {"ctfe", "CTFE", root.CTLogs}} {
		i := 0
		for _, l := range newestFirst(kind.logs, func(l trust.Log) trust.Window { return l.Window }) {
			if l.Usable() != nil {
				continue
			}
			key, err := publicKey(l.Key)
			if err != nil {
				return err
			}
			if err := s.add(numbered(kind.name, i)+".pub", kind.usage, l.BaseURL, l.Window, key); err != nil {
				return err
			}
			i++
		}
	}
	// Of timestamp authorities they can use one: they read all such files as one chain.
	for _, tsa := range newestFirst(root.TSAs, func(a trust.Authority) trust.Window { return a.Window }) {
		if tsa.Window.Contains(s.now) {
			return s.add("tsa.certchain.pem", "TSA", tsa.URI, tsa.Window, certificates(tsa.Chain))
		}
	}
	return nil
}

// newestFirst returns a sorted copy: those that are not over before those that are, and of each the latest start first.
func newestFirst[E any](all []E, window func(E) trust.Window) []E {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b E) int {
		wa, wb := window(a), window(b)
		if open := wa.End.IsZero(); open != wb.End.IsZero() {
			if open {
				return -1
			}
			return 1
		}
		return wb.Start.Compare(wa.Start)
	})
	return sorted
}

func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "_" + strconv.Itoa(i+1)
}

// custom is the metadata by which older clients know what a target is for.
type custom struct {
	Sigstore customSigstore `json:"sigstore"`
}

type customSigstore struct {
	Usage  string `json:"usage"`
	Status string `json:"status"`
	URI    string `json:"uri"`
}

func (s *singles) add(name, usage, uri string, window trust.Window, data []byte) error {
	status := "Expired"
	if window.Contains(s.now) {
		status = "Active"
	}
	meta, err := json.Marshal(custom{customSigstore{usage, status, uri}})
	if err != nil {
		return err
	}
	s.files = append(s.files, tuf.Target{Name: name, Data: data, Custom: meta})
	return nil
}

func certificates(chain []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range chain {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes everything
	}
	return b.Bytes()
}

func publicKey(pub crypto.PublicKey) ([]byte, error) {
	der, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// configV1 is the signing config of version 0.1, which had one authority and logs of version 1 only.
type configV1 struct {
	MediaType string   `json:"mediaType"`
	CA        string   `json:"caUrl,omitempty"`
	OIDC      string   `json:"oidcUrl,omitempty"`
	Logs      []string `json:"tlogUrls,omitempty"`
	TSAs      []string `json:"tsaUrls,omitempty"`
}

// signingConfigV1 returns what of a signing config the older version can say.
func signingConfigV1(config *trust.SigningConfig, now time.Time) ([]byte, error) {
	old := configV1{MediaType: "application/vnd.dev.sigstore.signingconfig.v0.1+json"}
	first := func(all []trust.Service) string {
		if urls := usable(all, now, false); len(urls) > 0 {
			return urls[0]
		}
		return ""
	}
	old.CA, old.OIDC = first(config.CAs), first(config.OIDC)
	old.Logs, old.TSAs = usable(config.Logs, now, true), usable(config.TSAs, now, false)
	data, err := json.MarshalIndent(old, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, err := trust.DecodeSigningConfig(data); err != nil {
		return nil, errors.Join(errors.New("signing config of version 0.1"), err)
	}
	return data, nil
}

// usable lists the addresses of services that may be called now; of version 1 alone where that is what readers speak.
func usable(all []trust.Service, now time.Time, versionOne bool) []string {
	var out []string
	for _, s := range all {
		if s.Window.Contains(now) && (!versionOne || s.MajorAPIVersion == 1) && strings.TrimSpace(s.URL) != "" {
			out = append(out, s.URL)
		}
	}
	return out
}
