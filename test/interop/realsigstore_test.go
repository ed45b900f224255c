package interop

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	signature "github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

// get reads what a real server publishes.
func get(t *testing.T, address string) []byte {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	return data
}

// TestClientOfRealServers signs with Fulcio, rekor-tiles and timestamp-authority, as they are.
func TestClientOfRealServers(t *testing.T) {
	t.Parallel()
	issuer := services.New(t)
	ca, err := realsigstore.CertificateAuthority(t.TempDir(), realsigstore.Authority{Issuer: issuer.Issuer}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Kill)
	tsa := sharedStamper(t)
	log, err := realsigstore.TransparencyLog(t.TempDir(), realsigstore.LogSettings{Checkpoints: time.Second, BatchAge: 100 * time.Millisecond}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Kill)
	o := client.Options{Root: realRoot(t, ca, tsa, log), UserAgent: "bulla/test", Patience: time.Minute}
	authority, err := client.NewCA(ca.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	stamper, err := client.NewTSA(tsa.URL+"/api/v1/timestamp", o)
	if err != nil {
		t.Fatal(err)
	}
	logger, err := client.NewLogV2(log.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	session := &sign.Session{Authority: authority, Identity: func(context.Context) (sign.Identity, error) {
		return sign.Identity{Token: issuer.Token(nil), Challenge: issuer.Email}, nil
	}}
	opts := sign.Options{Root: o.Root, Timestampers: []sign.Timestamper{stamper}, Loggers: []sign.Logger{logger}}
	if err := session.Use(t.Context(), &opts); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Blob(t.Context(), signature.Bytes([]byte("what was shipped\n")), opts); err != nil {
		t.Error(err)
	}
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + strings.Repeat("ab", 32) + `"}}],"predicateType":"https://example.com/p","predicate":{}}`)
	if _, err := sign.Statement(t.Context(), statement, nil, opts); err != nil {
		t.Error(err)
	}
	// What Fulcio says of a token that it does not take reaches the user.
	_, err = authority.Certify(t.Context(), sign.Identity{Token: issuer.Token(services.Claims{"aud": "others"}), Challenge: issuer.Email}, opts.Signer)
	if err == nil || !strings.Contains(err.Error(), "HTTP 400: There was an error processing the identity token") {
		t.Errorf("a token for others: %v", err)
	}
}

// realRoot is a trusted root of what the servers publish about themselves.
func realRoot(t *testing.T, ca, tsa *realsigstore.Server, log *realsigstore.Log) *trust.Root {
	t.Helper()
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(get(t, ca.URL+"/api/v2/trustBundle"), &bundle); err != nil || len(bundle.Chains) != 1 {
		t.Fatalf("the authority publishes %d chains, %v", len(bundle.Chains), err)
	}
	window := trust.Window{Start: time.Now().Add(-time.Hour)}
	issuing, err := trust.NewCA(trust.AuthoritySpec{URI: ca.URL, ChainPEM: []byte(strings.Join(bundle.Chains[0].Certificates, "\n")), Window: window})
	if err != nil {
		t.Fatal(err)
	}
	stamping, err := trust.NewTSA(trust.AuthoritySpec{URI: tsa.URL, ChainPEM: get(t, tsa.URL+"/api/v1/timestamp/certchain"), Window: window})
	if err != nil {
		t.Fatal(err)
	}
	logging, err := trust.NewLog(trust.LogSpec{URL: log.URL, Key: log.Key, Origin: log.Origin, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.NewRoot(trust.Root{CAs: []trust.Authority{issuing}, TSAs: []trust.Authority{stamping}, Logs: []trust.Log{logging}})
	if err != nil {
		t.Fatal(err)
	}
	return root
}
