package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// OutOfBand is the redirect URI of clients that cannot be redirected to: the issuer shows the code for the person to copy.
const OutOfBand = "urn:ietf:wg:oauth:2.0:oob"

// Client may ask for tokens.
type Client struct {
	// ID is the client's ID, and the audience of its tokens.
	ID string
	// Name is shown to people, who are asked whether they want to be known to it. Empty: ID.
	Name string
	// SecretHash is the hash of the client's secret, in the forms of User.PasswordHash. Empty: the client is public, as
	// programs on people's machines are, which can keep no secret.
	SecretHash string
	// Redirects are the URIs to which codes are sent, compared byte by byte. One that is http on a loopback host without a
	// port stands for every port there (RFC 8252 7.3). OutOfBand is one too. None: the client cannot use the code flow.
	Redirects []string
	// Machine lets the client get tokens about itself (client credentials). It needs a SecretHash.
	Machine bool
	// Email is the address in a machine's tokens. Empty: they have none, and its subject is all that it is known by.
	Email string
	// Audience is the audience of a machine's tokens, when it is another client than itself: usually "sigstore", which
	// certificate authorities expect.
	Audience string
}

// DefaultClient is the public client "sigstore", which all Sigstore clients call themselves unless told otherwise. It is
// redirected to whatever port it listens at on loopback.
func DefaultClient() Client {
	return Client{
		ID:   "sigstore",
		Name: "A Sigstore signing tool",
		Redirects: []string{
			"http://localhost/auth/callback", "http://127.0.0.1/auth/callback", "http://[::1]/auth/callback", OutOfBand,
		},
	}
}

type client struct {
	Client
	hash  passwordHash // nil for a public client
	slots hashing

	mu    sync.Mutex
	key   [32]byte
	known []byte // HMAC of the secret that was right last: machines come often, and hashing is slow on purpose
}

func hasMachines(clients []Client) bool {
	return slices.ContainsFunc(clients, func(c Client) bool { return c.Machine })
}

func newClients(list []Client) (map[string]*client, error) {
	if list == nil {
		list = []Client{DefaultClient()}
	}
	slots := make(hashing, hashesAtOnce)
	out := make(map[string]*client)
	for _, c := range list {
		known := &client{Client: c, slots: slots}
		if _, err := rand.Read(known.key[:]); err != nil {
			return nil, fmt.Errorf("issuer: random secret: %w", err)
		}
		if err := known.check(); err != nil {
			return nil, fmt.Errorf("issuer: client %q: %w", c.ID, err)
		}
		if out[c.ID] != nil {
			return nil, fmt.Errorf("issuer: client %q is there twice", c.ID)
		}
		out[c.ID] = known
	}
	for _, c := range out {
		if c.Audience != "" && out[c.Audience] == nil {
			return nil, fmt.Errorf("issuer: client %q: its audience %q is no client", c.ID, c.Audience)
		}
	}
	return out, nil
}

func (c *client) check() (err error) {
	switch {
	case c.ID == "" || len(c.ID) > 256:
		return errors.New("its ID is empty or longer than 256 bytes")
	case c.Machine && c.SecretHash == "":
		return errors.New("a machine needs a secret")
	case !c.Machine && (c.Email != "" || c.Audience != ""):
		return errors.New("an e-mail address or audience is for machines only")
	}
	if c.Email != "" {
		if err := checkEmail(c.Email); err != nil {
			return err
		}
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.SecretHash != "" {
		if c.hash, err = parseHash(c.SecretHash); err != nil {
			return err
		}
	}
	for _, r := range c.Redirects {
		if err := checkRedirect(r); err != nil {
			return fmt.Errorf("redirect URI %q: %w", r, err)
		}
	}
	return nil
}

// checkRedirect accepts https anywhere and http on loopback only: a code that travels in the clear is anybody's.
func checkRedirect(uri string) error {
	if uri == OutOfBand {
		return nil
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return errors.New("it is no URL")
	case u.Hostname() == "" || u.User != nil || strings.Contains(uri, "#"):
		return errors.New("it has no host, or a user, or a fragment")
	case strings.Trim(uri, printable) != "":
		return errors.New("it has characters that no URL has")
	case u.Scheme == "https", u.Scheme == "http" && loopbackName(u.Hostname()):
		return nil
	}
	return errors.New("it is neither https nor http on a loopback host")
}

const printable = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?[]@!$&'()*+,;=%"

// allows says whether codes may be sent to the URI. Nothing is normalised: what differs from a registered URI in any byte
// but those of a loopback port is another URI.
func (c *client) allows(uri string) bool {
	return slices.ContainsFunc(c.Redirects, func(registered string) bool {
		return uri == registered || onAnyPort(registered, uri)
	})
}

func onAnyPort(registered, uri string) bool {
	u, err := url.Parse(registered)
	if err != nil || u.Scheme != "http" || u.Port() != "" || !loopbackName(u.Hostname()) {
		return false
	}
	rest, ok := strings.CutPrefix(uri, "http://"+u.Host+":")
	if !ok {
		return false
	}
	port, ok := strings.CutSuffix(rest, strings.TrimPrefix(registered, "http://"+u.Host))
	n, err := strconv.ParseUint(port, 10, 16)
	return ok && err == nil && n > 0 && port[0] != '0'
}

// authenticate says whether the secret is the client's. remembered says that it was right before, so that it was no guess.
func (c *client) remembers(secret string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known != nil && hmac.Equal(c.known, c.digest(secret))
}

func (c *client) digest(secret string) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte(secret))
	return mac.Sum(nil)
}

// matches compares the secret with the hash, and remembers one that is right.
func (c *client) matches(ctx context.Context, secret string) (bool, error) {
	right, err := c.slots.matches(ctx, c.hash, secret)
	if right {
		c.mu.Lock()
		c.known = c.digest(secret)
		c.mu.Unlock()
	}
	return right, err
}
