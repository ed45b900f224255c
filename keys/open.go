package keys

import (
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/pipe"
)

// httpTimeout bounds the fetch of a key from a URL, where the caller's client has no bound of its own.
const httpTimeout = 30 * time.Second

// Environment is everything this package takes from outside. The zero value has no variables, asks for no password and
// finds no plug-ins.
type Environment struct {
	// LookupEnv reads an environment variable, as os.LookupEnv does.
	LookupEnv func(name string) (string, bool)
	// HTTP fetches keys from URLs; nil means a client of our own with a timeout. Its cookie jar is not used.
	HTTP *http.Client
	// Password asks for a password; with confirm it is a new one, to be asked for twice. It is called only when neither
	// BULLA_PASSWORD nor COSIGN_PASSWORD is set.
	Password func(ctx context.Context, confirm bool) ([]byte, error)
	// PlugInDirs are searched for plug-in programs before PATH: a configured directory, then the executable's own.
	PlugInDirs []string
	// Stderr receives what plug-in programs write to standard error, up to a limit; nil discards it.
	Stderr io.Writer
	// NoPlugIns keeps plug-in programs from being started: what they do, such as using the network, nobody here can bound.
	NoPlugIns bool
}

// Open returns the signer that ref names; see the package comment for the forms. It may ask for a password.
func Open(ctx context.Context, ref string, env Environment) (Signer, error) {
	l, err := load(ctx, ref, env)
	if err != nil || l.signer != nil {
		return l.signer, err
	}
	return l.private(ctx, env)
}

// OpenPublic returns the public key that ref names: a PEM "PUBLIC KEY", or what a plug-in says of its key. A certificate
// or a private key in its place is an error that says what to do.
func OpenPublic(ctx context.Context, ref string, env Environment) (crypto.PublicKey, error) {
	l, err := load(ctx, ref, env)
	if err != nil {
		return nil, err
	}
	if l.signer != nil {
		return l.signer.Public(), nil
	}
	pub, err := parsePublic(l.data)
	if err != nil {
		return nil, fmt.Errorf("reading the public key from %s: %w", l.name, err)
	}
	return pub, nil
}

// PublicHalf returns the public key of what ref names, a private key or a public one, and reads it once. It may ask for a
// password. What is wrong with the private key is the error if it is neither.
func PublicHalf(ctx context.Context, ref string, env Environment) (crypto.PublicKey, error) {
	l, err := load(ctx, ref, env)
	if err != nil {
		return nil, err
	}
	if l.signer == nil {
		if pub, err := parsePublic(l.data); err == nil {
			return pub, nil
		}
		if l.signer, err = l.private(ctx, env); err != nil {
			return nil, err
		}
	}
	return l.signer.Public(), nil
}

// loaded is what lies behind a reference: the signer of a plug-in, or PEM.
type loaded struct {
	signer Signer
	name   string // the reference as it may be shown
	data   []byte
}

func load(ctx context.Context, ref string, env Environment) (loaded, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return loaded{}, err
	}
	if r.Kind == PlugIn {
		signer, err := openPlugIn(ctx, r, env)
		return loaded{signer: signer}, err
	}
	data, err := env.read(ctx, r)
	if r.Kind == URL {
		ref = shown(ref)
	}
	return loaded{name: ref, data: data}, err
}

// private decrypts the private key.
func (l loaded) private(ctx context.Context, env Environment) (Signer, error) {
	block, err := firstBlock(l.data)
	if err != nil {
		return nil, fmt.Errorf("reading the private key from %s: %w", l.name, err)
	}
	if block.Type != pemSigstore && block.Type != pemCosign {
		return nil, fmt.Errorf("reading the private key from %s: %w", l.name, notEncrypted(block))
	}
	password, err := env.ReadPassword(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	key, err := NewPassword(password).decryptBlock(block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	return FromSigner(key)
}

// ReadPassword returns the password of a private key: BULLA_PASSWORD, else COSIGN_PASSWORD (set to nothing counts), else
// whatever env.Password answers.
func (e Environment) ReadPassword(ctx context.Context, confirm bool) ([]byte, error) {
	for _, name := range []string{"BULLA_PASSWORD", "COSIGN_PASSWORD"} {
		if e.LookupEnv == nil {
			break
		}
		if v, ok := e.LookupEnv(name); ok {
			return []byte(v), nil
		}
	}
	if e.Password == nil {
		return nil, errors.New("no password: set COSIGN_PASSWORD")
	}
	return e.Password(ctx, confirm)
}

func parsePublic(data []byte) (crypto.PublicKey, error) {
	block, err := firstBlock(data)
	if err != nil {
		return nil, err
	}
	if err := notPublic(block); err != nil {
		return nil, err
	}
	pub, err := algorithm.ParsePublicKeyPEM(data)
	if err != nil {
		return nil, err
	}
	return pub, checkPublic(pub)
}

func notPublic(block *pem.Block) error {
	switch block.Type {
	case pemSigstore, pemCosign, "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return errors.New("it holds a private key, and verifying takes the public one (a .pub file); \"bulla public-key --key FILE\" prints it")
	case "CERTIFICATE":
		return errors.New("it holds a certificate, not a public key; certificates belong to --certificate or to a trusted root")
	}
	return nil
}

// checkPublic refuses keys that no algorithm of the registry takes: other curves, RSA outside 2048 to 4096 bits.
func checkPublic(pub crypto.PublicKey) error {
	alg, err := algorithm.Default(pub)
	if err != nil {
		return err
	}
	return alg.CheckKey(pub)
}

// read returns the bytes behind a reference that is not a plug-in's, limited to [maxKeyBytes].
func (e Environment) read(ctx context.Context, r Reference) ([]byte, error) {
	switch r.Kind {
	case File:
		f, err := pipe.Open(ctx, r.Value)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readLimited(f, r.Value)
	case Variable:
		if e.LookupEnv != nil {
			if v, ok := e.LookupEnv(r.Value); ok {
				return []byte(v), nil
			}
		}
		return nil, fmt.Errorf("loading env://%s: the environment variable %s is not set", r.Value, r.Value)
	case URL:
		return e.fetch(ctx, r.Value)
	case PKCS11:
		return nil, errPKCS11()
	}
	return nil, errKubernetes()
}

// ErrNoAnswer says that the server of a key's URL did not deliver the key.
var ErrNoAnswer = errors.New("the server did not deliver it")

func (e Environment) fetch(ctx context.Context, address string) ([]byte, error) {
	client := http.Client{Timeout: httpTimeout, CheckRedirect: noDowngrade}
	if e.HTTP != nil {
		client.Transport = e.HTTP.Transport
		if e.HTTP.Timeout > 0 {
			client.Timeout = e.HTTP.Timeout
		}
	}
	name := shown(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("loading URL %s: it is not a valid URL", name)
	}
	resp, err := client.Do(req)
	if err != nil {
		// net/http says the URL again, and those that it was redirected to.
		var told *url.Error
		if errors.As(err, &told) {
			err = told.Err
		}
		return nil, fmt.Errorf("loading URL %s: %w: %w", name, ErrNoAnswer, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("loading URL %s: %w: server returned HTTP %d", name, ErrNoAnswer, resp.StatusCode)
	}
	return readLimited(resp.Body, name)
}

// shown says where a URL leads; its query, and the user in front of the host, may be secrets that open it.
func shown(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	host, path, slash := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:]
	if slash {
		host += "/"
	}
	return scheme + "://" + host + path
}

// noDowngrade keeps a key that was asked for over TLS from arriving without it.
func noDowngrade(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirected from https to %s", req.URL.Scheme)
	}
	return nil
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKeyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxKeyBytes {
		return nil, fmt.Errorf("reading %s: more than %d bytes; a key is smaller", name, maxKeyBytes)
	}
	return data, nil
}
