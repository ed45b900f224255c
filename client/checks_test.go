package client_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

// TestNothingInTheClear: a redirect to the same host by plain HTTP would show a token to whoever listens.
func TestNothingInTheClear(t *testing.T) {
	for _, of := range actors {
		th := newTheater(t, of)
		end := th.ends[of.Name]
		end.Fail(fault.Fault{
			Method: of.Method, Path: of.Path, Status: http.StatusTemporaryRedirect, Times: -1,
			Header: map[string]string{"Location": strings.Replace(end.URL, "https://", "http://", 1) + of.Path},
		})
		synctest.Test(t, func(t *testing.T) {
			th.begin()
			if _, said, err := th.sign(t.Context(), t, contents()[0], time.Minute); err == nil || !strings.Contains(said, "not followed") {
				t.Errorf("%s: %s", of.Name, said)
			}
		})
		th.secrets(t)
	}
}

// broken is a transport that fails, and counts how often it was asked.
type broken struct {
	err   error
	asked int
}

func (b *broken) RoundTrip(*http.Request) (*http.Response, error) { b.asked++; return nil, b.err }

// TestPointlessToRetry: what another attempt does not change is said at once.
func TestPointlessToRetry(t *testing.T) {
	s := services.New(t)
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0) // that its certificate is refused is part of the test
	stranger.StartTLS()
	defer stranger.Close()
	for _, svc := range all() {
		o := options(t, s)
		unknown := &broken{err: &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "log.example", IsNotFound: true}}}
		o.Transport = unknown
		if err := svc.call(context.Background(), t, s, o); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "no such host") || unknown.asked != 1 {
			t.Errorf("%s, unknown host, asked %d times: %v", svc.name, unknown.asked, err)
		}
	}
	tsa, err := client.NewTSA(stranger.URL, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tsa.Timestamp(context.Background(), []byte("x")); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "tried") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

// leading sends everything on to an address with a secret, where nobody answers.
type leading struct{}

func (leading) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.RawQuery != "" {
		return nil, errors.New("no route to it")
	}
	return &http.Response{
		StatusCode: http.StatusTemporaryRedirect, Request: r, Body: http.NoBody,
		Header: http.Header{"Location": {r.URL.Scheme + "://" + r.URL.Host + "/elsewhere?key=canary"}},
	}, nil
}

// TestAnswersThatAreNone: statuses that are neither yes nor no, and what a redirect adds to an address.
func TestAnswersThatAreNone(t *testing.T) {
	s := services.New(t)
	for _, svc := range all() {
		s.Heal()
		s.Fail(services.Fault{Path: svc.path, Status: http.StatusNotModified, Times: -1})
		if err := svc.call(context.Background(), t, s, options(t, s)); !errors.Is(err, client.ErrAnswer) {
			t.Errorf("%s, 304: %v", svc.name, err)
		}
		o := options(t, s)
		o.Patience, o.Transport = -1, leading{}
		if err := svc.call(context.Background(), t, s, o); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "no route") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s, what opens an address: %v", svc.name, err)
		}
	}
}

// huge is a certificate of a key with so many bits; nobody has its private part.
func huge(t *testing.T, bits uint) []byte {
	t.Helper()
	key := testenv.ECDSAKey(t, elliptic.P256())
	modulus := new(big.Int).Lsh(big.NewInt(1), bits-1)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "huge"}},
		&x509.Certificate{Subject: pkix.Name{CommonName: "somebody"}}, &rsa.PublicKey{N: modulus.SetBit(modulus, 0, 1), E: 65537}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestCertificatesThatAreNone: what an authority may send in place of a certificate for a signer, and of its own.
func TestCertificatesThatAreNone(t *testing.T) {
	s := services.New(t)
	key := signer(t, algorithm.ECDSAP256SHA256)
	certify := func(root *trust.Root) error {
		o := options(t, s)
		o.Root = root
		ca, err := client.NewCA(s.URL, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ca.Certify(context.Background(), sign.Identity{Token: s.Token(nil), Challenge: s.Email}, key)
		return err
	}
	wants := func(name string, err error, want string) {
		t.Helper()
		if !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	answer := func(certificates ...[]byte) func([]byte) []byte {
		return change(t, func(m map[string]any) {
			var pems []any
			for _, der := range certificates {
				pems = append(pems, string(mint.PEM(der)))
			}
			m["signedCertificateEmbeddedSct"].(map[string]any)["chain"].(map[string]any)["certificates"] = pems
		})
	}
	root := s.World.Root(t)

	s.Leaf = func(l *mint.LeafOptions) {
		l.Edit = func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }
	}
	wants("an authority's certificate", certify(root), "not one for signatures")

	// A clock that is somewhat behind is no reason to refuse.
	s.Leaf = func(l *mint.LeafOptions) { l.NotBefore = time.Now().Add(2 * time.Minute).UTC().Truncate(time.Second) }
	if err := certify(root); err != nil {
		t.Errorf("valid in two minutes: %v", err)
	}
	s.Leaf = nil

	leaf := s.World.CA.Issue(t, mint.LeafOptions{Public: key.Public(), NotBefore: time.Now().UTC().Truncate(time.Second), CTLogs: []*mint.CTLog{s.World.CTLog}})
	s.Fail(services.Fault{Path: "/api/v2/signingCert", Edit: answer(leaf, huge(t, 9000)), Times: -1})
	wants("a huge key", certify(root), "has an RSA key of 9000 bits")
	s.Heal()

	retired := s.World.Root(t)
	for i := range retired.CAs {
		retired.CAs[i].Window.End = mint.Epoch
	}
	wants("a retired authority", certify(retired), "is not trusted at")

	// A trusted root that has the signer's own certificate for an authority.
	own, err := x509.ParseCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	itself := s.World.Root(t)
	for i := range itself.CAs {
		itself.CAs[i].Chain = []*x509.Certificate{own}
	}
	s.Fail(services.Fault{Path: "/api/v2/signingCert", Edit: answer(leaf), Times: -1})
	wants("an authority of its own", certify(itself), "an authority's own")
}

// TestTimestampOfRetiredAuthority: an authority is believed in the time that the trusted root says, and no other.
func TestTimestampOfRetiredAuthority(t *testing.T) {
	s := services.New(t)
	for name, edit := range map[string]func(w *trust.Window){
		"not any more": func(w *trust.Window) { w.End = mint.Epoch },
		"not yet":      func(w *trust.Window) { w.Start = time.Now().Add(time.Hour) },
	} {
		o := options(t, s)
		for i := range o.Root.TSAs {
			edit(&o.Root.TSAs[i].Window)
		}
		if err := all()[3].call(t.Context(), t, s, o); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), "not of an authority of the trusted root") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPauseWithinDeadline: a pause that would last beyond the caller's deadline ends early enough to try once more.
func TestPauseWithinDeadline(t *testing.T) {
	of := actors[3]
	th := newTheater(t, of)
	th.fails(of, fault.Fault{Method: of.Method, Path: of.Path, Status: 503})
	synctest.Test(t, func(t *testing.T) {
		th.begin()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		tsa, err := client.NewTSA(th.end(of).URL+of.Path, client.Options{Transport: &th.wire, Now: th.Now, Pause: 12 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tsa.Timestamp(ctx, []byte("x")); err != nil {
			t.Error(err)
		}
	})
}
