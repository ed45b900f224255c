package ctlog

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// hostileChains are chains that must be refused, by what is wrong with them, with a part of the reason.
func hostileChains(t testing.TB, w *world) map[string]struct {
	precert bool
	chain   [][]byte
	reason  string
} {
	type hostile = struct {
		precert bool
		chain   [][]byte
		reason  string
	}
	leaf := w.ca.leaf(t, nil)
	precert, _ := w.ca.precert(t)
	good := w.ca.chain(leaf)
	stranger := newRoot(t, "root").authority(t, "intermediate", nil) // the names of the accepted ones, other keys
	edited := func(edit func(*x509.Certificate)) [][]byte { return w.ca.chain(w.ca.leaf(t, edit)) }
	below := func(edit func(*x509.Certificate)) [][]byte {
		ca := w.root.authority(t, "edited", edit)
		return ca.chain(ca.leaf(t, nil))
	}
	deep := w.ca.authority(t, "too deep", nil)
	long := w.root
	for range maxChain - 1 {
		long = long.authority(t, "long", nil)
	}
	extension := func(critical bool, value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: poison.Id, Critical: critical, Value: value}}
		}
	}
	return map[string]hostile{
		"nothing":                   {false, nil, "0 certificates"},
		"an empty certificate":      {false, [][]byte{{}}, "0 bytes"},
		"a large certificate":       {false, [][]byte{make([]byte, maxCertificate+1)}, "bytes, must be"},
		"nine certificates":         {false, bytes.Split(bytes.Repeat([]byte("x,"), 8), []byte(",")), "9 certificates"},
		"too long with its root":    {false, long.chain(long.leaf(t, nil))[:maxChain], "more than"},
		"not DER":                   {false, [][]byte{[]byte("hello")}, "certificate 0"},
		"trailing bytes":            {false, [][]byte{append(bytes.Clone(leaf.Raw), 0), good[1], good[2]}, "certificate 0"},
		"issuer not DER":            {false, [][]byte{good[0], []byte("hello")}, "certificate 1"},
		"leaf alone":                {false, good[:1], "no accepted root has issued"},
		"reversed":                  {false, [][]byte{good[2], good[1], good[0]}, "none has issued it"},
		"issuer left out":           {false, [][]byte{good[0], good[2]}, "another issuer"},
		"leaf twice":                {false, [][]byte{good[0], good[0], good[1], good[2]}, "authority"},
		"root twice":                {false, [][]byte{good[0], good[1], good[2], good[2]}, "follows an accepted root"},
		"more after the root":       {false, append(good[:3:3], stranger.cert.Raw), "follows an accepted root"},
		"unknown root":              {false, stranger.chain(stranger.leaf(t, nil)), "no accepted root"},
		"another's intermediate":    {false, [][]byte{good[0], stranger.cert.Raw, stranger.parent.cert.Raw}, "no accepted root"},
		"forged leaf":               {false, append([][]byte{stranger.leaf(t, nil).Raw}, good[1:]...), "certificate 0"},
		"forged intermediate":       {false, [][]byte{stranger.leaf(t, nil).Raw, stranger.cert.Raw, good[2]}, "certificate 1"},
		"broken signature":          {false, append([][]byte{flip(leaf.Raw, len(leaf.Raw)-1)}, good[1:]...), "certificate 0"},
		"leaf is an authority":      {false, deep.chain(deep.cert)[1:], "authority's"},
		"leaf issued by a leaf":     {false, append([][]byte{leaf.Raw}, good...), "authority"},
		"path too deep":             {false, zeroPath(t, w), "too many intermediates"},
		"not for code signing":      {false, edited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "code signing"},
		"no extended usage":         {false, edited(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "code signing"},
		"any usage":                 {false, edited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), "code signing"},
		"issuer for servers":        {false, below(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "usage"},
		"above issuer for servers":  {false, serversAbove(t, w), "usage"},
		"issuer may not issue":      {false, below(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "not for signing certificates"},
		"expired":                   {false, edited(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = present.Add(-time.Hour), present }), "expired"},
		"begins too late":           {false, edited(func(c *x509.Certificate) { c.NotBefore = present.Add(time.Minute * 6) }), "begins only"},
		"older than its issuer":     {false, edited(func(c *x509.Certificate) { c.NotBefore = present.AddDate(-2, 0, 0) }), "not valid when"},
		"issuer expired":            {false, below(func(c *x509.Certificate) { c.NotAfter = present.Add(-time.Second) }), "not valid when"},
		"names not permitted":       {false, below(onlyOtherMail), "not permitted"},
		"names not permitted above": {false, constrainedAbove(t, w), "not permitted"},
		"unknown critical": {false, edited(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), "critical"},
		"precertificate":          {false, w.ca.chain(precert), "is a precertificate"},
		"poison of a certificate": {false, edited(extension(false, 5, 0)), "is a precertificate"},
		"certificate":             {true, good, "no precertificate"},
		"poison not critical":     {true, edited(extension(false, 5, 0)), "poison"},
		"poison of two bytes":     {true, edited(extension(true, 5, 0, 0)), "poison"},
		"poison with a boolean":   {true, edited(extension(true, 1, 1, 0xff)), "poison"},
		"precertificate with SCTs": {true, edited(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{poison, {Id: sctList, Value: []byte{4, 2, 0, 0}}}
		}), "SCTs in it"},
		"signing certificate": {true, signingCertificate(t, w), "Precertificate Signing"},
	}
}

func flip(der []byte, at int) []byte {
	out := bytes.Clone(der)
	out[at] ^= 1
	return out
}

// zeroPath is a chain in which an authority of path length 0 has issued another.
func zeroPath(t testing.TB, w *world) [][]byte {
	zero := w.root.authority(t, "zero", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	sub := zero.authority(t, "below zero", nil)
	return sub.chain(sub.leaf(t, nil))
}

func onlyOtherMail(c *x509.Certificate) {
	c.PermittedDNSDomainsCritical = true
	c.PermittedEmailAddresses = []string{"example.net"}
}

// serversAbove is a chain whose issuer is for code signing and whose issuer's issuer is not.
func serversAbove(t testing.TB, w *world) [][]byte {
	sub := w.root.authority(t, "servers", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}).authority(t, "below", nil)
	return sub.chain(sub.leaf(t, nil))
}

// constrainedAbove is a chain whose names are constrained by the issuer's issuer.
func constrainedAbove(t testing.TB, w *world) [][]byte {
	sub := w.root.authority(t, "constrained", onlyOtherMail).authority(t, "below", nil)
	return sub.chain(sub.leaf(t, nil))
}

// signingCertificate is a chain with a Precertificate Signing Certificate (RFC 6962 3.1).
func signingCertificate(t testing.TB, w *world) [][]byte {
	signing := w.ca.authority(t, "signing", func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 11129, 2, 4, 4}}
	})
	precert, _ := signing.precert(t)
	return signing.chain(precert)
}

func TestChainsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	for name, tc := range hostileChains(t, w) {
		add := s.AddChain
		if tc.precert {
			add = func(ctx context.Context, chain [][]byte) ([]byte, error) {
				sct, _, err := s.AddPreChain(ctx, chain)
				return sct, err
			}
		}
		_, err := add(t.Context(), tc.chain)
		var bad *refusal
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%s: %v, want a refusal for %q", name, err, tc.reason)
		}
		if _, err := add(t.Context(), tc.chain); err == nil {
			t.Errorf("%s: accepted when it came again", name)
		}
	}
	if scts := w.fill(t, s, 1); indexOf(t, scts[0]) != 0 {
		t.Errorf("something that was refused was logged: the next index is %d", indexOf(t, scts[0]))
	}
}

// A root's constraints of names hold for leaves that it has not issued itself.
func TestConstrainedRoot(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	root := (*authority)(nil).authority(t, "constrained root", onlyOtherMail)
	if err := s.SetRoots([]*x509.Certificate{root.cert}); err != nil {
		t.Fatal(err)
	}
	ca := root.authority(t, "below", nil)
	if _, err := s.AddChain(t.Context(), ca.chain(ca.leaf(t, nil))); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("%v", err)
	}
	permitted := ca.leaf(t, func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@example.net"} })
	if _, err := s.AddChain(t.Context(), ca.chain(permitted)); err != nil {
		t.Error(err)
	}
}

// Chains that look odd and are right.
func TestChainsAccepted(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	permitted := w.root.authority(t, "permitted", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.PermittedEmailAddresses = []string{"example.com"}
	}).authority(t, "below", nil)
	otherName := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: []byte{
		0x30, 11, 0xa0, 9, 6, 2, 0x2a, 3, 0xa0, 3, 0x0c, 1, 'x',
	}}
	for name, leaf := range map[string]func() [][]byte{
		"permitted name": func() [][]byte { return permitted.chain(permitted.leaf(t, nil)) },
		"otherName alone": func() [][]byte {
			return w.ca.chain(w.ca.leaf(t, func(c *x509.Certificate) {
				c.EmailAddresses = nil
				c.ExtraExtensions = []pkix.Extension{otherName}
			}))
		},
		"begins in a minute": func() [][]byte {
			return w.ca.chain(w.ca.leaf(t, func(c *x509.Certificate) { c.NotBefore = present.Add(time.Minute) }))
		},
		"another extended usage beside": func() [][]byte {
			return w.ca.chain(w.ca.leaf(t, func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }))
		},
	} {
		if _, err := s.AddChain(t.Context(), leaf()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The verified paths are bounded.
func TestPathsAreBounded(t *testing.T) {
	w := newWorld(t)
	a, err := newAcceptor([]*x509.Certificate{w.root.cert})
	if err != nil {
		t.Fatal(err)
	}
	for range maxPaths + 5 {
		ca := w.root.authority(t, "one of many", nil)
		if _, err := a.check(ca.chain(ca.leaf(t, nil)), certificate, present); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.paths) > maxPaths {
		t.Errorf("%d paths", len(a.paths))
	}
}

func TestHTTPRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	good := base64.StdEncoding.EncodeToString(w.ca.leaf(t, nil).Raw)
	for name, body := range map[string]string{
		"empty":          "",
		"not JSON":       "chain",
		"null":           "null",
		"list":           "[]",
		"no chain":       "{}",
		"null chain":     `{"chain":null}`,
		"string":         `{"chain":"` + good + `"}`,
		"numbers":        `{"chain":[1]}`,
		"not base64":     `{"chain":["?"]}`,
		"null in list":   `{"chain":[null]}`,
		"twice":          `{"chain":["` + good + `"],"chain":[]}`,
		"unknown member": `{"chain":["` + good + `"],"x":1}`,
		"nested":         `{"chain":[[["` + good + `"]]]}`,
		"trailing":       `{"chain":["` + good + `"]}x`,
		"nine":           `{"chain":["AA"` + strings.Repeat(`,"AA"`, 8) + `]}`,
		"leaf alone":     `{"chain":["` + good + `"]}`,
	} {
		for _, path := range []string{"/ct/v1/add-chain", "/ct/v1/add-pre-chain"} {
			if rw := postBody(s, path, []byte(body)); rw.Code != http.StatusBadRequest || rw.Body.Len() == 0 || rw.Body.Len() > 4<<10 {
				t.Errorf("%s, %s: status %d: %s", name, path, rw.Code, rw.Body)
			}
		}
	}
	if rw := postBody(s, "/ct/v1/add-chain", bytes.Repeat([]byte(" "), maxBody+1)); rw.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: status %d", rw.Code)
	}
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{"GET", testPrefix + "/ct/v1/add-chain", http.StatusMethodNotAllowed},
		{"POST", testPrefix + "/ct/v1/get-sth", http.StatusMethodNotAllowed},
		{"DELETE", testPrefix + "/checkpoint", http.StatusMethodNotAllowed},
		{"GET", testPrefix + "/ct/v1/get-nothing", http.StatusNotFound},
		{"GET", testPrefix, http.StatusNotFound},
		{"GET", testPrefix + "x/checkpoint", http.StatusNotFound},
		{"GET", "/checkpoint", http.StatusNotFound},
		{"GET", testPrefix + "/tile/0/001", http.StatusNotFound},
		{"GET", testPrefix + "/tile/entries/000.p/1", http.StatusNotFound},
		{"GET", testPrefix + "/.state/treeState", http.StatusNotFound},
		{"GET", testPrefix + "/issuer/" + strings.Repeat("0", 64), http.StatusNotFound},
		{"GET", testPrefix + "/issuer/..%2f..%2fcheckpoint", http.StatusNotFound},
	} {
		rw := httptest.NewRecorder()
		s.ServeHTTP(rw, httptest.NewRequest(tc.method, tc.path, nil))
		if rw.Code != tc.want {
			t.Errorf("%s %s: status %d, want %d", tc.method, tc.path, rw.Code, tc.want)
		}
	}
}

// What is nobody's fault is 503, with a hint when to come again, and says nothing about the machine.
func TestStatusOfErrors(t *testing.T) {
	s := newWorld(t).open(t)
	for _, tc := range []struct {
		err    error
		status int
		retry  string
	}{
		{treelog.ErrPushback, 503, "1"},
		{treelog.ErrFull, 503, "60"},
		{treelog.ErrFrozen, 403, ""},
		{treelog.ErrFailed, 503, ""},
		{errors.Join(treelog.ErrForked, errors.New("/secret/dir")), 503, ""},
		{errNoHead, 503, ""},
		{errors.New("/secret/dir: broken"), 500, ""},
	} {
		rw := httptest.NewRecorder()
		s.failWith(rw, httptest.NewRequest("GET", "/", nil), tc.err)
		if rw.Code != tc.status || rw.Header().Get("Retry-After") != tc.retry || strings.Contains(rw.Body.String(), "secret") {
			t.Errorf("%v: status %d, Retry-After %q: %s", tc.err, rw.Code, rw.Header().Get("Retry-After"), rw.Body)
		}
	}
}
