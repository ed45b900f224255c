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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

// stored is what "login" keeps: a key and the certificate for it, which ends in minutes. The identity token, which opens
// more than this, is not kept. The key is not encrypted: whatever could decrypt it without asking would have to lie beside
// it, and it is worth nothing once the certificate has ended.
type stored struct {
	Version   int      `json:"version"`
	Authority string   `json:"authority"` // address of the certificate authority
	Logs      string   `json:"logs"`      // to whose publicity the user agreed: addresses, with logBetween between them
	Key       []byte   `json:"key"`       // PKCS #8
	Chain     [][]byte `json:"chain"`     // DER, leaf first

	cert *identity.Certificate
}

const (
	storedVersion = 1
	// maxStored bounds the file: a key and a few certificates.
	maxStored = 64 << 10
	// usualStored is what a session takes, in bytes.
	usualStored = 8 << 10
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

// readSession returns the session that is kept, which may have ended; nil without one. What others could have read, and
// what is another user's, is not used.
func readSession(ctx context.Context, c *cli.Call) (*stored, error) {
	path, err := sessionPath(c)
	if err != nil {
		return nil, nil // nowhere to keep one
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, cli.Errorf(cli.ExitInput, "the session of \"login\": %w", err)
	case !info.Mode().IsRegular(), runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, cli.Errorf(cli.ExitInput, "%s is not a file that only its owner can read, and is not used", path).WithHint("\"logout\" removes it")
	case !durable.Own(info): // somebody else would be the signer
		c.Warnf("%s belongs to another user, and is not used", path)
		return nil, nil
	}
	data, err := readFileUpTo(ctx, path, maxStored)
	if err != nil {
		return nil, err
	}
	s, err := parseSession(data)
	if err != nil {
		return nil, cli.Errorf(cli.ExitInput, "%s: %w", path, err).WithHint("\"logout\" removes it")
	}
	return s, nil
}

func (s *stored) ended(now time.Time) bool { return now.After(s.cert.X509.NotAfter) }

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
	return durable.WriteFile(path, data, 0o600)
}

// tryKeeping finds out whether a session of the usual size can be kept, before anybody is asked for anything and a name
// becomes public in vain.
func tryKeeping(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		var f *durable.File
		if f, err = durable.New(path, durable.Options{Mode: 0o600, Replace: true}); err == nil {
			defer f.Discard()
			_, err = f.Write(make([]byte, usualStored))
		}
	}
	if err != nil {
		return cli.Errorf(cli.ExitInput, "a session cannot be kept: %w", err).
			WithHint("XDG_RUNTIME_DIR names the directory; or sign without \"login\", which gets a certificate each time")
	}
	return nil
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

// chooser is the flag that says where the token comes from, and so goes before the session that is kept; empty without one.
// What the environment says of providers and clients holds for the deployment, "login" included: it is no choice.
func chooser(c *cli.Call) string {
	if c.Changed("identity-token") {
		return "identity-token"
	}
	for _, flag := range []string{"fulcio-auth-flow", "oidc-provider", "oidc-issuer", "oidc-client-id", "oidc-disable-ambient-providers"} {
		if c.Typed(flag) {
			return flag
		}
	}
	return ""
}

// resume goes on with the session that "login" keeps, if it is one of the services in use and no flag says otherwise.
func (s *signing) resume(ctx context.Context, c *cli.Call, p *plan) error {
	if chooser(c) != "" || c.Cosign || s.Key != "" || s.loggingIn != nil {
		return nil
	}
	kept, err := readSession(ctx, c)
	if err != nil || kept == nil {
		return err
	}
	if kept.Authority != p.ca || !kept.agreed(p.logs) {
		c.Infof("the session of \"login\" is one of other services (%s), and is not used", describe.Printable(kept.Authority))
		return nil
	}
	key, err := kept.signer()
	if err != nil {
		return err
	}
	who := kept.shown("")
	switch err := s.session.Resume(key, kept.Chain); {
	case errors.Is(err, sign.ErrEnding):
		if c.Now().Sub(who.Until) < rememberEnded {
			c.Infof("the session of %s ends at %s, and is not used any more; \"login\" begins another", describe.Printable(who.Identity), who.Until.Format(time.RFC3339))
		}
		return nil
	case err != nil:
		return cli.Errorf(cli.ExitInput, "the session of \"login\": %w", err).WithHint("\"logout\" removes it")
	}
	c.Infof("signing as %s of %s, who logged in", describe.Printable(who.Identity), describe.Printable(who.Issuer))
	return nil
}

// logBetween cannot be in an address.
const logBetween = " and "

// agreed says whether the user has agreed to each of the logs.
func (s *stored) agreed(logs []trust.Service) bool {
	named := strings.Split(s.Logs, logBetween)
	return !slices.ContainsFunc(logs, func(l trust.Service) bool { return !slices.Contains(named, l.URL) })
}

// rememberEnded is how long somebody who signs is told that the session is over: as long as it may surprise.
const rememberEnded = time.Hour
