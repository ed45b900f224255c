package oidc

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// patience is how long to wait for the user to log in.
const patience = 5 * time.Minute

//go:embed done.html
var donePage string

// Browser logs in with the user's browser: the authorization code flow with PKCE (RFC 7636, RFC 8252), whose end comes
// back to a port of this computer.
func (l *Login) Browser(ctx context.Context) (*Token, error) {
	p, err := l.discover(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.needsChallenges(); err != nil {
		return nil, err
	}
	if p.doc.Authorization == "" {
		return nil, fmt.Errorf("identity provider %s: its document names no authorization endpoint", where(l.Issuer))
	}
	back, err := l.listen()
	if err != nil {
		return nil, err
	}
	defer func() { _ = back.listener.Close() }() // the server has closed it already when all went well
	var words [3]string                          // state, nonce, verifier
	for i := range words {
		if words[i], err = secret(); err != nil {
			return nil, err
		}
	}
	state, nonce, verifier := words[0], words[1], words[2]
	u, err := url.Parse(p.doc.Authorization)
	if err != nil {
		return nil, errors.New("the authorization endpoint is not a URL")
	}
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": l.ClientID, "redirect_uri": back.url, "scope": scopes, "state": state,
		"nonce": nonce, "code_challenge": challenge(verifier), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	open := l.Open
	if open == nil {
		open = OpenBrowser
	}
	fmt.Fprintf(l.Out, "Your browser will now be opened to:\n%s\n", u)
	opened := make(chan error, 1)
	go func() { opened <- open(ctx, u.String()) }()
	code, err := back.wait(ctx, state, opened, func(err error) {
		fmt.Fprintf(l.Out, "No browser could be started (%v): open the address yourself, on this computer. From another one, log in with the device flow (--fulcio-auth-flow=device).\n", err)
	})
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	raw, err := p.tokens(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back.url}, "code_verifier": {verifier},
	})
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	return p.accept(raw, nonce, true)
}

// callback is where the browser comes back to.
type callback struct {
	listener net.Listener
	url      string // as the provider is told
	path     string
}

// listen opens the port of the redirect address, on this computer only.
func (l *Login) listen() (*callback, error) {
	address := l.RedirectURL
	if address == "" {
		address = "http://localhost:0/auth/callback"
	}
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "http", !loopback(u.Hostname()), u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("the redirect address %s is not one of this computer, such as http://localhost:0/auth/callback", where(address))
	case u.Port() == "":
		u.Host += ":80"
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, u.Port()))
	if err != nil {
		return nil, fmt.Errorf("waiting for the browser: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	if u.Path == "" {
		u.Path = "/"
	}
	return &callback{listener, u.String(), u.Path}, nil
}

// outcome is how the login ended.
type outcome struct {
	code string
	err  error
}

// wait serves the callback until the login ends. Requests that do not know the state are not part of it, and change
// nothing. failed is told if the browser was not opened.
func (c *callback) wait(ctx context.Context, state string, opened <-chan error, failed func(error)) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nobody logged in within %s", patience))
	defer cancel()
	ended := make(chan outcome, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+c.path, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != c.path {
			http.NotFound(w, req)
			return
		}
		q := req.URL.Query()
		if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the login that the program waits for.", http.StatusBadRequest)
			return
		}
		var o outcome
		title, text := "You are logged in", "The signature is being made. You can close this window."
		switch {
		case q.Get("error") != "":
			o.err = fmt.Errorf("the provider refused: %s %s", clean(q.Get("error")), clean(q.Get("error_description")))
			title, text = "You are not logged in", "The provider refused. The program says more."
		case q.Get("code") == "":
			o.err = errors.New("the provider sent the browser back without a code")
			title, text = "You are not logged in", "The provider's answer is incomplete."
		default:
			o.code = q.Get("code")
		}
		header := w.Header()
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		header.Set("Connection", "close")
		_, _ = w.Write([]byte(strings.NewReplacer("TITLE", title, "TEXT", text).Replace(donePage))) // the browser may be gone
		select {
		case ended <- o:
		default: // it has ended already
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go func() { _ = server.Serve(c.listener) }() // ends when the server is closed
	defer func() {
		// The page is still on its way to the browser.
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer stop()
		if server.Shutdown(last) != nil {
			_ = server.Close() // nothing more can be done for the page
		}
	}()
	for {
		select {
		case err := <-opened:
			if err != nil {
				failed(err)
			}
		case o := <-ended:
			return o.code, o.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// OpenBrowser opens an address in the user's browser. It returns when the program that does so has ended, which may be at
// once, or when the browser is closed.
func OpenBrowser(ctx context.Context, address string) error {
	if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") {
		return errors.New("it is not a web address")
	}
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	// A browser outlives the login.
	if err := exec.CommandContext(context.WithoutCancel(ctx), path, args...).Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
