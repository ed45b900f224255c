package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/keys"
)

// stored is what "login" keeps: a key and the certificate for it, which ends in minutes. The identity token, which opens
// more than this, is not kept. The key is not encrypted: whatever could decrypt it without asking would have to lie beside
// it, and it is worth nothing once the certificate has ended.
type stored struct {
	Version   int      `json:"version"`
	Authority string   `json:"authority"` // address of the certificate authority
	Logs      string   `json:"logs"`      // to whose publicity the user agreed
	Key       []byte   `json:"key"`       // PKCS #8
	Chain     [][]byte `json:"chain"`     // DER, leaf first

	cert *identity.Certificate
}

const (
	storedVersion = 1
	// maxStored bounds the file: a key and a few certificates.
	maxStored = 64 << 10
)

// sessionPath is where the session lies: in the runtime directory, which goes away when the user logs out of the system,
// or else in the cache.
func sessionPath(c *cli.Call) (string, error) {
	for _, v := range []struct{ name, below string }{{"XDG_RUNTIME_DIR", ""}, {"XDG_CACHE_HOME", ""}, {"HOME", ".cache"}} {
		if dir, _ := c.LookupEnv(v.name); filepath.IsAbs(dir) {
			return filepath.Join(dir, v.below, "bulla", "session.json"), nil
		}
	}
	return "", cli.Usagef("nothing says where a session is kept: neither XDG_RUNTIME_DIR nor XDG_CACHE_HOME nor HOME is set")
}

// readSession returns the session that is kept and still lives, nil without one.
func readSession(ctx context.Context, c *cli.Call) (*stored, error) {
	path, err := sessionPath(c)
	if err != nil {
		return nil, nil // nowhere to keep one
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(), runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, cli.Errorf(cli.ExitInput, "%s is not a file that only its owner can read, and is not used", path).WithHint("\"logout\" removes it")
	}
	data, err := readFileUpTo(ctx, path, maxStored)
	if err != nil {
		return nil, err
	}
	s, err := parseSession(data)
	if err != nil {
		return nil, cli.Errorf(cli.ExitInput, "%s: %w", path, err).WithHint("\"logout\" removes it")
	}
	if c.Now().After(s.cert.X509.NotAfter) {
		return nil, nil
	}
	return s, nil
}

func parseSession(data []byte) (*stored, error) {
	if len(data) > maxStored {
		return nil, fmt.Errorf("it has more than %d bytes", maxStored)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var s stored
	if err := dec.Decode(&s); err != nil {
		return nil, err
	}
	if s.Version != storedVersion || len(s.Chain) == 0 {
		return nil, errors.New("it is not a session of this version")
	}
	cert, err := identity.ParseCertificate(s.Chain[0])
	if err != nil {
		return nil, err
	}
	s.cert = cert
	_, err = s.signer()
	return &s, err
}

func (s *stored) signer() (keys.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(s.Key)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("its key cannot sign")
	}
	return keys.FromSigner(signer)
}

func (s *stored) write(path string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o600)
}

// loggedIn is a session as it is shown.
type loggedIn struct {
	Identity  string    `json:"identity"`
	Issuer    string    `json:"issuer"`
	Authority string    `json:"authority"`
	Until     time.Time `json:"until"`
	File      string    `json:"file"`
}

func (s *stored) shown(path string) *loggedIn {
	out := &loggedIn{Issuer: s.cert.Issuer, Authority: s.Authority, Until: s.cert.X509.NotAfter.UTC(), File: path}
	if len(s.cert.SANs) > 0 {
		out.Identity = s.cert.SANs[0].Value
	}
	return out
}

// resume goes on with the session that "login" keeps, if it is one of the services in use and no flag says otherwise.
func (s *signing) resume(ctx context.Context, c *cli.Call, p *plan) error {
	for _, flag := range []string{"identity-token", "fulcio-auth-flow", "oidc-provider", "oidc-issuer", "oidc-client-id", "oidc-disable-ambient-providers"} {
		if c.Changed(flag) {
			return nil
		}
	}
	if c.Cosign || s.Key != "" || s.loggingIn != nil {
		return nil
	}
	kept, err := readSession(ctx, c)
	if err != nil || kept == nil {
		return err
	}
	if kept.Authority != p.ca || p.logNames() != "" && kept.Logs != p.logNames() {
		c.Debugf("the session of \"login\" is one of other services, and is not used")
		return nil
	}
	key, err := kept.signer()
	if err != nil {
		return err
	}
	if err := s.session.Resume(key, kept.Chain); err != nil {
		return cli.Errorf(cli.ExitInput, "the session of \"login\": %w", err).WithHint("\"logout\" removes it")
	}
	who := kept.shown("")
	c.Infof("signing as %s of %s, who logged in", describe.Printable(who.Identity), describe.Printable(who.Issuer))
	return nil
}
