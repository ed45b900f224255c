package interop

import (
	"bytes"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/certificate-transparency-go/ctutil"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
	"github.com/sigstore/fulcio/pkg/api"
	fulciocert "github.com/sigstore/fulcio/pkg/certificate"
	fulciopb "github.com/sigstore/fulcio/pkg/generated/protobuf"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestFulcioClients gets certificates with Fulcio's own clients, the one of its first API and the stubs of its gRPC
// service, on the one port of an instance.
func TestFulcioClients(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	trusted := in.published(t)
	t.Run("v1", func(t *testing.T) { fulcioV1(t, in, trusted) })
	t.Run("gRPC", func(t *testing.T) { fulcioGRPC(t, in, trusted) })
}

func fulcioV1(t *testing.T, in *instance, trusted *root.TrustedRoot) {
	address, err := url.Parse(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := api.NewClient(address, api.WithUserAgent("fulcio/test"), api.WithTimeout(30*time.Second))
	roots, err := client.RootCert()
	if err != nil {
		t.Fatal(err)
	}
	authority := trusted.FulcioCertificateAuthorities()[0].(*root.FulcioCertificateAuthority)
	if chain := certificates(t, roots.ChainPEM); len(chain) != 2 || !chain[1].Equal(authority.Root) {
		t.Errorf("/api/v1/rootCert answers %d certificates, and not those of the trusted root", len(chain))
	}
	key, other := newPair(t), newPair(t)
	withKey := api.CertificateRequest{
		PublicKey: api.Key{Algorithm: "ecdsa", Content: key.der}, SignedEmailAddress: key.signature(t, identity),
	}
	for name, request := range map[string]api.CertificateRequest{"key": withKey, "request": {CertificateSigningRequest: key.request(t)}} {
		answer, err := client.SigningCert(request, in.word(t, identity))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		certified(t, in, trusted, key, append(certificates(t, answer.CertPEM), certificates(t, answer.ChainPEM)...))
	}
	stolen := withKey
	stolen.SignedEmailAddress = other.signature(t, identity)
	for name, c := range map[string]struct {
		request     api.CertificateRequest
		token, want string
	}{
		"a key of somebody else":     {stolen, in.word(t, identity), "400"},
		"no token":                   {withKey, "", "400"},
		"a token with a changed end": {withKey, in.word(t, identity) + "AAAA", "400"},
	} {
		if answer, err := client.SigningCert(c.request, c.token); err == nil || !strings.Contains(err.Error(), "returned "+c.want) {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
}

func fulcioGRPC(t *testing.T, in *instance, trusted *root.TrustedRoot) {
	connection, err := grpc.NewClient(strings.TrimPrefix(in.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	client := fulciopb.NewCAClient(connection)
	bundle, err := client.GetTrustBundle(t.Context(), &fulciopb.GetTrustBundleRequest{})
	if err != nil {
		t.Fatal(err)
	}
	authority := trusted.FulcioCertificateAuthorities()[0].(*root.FulcioCertificateAuthority)
	if len(bundle.GetChains()) != 1 {
		t.Fatalf("%d chains in the trust bundle", len(bundle.GetChains()))
	}
	chain := chainOf(t, bundle.GetChains()[0])
	if len(chain) != 2 || !chain[1].Equal(authority.Root) {
		t.Errorf("the trust bundle has other certificates than the trusted root")
	}
	configured(t, in, client)
	key := newPair(t)
	requests := map[string]*fulciopb.CreateSigningCertificateRequest{
		"key": {Key: &fulciopb.CreateSigningCertificateRequest_PublicKeyRequest{PublicKeyRequest: &fulciopb.PublicKeyRequest{
			PublicKey:         &fulciopb.PublicKey{Algorithm: fulciopb.PublicKeyAlgorithm_ECDSA, Content: string(key.pem())},
			ProofOfPossession: key.signature(t, identity),
		}}},
		"request": {Key: &fulciopb.CreateSigningCertificateRequest_CertificateSigningRequest{CertificateSigningRequest: key.request(t)}},
	}
	for name, request := range requests {
		if _, err := client.CreateSigningCertificate(t.Context(), request); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s without a token: %v", name, err)
		}
		// Fulcio takes the token from the request's metadata, too: its own gateway sends it there.
		ctx := metadata.AppendToOutgoingContext(t.Context(), "oidcidentitytoken", in.word(t, identity))
		if answer, err := client.CreateSigningCertificate(ctx, request); err != nil {
			t.Errorf("%s with a token in the metadata: %v", name, err)
		} else {
			certified(t, in, trusted, key, chainOf(t, answer.GetSignedCertificateEmbeddedSct().GetChain()))
		}
		request.Credentials = &fulciopb.Credentials{Credentials: &fulciopb.Credentials_OidcIdentityToken{OidcIdentityToken: in.word(t, identity)}}
		answer, err := client.CreateSigningCertificate(t.Context(), request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		certified(t, in, trusted, key, chainOf(t, answer.GetSignedCertificateEmbeddedSct().GetChain()))
	}
	requests["key"].GetPublicKeyRequest().ProofOfPossession = newPair(t).signature(t, identity)
	if _, err := client.CreateSigningCertificate(t.Context(), requests["key"]); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a key of somebody else: %v", err)
	}
}

// configured: the authority says whose tokens it takes, and what must be signed with the key.
func configured(t *testing.T, in *instance, client fulciopb.CAClient) {
	t.Helper()
	configuration, err := client.GetConfiguration(t.Context(), &fulciopb.GetConfigurationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, issuer := range configuration.GetIssuers() {
		if issuer.GetIssuerUrl() == in.Issuer {
			if issuer.GetAudience() != "sigstore" || issuer.GetChallengeClaim() != "email" || issuer.GetIssuerType() != "email" {
				t.Errorf("the issuer is described as %v", issuer)
			}
			return
		}
	}
	t.Errorf("the issuer %s is not in the configuration: %v", in.Issuer, configuration)
}

// certified holds a chain against what Fulcio demands of its own: its parser of the
// extensions, and a timestamp of the CT log as ct-go verifies it.
func certified(t *testing.T, in *instance, trusted *root.TrustedRoot, key pair, chain []*x509.Certificate) {
	t.Helper()
	if len(chain) != 3 {
		t.Fatalf("a chain of %d certificates", len(chain))
	}
	leaf := chain[0]
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if len(leaf.EmailAddresses) != 1 || leaf.EmailAddresses[0] != identity {
		t.Errorf("the certificate names %v", leaf.EmailAddresses)
	}
	extensions, err := fulciocert.ParseExtensions(leaf.Extensions)
	if err != nil || extensions.Issuer != in.Issuer {
		t.Errorf("the certificate names the issuer %q, %v", extensions.Issuer, err)
	}
	if chains, err := trusted.FulcioCertificateAuthorities()[0].Verify(leaf, time.Now()); err != nil || len(chains) == 0 {
		t.Errorf("the certificate does not verify: %v", err)
	}
	log := the(t, trusted.CTLogs())
	var asCT []*ctx509.Certificate
	for _, c := range chain {
		parsed, err := ctx509.ParseCertificate(c.Raw)
		if err != nil {
			t.Fatal(err)
		}
		asCT = append(asCT, parsed)
	}
	scts, err := x509util.ParseSCTsFromSCTList(&asCT[0].SCTList)
	if err != nil || len(scts) != 1 {
		t.Fatalf("%d timestamps of CT logs in the certificate, %v", len(scts), err)
	}
	if err := ctutil.VerifySCT(log.PublicKey, asCT, scts[0], true); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(scts[0].LogID.KeyID[:], log.ID) {
		t.Error("the timestamp is of another log")
	}
}

func chainOf(t *testing.T, chain *fulciopb.CertificateChain) []*x509.Certificate {
	t.Helper()
	return certificates(t, []byte(strings.Join(chain.GetCertificates(), "\n")))
}

func certificates(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	out, err := cryptoutils.UnmarshalCertificatesFromPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
