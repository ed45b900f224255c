package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bulla-sign/bulla/oci/access"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// newTransport is the default way to the network.
func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           newDialer(15 * time.Second).DialContext,
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       60 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

func newDialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: refuseLinkLocal}
}

// refuseLinkLocal keeps a registry from sending us, by a token realm, a redirect or a DNS name, to the metadata service of
// the machine we run on. No registry lives at a link-local address.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if addr := target.Addr().Unmap(); addr.IsLinkLocalUnicast() || addr == metadataV6 {
		return fmt.Errorf("refused to connect to %s: link-local addresses are not registries", addr)
	}
	return nil
}

// guarded is a way to connect that leads to no link-local address whoever it is that connects: a [Network] may put another
// way in the place of our dialer, which looks before it connects.
func guarded(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, err := netip.ParseAddrPort(address); err == nil { // a name is looked at when it is known where it led
			if err := refuseLinkLocal(network, address, nil); err != nil {
				return nil, err
			}
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if remote, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			if err := refuseLinkLocal(network, remote.String(), nil); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
		}
		return conn, nil
	}
}

// metadataV6 is the address of the instance metadata service in some clouds, which is not link-local (fd00:ec2::254).
var metadataV6 = netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54})

// agentTransport names us, and gives every try of a request its whole body: the token transport sends a request again
// after a challenge, when the body has been consumed. It gives up answers that do not go on.
type agentTransport struct {
	inner http.RoundTripper
	agent string
	idle  time.Duration
}

func (t *agentTransport) RoundTrip(in *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(in.Context())
	out := in.Clone(ctx)
	out.Header.Set("User-Agent", t.agent)
	if in.GetBody != nil {
		body, err := in.GetBody()
		if err != nil {
			cancel()
			return nil, err
		}
		out.Body = body
		if in.Body != nil {
			_ = in.Body.Close() // RoundTrip must close it; an in-memory body cannot fail
		}
	}
	resp, err := t.inner.RoundTrip(out)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = newIdleBody(resp.Body, t.idle, cancel)
	return resp, nil
}

// session is one authenticated way to one repository. The handshake happens once, at the first request.
type session struct {
	repo   name.Repository
	scope  string
	mirror bool        // nobody named it but a configuration
	way    *access.Way // nil: as to all others
	client *http.Client
	scheme string
	from   string      // the credential's kind and source, without the secret; may be empty
	asked  challenge   // how the registry asks for credentials
	ready  atomic.Bool // client, scheme, from and asked are set
	mu     sync.Mutex  // held during the handshake
}

// connect returns a session for a repository; push says whether it must be able to write.
func (c *Client) connect(ctx context.Context, repo name.Repository, push bool) (*session, error) {
	repo, way, err := c.permitted(repo)
	if err != nil {
		return &session{repo: repo}, err
	}
	push = push || c.options.Writes && (c.repository == nil || repo == *c.repository)
	writeKey := repo.Name() + " " + transport.PushScope
	key := writeKey
	c.mu.Lock()
	// A session that may write serves for reading too, once it has come about.
	if writer, ok := c.sessions[writeKey]; !push && !(ok && writer.ready.Load()) {
		key = repo.Name() + " " + transport.PullScope
	}
	c.mu.Unlock()
	scope := transport.PullScope
	if push {
		scope = transport.PushScope
	}
	return c.established(ctx, key, &session{repo: repo, scope: scope, way: way})
}

// established returns the session of a key, which is made like the given one, after its handshake.
func (c *Client) established(ctx context.Context, key string, like *session) (*session, error) {
	c.mu.Lock()
	s, ok := c.sessions[key]
	if !ok {
		s = &session{repo: like.repo, scope: like.scope, mirror: like.mirror, way: like.way}
		c.sessions[key] = s
	}
	c.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s, nil
	}
	return s, c.handshake(ctx, s)
}

func (c *Client) handshake(ctx context.Context, s *session) error {
	if c.options.Network != nil {
		c.options.Network.Named(s.repo.RegistryStr())
	}
	if c.hosts != nil {
		if err := c.hosts.name(s.repo.RegistryStr(), !s.mirror); err != nil {
			return misconfigured(s.repo, err)
		}
	}
	keychain := c.keychain
	if _, given := keychain.(fixed); given && s.mirror {
		keychain = authn.NewMultiKeychain() // which has none
	}
	auth, err := authn.Resolve(ctx, keychain, s.repo)
	if err != nil {
		return &UnknownError{
			Place: "credentials for " + s.repo.RegistryStr(), Detail: printable(err.Error(), maxDetail), Err: err,
			Hint: "mend the file or the program that is named, or take the entry out",
		}
	}
	if stated, ok := auth.(fmt.Stringer); ok {
		s.from = stated.String()
	}
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return fmt.Errorf("credentials for %s: %w", s.repo.RegistryStr(), err)
	}
	base, err := c.reach(s)
	if err != nil {
		return err
	}
	seen := &schemeRecorder{
		client: c, inner: base, host: s.repo.RegistryStr(), plain: s.repo.Registry.Scheme() == "http", secret: *config != authn.AuthConfig{},
	}
	seen.shaking.Store(true)
	defer seen.shaking.Store(false)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	defer func() { s.asked = seen.challenge() }() // also of a handshake that failed
	rt, err := transport.NewWithContext(ctx, s.repo.Registry, auth, seen, []string{s.repo.Scope(s.scope)})
	if err != nil {
		return c.handshakeError(s, err, seen.patience())
	}
	s.scheme = seen.scheme()
	s.client = &http.Client{Transport: rt, CheckRedirect: checkRedirect}
	s.ready.Store(true)
	return nil
}

// handshakeError words why there was no contact; wait is what a busy registry or its token server asked for.
func (c *Client) handshakeError(s *session, err error, wait string) error {
	place := "registry " + s.repo.RegistryStr()
	result := transportError(place, "", nil, err)
	var unknown *UnknownError
	var tlsErr *tls.CertificateVerificationError
	if errors.As(result, &unknown) && errors.As(err, &tlsErr) {
		unknown.Hint = "give the registry's certificate authority with --registry-cacert"
	}
	if unknown != nil && tlsErr == nil && wait != "" {
		unknown.Hint = wait
	}
	return s.tellCredential(result)
}

// tellCredential says in the error of a refusal which credential was refused.
func (s *session) tellCredential(err error) error {
	var unknown *UnknownError
	if errors.As(err, &unknown) && (unknown.Status == http.StatusUnauthorized || unknown.Status == http.StatusForbidden) && s.from != "" {
		unknown.Hint = "used was: " + printable(s.from, maxDetail) + "; " + unknown.Hint
	}
	return err
}

// handshakeTimeout bounds the ping and the token exchange, which are a few small answers.
const handshakeTimeout = time.Minute

// maxHandshakeBody bounds an answer of the handshake; the token transport reads some of them to their end, however far that
// is. A ping has a few bytes, a token some thousand.
const maxHandshakeBody = 1 << 20

// formType is what the token transport sends to a token server when it has an identity token to exchange.
const formType = "application/x-www-form-urlencoded"

// schemeRecorder remembers with which scheme the registry answered, and keeps a registry from leading us, by a redirect of
// what the token transport asks, to plain HTTP where HTTPS is required, or to another host with the registry's credential.
type schemeRecorder struct {
	inner   http.RoundTripper
	host    string
	plain   bool        // plain HTTP is allowed
	secret  bool        // there is a credential
	client  *Client     // whose patience counts
	shaking atomic.Bool // the handshake goes on
	mu      sync.Mutex
	last    string
	asked   challenge
	wait    string // what was asked for by whom we did not ask again; empty when by nobody
}

// limitedBody is the beginning of a body.
type limitedBody struct {
	io.Reader
	io.Closer
}

func (r *schemeRecorder) RoundTrip(in *http.Request) (*http.Response, error) {
	if in.URL.Scheme != "https" && !r.plain {
		return nil, fmt.Errorf("refused to go on with %s where https is required", in.URL.Scheme)
	}
	if from := in.Response; r.secret && from != nil && from.Request != nil && from.Request.URL.Host == r.host &&
		from.Request.URL.Path == "/v2/" && in.URL.Host != r.host {
		// The challenge of another host would decide where the credential goes.
		return nil, fmt.Errorf("refused to follow the registry to %s with a credential for %s", in.URL.Host, r.host)
	}
	resp, err := r.patiently(in)
	if err == nil && in.Header.Get("Content-Type") == formType && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		// The refresh token is in the body, which the token transport would send on to wherever this leads.
		_ = resp.Body.Close()
		return nil, fmt.Errorf("refused a redirect of the token server: the request holds a credential")
	}
	if err == nil && r.shaking.Load() {
		resp.Body = limitedBody{io.LimitReader(resp.Body, maxHandshakeBody), resp.Body}
	}
	if err == nil && in.URL.Host == r.host {
		r.mu.Lock()
		// HTTPS wins: when both answer, the handshake prefers it too.
		if r.last != "https" {
			r.last = in.URL.Scheme
			if in.URL.Path == "/v2/" {
				r.asked = readChallenge(resp)
			}
		}
		r.mu.Unlock()
	}
	return resp, err
}

// patiently asks again, during the handshake, when the registry or its token server is busy; after it this is for
// [Client.do].
func (r *schemeRecorder) patiently(in *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := r.inner.RoundTrip(in)
		if err != nil || !r.shaking.Load() {
			return resp, err
		}
		a := &answer{status: resp.StatusCode, header: resp.Header}
		if !a.busy() {
			return resp, nil
		}
		wait, again := r.client.retry(request{method: in.Method}, a, errBusy, try)
		if !again || r.client.options.Sleep(in.Context(), wait) != nil {
			r.mu.Lock()
			r.wait = waitHint(resp.Header)
			r.mu.Unlock()
			return resp, nil
		}
		_ = resp.Body.Close() // nothing of it is needed
	}
}

// errBusy is what [Client.retry] is asked about.
var errBusy = errors.New("busy")

func (r *schemeRecorder) patience() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wait
}

func (r *schemeRecorder) challenge() challenge {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *schemeRecorder) scheme() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == "" {
		return "https"
	}
	return r.last
}

// checkRedirect follows redirects of reads only, never from HTTPS to HTTP, and never with credentials to another host
// (the token transport adds them for the registry's own host).
func checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	if len(via) > maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if first.Method != http.MethodGet && first.Method != http.MethodHead {
		return fmt.Errorf("refused a redirect of a %s", first.Method)
	}
	if last.URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("refused a redirect from https to %s", req.URL.Scheme)
	}
	if req.URL.Host != first.URL.Host {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return checkForeignHost(first.URL.Host, req.URL.Hostname(), req.URL.Host)
}

// checkForeignHost refuses an address that a registry sends us to when it is a private or loopback IP literal and not the
// registry's own: such a redirect reaches what only we can reach.
func checkForeignHost(registry, hostname, host string) error {
	if host == registry {
		return nil
	}
	addr, err := netip.ParseAddr(hostname)
	if err != nil {
		return nil
	}
	addr = addr.Unmap()
	if addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() {
		if own, _, err := net.SplitHostPort(registry); err == nil && own == hostname {
			return nil
		}
		return fmt.Errorf("refused to follow the registry to the private address %s", host)
	}
	return nil
}
