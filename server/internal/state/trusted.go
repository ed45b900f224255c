package state

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/trust"
)

// TrustedRoot returns the trusted root of everything that was ever trusted, each with its window. It names no operator:
// older readers refuse fields that they do not know.
func (h *History) TrustedRoot() (*trust.Root, error) {
	var parts trust.Root
	for _, in := range h.Instances[CA] {
		a, err := trust.NewCA(in.authority())
		if err != nil {
			return nil, fmt.Errorf("ca %s: %w", in.Name, err)
		}
		parts.CAs = append(parts.CAs, a)
	}
	for _, in := range h.Instances[TSA] {
		a, err := trust.NewTSA(in.authority())
		if err != nil {
			return nil, fmt.Errorf("tsa %s: %w", in.Name, err)
		}
		parts.TSAs = append(parts.TSAs, a)
	}
	for _, in := range h.Instances[Log] {
		l, err := in.log(trust.NewLog)
		if err != nil {
			return nil, fmt.Errorf("log %s: %w", in.Name, err)
		}
		l.CheckpointID = l.ID // some clients look at the one, some at the other
		parts.Logs = append(parts.Logs, l)
	}
	for _, in := range h.Instances[CTLog] {
		l, err := in.log(trust.NewCTLog)
		if err != nil {
			return nil, fmt.Errorf("ctlog %s: %w", in.Name, err)
		}
		parts.CTLogs = append(parts.CTLogs, l)
	}
	return trust.NewRoot(parts)
}

func (in *Instance) authority() trust.AuthoritySpec {
	return trust.AuthoritySpec{URI: in.URL, ChainPEM: []byte(in.Chain), Window: in.Window()}
}

func (in *Instance) log(make func(trust.LogSpec) (trust.Log, error)) (trust.Log, error) {
	key, err := in.PublicKey()
	if err != nil {
		return trust.Log{}, err
	}
	return make(trust.LogSpec{URL: in.URL, Key: key, Window: in.Window(), Origin: in.Origin})
}

// API versions of the services as signing configs number them. That of the authority is 1 although its paths say v2.
const (
	caVersion     = 1
	issuerVersion = 1
	logVersion    = 2
	tsaVersion    = 1
)

// SigningConfig returns the services to call: the active one of each kind, any one of which is enough. Starts lie in the
// past, since some clients take the newest service whether it has begun or not.
func (h *History) SigningConfig() (*trust.SigningConfig, error) {
	parts := trust.SigningConfig{
		CAs:  h.service(CA, caVersion),
		OIDC: h.service(Issuer, issuerVersion),
		Logs: h.service(Log, logVersion),
		TSAs: h.service(TSA, tsaVersion),
	}
	if len(parts.Logs) > 0 {
		parts.LogConfig.Selector = trust.SelectAny
	}
	if len(parts.TSAs) > 0 {
		parts.TSAConfig.Selector = trust.SelectAny
	}
	return trust.NewSigningConfig(parts)
}

func (h *History) service(kind Kind, version uint32) []trust.Service {
	in := h.Active(kind)
	if in == nil {
		return nil
	}
	start := in.Start
	for _, older := range h.Instances[kind] { // a new key at an old address is the same service to a client
		if older.URL == in.URL {
			start = older.Start
			break
		}
	}
	return []trust.Service{{URL: in.URL, MajorAPIVersion: version, Window: trust.Window{Start: start}, Operator: h.Name}}
}

// Certificates returns the instance's chain, nil if it has none.
func (in *Instance) Certificates() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for rest := []byte(in.Chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(out)+1, err)
		}
		out = append(out, cert)
	}
}

// EncodePublic returns a public key in PEM, as [Instance].Public has it.
func EncodePublic(key crypto.PublicKey) (string, error) {
	der, err := algorithm.MarshalPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

func decodePublic(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("its public key is not PEM of the type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("its public key: %w", err)
	}
	return key, nil
}
