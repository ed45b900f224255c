package ca_test

import (
	"context"
	"crypto/elliptic"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/ca"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// field describes a field of a message; kind is "string", "bytes", "bool", "enum", or the name of a message.
func field(name string, number int32, kind string, oneof, repeated bool) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{Name: proto.String(name), Number: proto.Int32(number), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	switch kind {
	case "string":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	case "bytes":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
	case "bool":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum()
	case "int32":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum()
	default:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".dev.sigstore.fulcio.v2."+kind)
	}
	if oneof {
		f.OneofIndex = proto.Int32(0)
	}
	if repeated {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	return f
}

func messageType(name, oneof string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: proto.String(name), Field: fields}
	if oneof != "" {
		m.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String(oneof)}}
	}
	return m
}

// fulcio describes the messages as fulcio.proto does, for the protobuf library: what a generated client does with them.
func fulcio(t testing.TB) protoreflect.MessageDescriptors {
	t.Helper()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("fulcio.proto"), Package: proto.String("dev.sigstore.fulcio.v2"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			messageType("CreateSigningCertificateRequest", "key", field("credentials", 1, "Credentials", false, false),
				field("public_key_request", 2, "PublicKeyRequest", true, false), field("certificate_signing_request", 3, "bytes", true, false),
				field("future", 99, "string", false, false)),
			messageType("Credentials", "credentials", field("oidc_identity_token", 1, "string", true, false)),
			messageType("PublicKeyRequest", "", field("public_key", 1, "PublicKey", false, false), field("proof_of_possession", 2, "bytes", false, false)),
			messageType("PublicKey", "", field("algorithm", 1, "int32", false, false), field("content", 2, "string", false, false)),
			messageType("SigningCertificate", "certificate", field("signed_certificate_detached_sct", 1, "SigningCertificateDetachedSCT", true, false),
				field("signed_certificate_embedded_sct", 2, "SigningCertificateEmbeddedSCT", true, false)),
			messageType("SigningCertificateDetachedSCT", "", field("chain", 1, "CertificateChain", false, false), field("signed_certificate_timestamp", 2, "bytes", false, false)),
			messageType("SigningCertificateEmbeddedSCT", "", field("chain", 1, "CertificateChain", false, false)),
			messageType("CertificateChain", "", field("certificates", 1, "string", false, true)),
			messageType("TrustBundle", "", field("chains", 1, "CertificateChain", false, true)),
			messageType("Empty", ""),
			messageType("Configuration", "", field("issuers", 1, "OIDCIssuer", false, true)),
			messageType("OIDCIssuer", "issuer", field("issuer_url", 1, "string", true, false), field("wildcard_issuer_url", 2, "string", true, false),
				field("audience", 3, "string", false, false), field("challenge_claim", 4, "string", false, false), field("spiffe_trust_domain", 5, "string", false, false),
				field("issuer_type", 6, "string", false, false), field("subject_domain", 7, "string", false, false), field("skip_email_verification", 8, "bool", false, false)),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages()
}

// set fills a message by path; get reads one.
func set(m *dynamicpb.Message, value protoreflect.Value, path ...protoreflect.Name) {
	var at protoreflect.Message = m
	for _, name := range path[:len(path)-1] {
		at = at.Mutable(at.Descriptor().Fields().ByName(name)).Message()
	}
	at.Set(at.Descriptor().Fields().ByName(path[len(path)-1]), value)
}

func get(m *dynamicpb.Message, path ...protoreflect.Name) protoreflect.Value {
	var at protoreflect.Message = m
	for _, name := range path[:len(path)-1] {
		at = at.Get(at.Descriptor().Fields().ByName(name)).Message()
	}
	return at.Get(at.Descriptor().Fields().ByName(path[len(path)-1]))
}

// dialGRPC serves over HTTP/2 without TLS, on the port that REST has, and connects.
func dialGRPC(t testing.TB, h http.Handler) (*grpc.ClientConn, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: 10 * time.Second}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		_ = server.Close()
		<-done
	})
	return conn, "http://" + listener.Addr().String()
}

const service = "/dev.sigstore.fulcio.v2.CA/"

func TestGRPC(t *testing.T) {
	w := newWorld(t, nil)
	types := fulcio(t)
	conn, rest := dialGRPC(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	key := newKey(t, elliptic.P256())
	raw := w.idp.token(t, claims(nil))
	byKey := func() *dynamicpb.Message {
		req := dynamicpb.NewMessage(types.ByName("CreateSigningCertificateRequest"))
		set(req, protoreflect.ValueOfString(raw), "credentials", "oidc_identity_token")
		set(req, protoreflect.ValueOfInt32(2), "public_key_request", "public_key", "algorithm")
		set(req, protoreflect.ValueOfString(keyPEM(t, key)), "public_key_request", "public_key", "content")
		set(req, protoreflect.ValueOfBytes(sign(t, key, email)), "public_key_request", "proof_of_possession")
		set(req, protoreflect.ValueOfString("?"), "future")
		return req
	}
	byCSR := dynamicpb.NewMessage(types.ByName("CreateSigningCertificateRequest"))
	set(byCSR, protoreflect.ValueOfString(raw), "credentials", "oidc_identity_token")
	set(byCSR, protoreflect.ValueOfBytes(csrPEM(csr(t, key))), "certificate_signing_request")
	for name, req := range map[string]*dynamicpb.Message{"key": byKey(), "CSR": byCSR} {
		answer := dynamicpb.NewMessage(types.ByName("SigningCertificate"))
		if err := conn.Invoke(ctx, service+"CreateSigningCertificate", req, answer); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var text strings.Builder
		list := get(answer, "signed_certificate_embedded_sct", "chain", "certificates").List()
		for i := range list.Len() {
			text.WriteString(list.Get(i).String())
		}
		w.checkIssued(t, pemChain(t, []byte(text.String())), key.Public())
		if len(answer.GetUnknown()) > 0 {
			t.Fatal("the answer has unknown fields")
		}
	}

	bad := byKey()
	set(bad, protoreflect.ValueOfBytes(sign(t, key, "bob@bulla.test")), "public_key_request", "proof_of_possession")
	err := conn.Invoke(ctx, service+"CreateSigningCertificate", bad, dynamicpb.NewMessage(types.ByName("SigningCertificate")))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), `over "alice@bulla.test"`) {
		t.Fatal(err)
	}

	bundle := dynamicpb.NewMessage(types.ByName("TrustBundle"))
	if err := conn.Invoke(ctx, service+"GetTrustBundle", dynamicpb.NewMessage(types.ByName("Empty")), bundle); err != nil {
		t.Fatal(err)
	}
	if chains := get(bundle, "chains").List(); chains.Len() != 1 {
		t.Fatalf("%d chains", chains.Len())
	}
	configuration := dynamicpb.NewMessage(types.ByName("Configuration"))
	if err := conn.Invoke(ctx, service+"GetConfiguration", dynamicpb.NewMessage(types.ByName("Empty")), configuration); err != nil {
		t.Fatal(err)
	}
	want := `issuers:{issuer_url:"` + issuerURL + `" audience:"sigstore" challenge_claim:"email" issuer_type:"email"}`
	if got := strings.ReplaceAll(configuration.String(), "  ", " "); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if err := conn.Invoke(ctx, service+"Other", byCSR, bundle); status.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}

	res, err := http.Get(rest + "/api/v2/trustBundle")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
}

// The token may be in the metadata, where Fulcio's gateway puts it; but there is one at most.
func TestGRPCTokenInMetadata(t *testing.T) {
	w := newWorld(t, nil)
	types := fulcio(t)
	conn, _ := dialGRPC(t, w)
	key := newKey(t, elliptic.P256())
	raw := w.idp.token(t, claims(nil))
	for name, c := range map[string]struct {
		message  string
		metadata []string
		want     string
	}{
		"metadata alone":  {"", []string{raw}, ""},
		"the same twice":  {raw, []string{raw}, ""},
		"nothing in it":   {raw, []string{""}, ""},
		"two in metadata": {"", []string{raw, raw}, "more than one token in its metadata"},
		"two different":   {raw, []string{raw + "A"}, "two different tokens"},
		"none":            {"", []string{""}, "no identity token"},
	} {
		req := dynamicpb.NewMessage(types.ByName("CreateSigningCertificateRequest"))
		if c.message != "" {
			set(req, protoreflect.ValueOfString(c.message), "credentials", "oidc_identity_token")
		}
		set(req, protoreflect.ValueOfBytes(csrPEM(csr(t, key))), "certificate_signing_request")
		ctx := t.Context()
		for _, value := range c.metadata {
			ctx = metadata.AppendToOutgoingContext(ctx, "oidcidentitytoken", value)
		}
		err := conn.Invoke(ctx, service+"CreateSigningCertificate", req, dynamicpb.NewMessage(types.ByName("SigningCertificate")))
		if c.want == "" && err != nil || c.want != "" && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGRPCHealth(t *testing.T) {
	w := newWorld(t, nil)
	conn, _ := dialGRPC(t, w)
	client := health.NewHealthClient(conn)
	for name, want := range map[string]codes.Code{"": codes.OK, "dev.sigstore.fulcio.v2.CA": codes.OK, "other": codes.NotFound} {
		answer, err := client.Check(t.Context(), &health.HealthCheckRequest{Service: name})
		if status.Code(err) != want || err == nil && answer.GetStatus() != health.HealthCheckResponse_SERVING {
			t.Fatal(name, answer, err)
		}
	}
}

// TestGRPCLimits: a request that is too long, too often, or makes the service panic ends as an error of its own.
func TestGRPCLimits(t *testing.T) {
	w := newWorld(t, func(cfg *ca.Config) {
		cfg.Limit = func(string) (bool, time.Duration) { return false, 90 * time.Second }
	})
	types := fulcio(t)
	conn, _ := dialGRPC(t, w)
	req := dynamicpb.NewMessage(types.ByName("CreateSigningCertificateRequest"))
	set(req, protoreflect.ValueOfString(w.idp.token(t, claims(nil))), "credentials", "oidc_identity_token")
	var trailer metadata.MD
	err := conn.Invoke(t.Context(), service+"CreateSigningCertificate", req, dynamicpb.NewMessage(types.ByName("SigningCertificate")), grpc.Trailer(&trailer))
	if status.Code(err) != codes.ResourceExhausted || len(trailer.Get("retry-after")) != 1 || trailer.Get("retry-after")[0] != "90" {
		t.Fatal(err, trailer)
	}
	set(req, protoreflect.ValueOfString(strings.Repeat("a", ca.MaxBody)), "credentials", "oidc_identity_token")
	err = conn.Invoke(t.Context(), service+"CreateSigningCertificate", req, dynamicpb.NewMessage(types.ByName("SigningCertificate")))
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	p := newWorld(t, func(cfg *ca.Config) { cfg.Limit = func(string) (bool, time.Duration) { panic("limit") } })
	conn, _ = dialGRPC(t, p)
	set(req, protoreflect.ValueOfString(p.idp.token(t, claims(nil))), "credentials", "oidc_identity_token")
	err = conn.Invoke(t.Context(), service+"CreateSigningCertificate", req, dynamicpb.NewMessage(types.ByName("SigningCertificate")))
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "limit") {
		t.Fatal(err)
	}
}
