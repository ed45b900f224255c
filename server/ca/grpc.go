package ca

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/bulla-sign/bulla/server/ca/fulciopb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// serviceName is Fulcio's gRPC service.
const serviceName = "dev.sigstore.fulcio.v2.CA"

// metadataToken is where a gRPC request may have its token if it is not in the message, as in Fulcio.
const metadataToken = "oidcidentitytoken"

// codec writes the messages of package fulciopb, and generated ones (those of the health service) as usual.
type codec struct{}

// Name is the content subtype that gRPC clients use by default.
func (codec) Name() string { return "proto" }

// Marshal writes an answer.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case interface{ MarshalProto() []byte }:
		return mem.BufferSlice{mem.SliceBuffer(m.MarshalProto())}, nil
	case proto.Message:
		data, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	return nil, fmt.Errorf("grpc: no encoding for %T", v)
}

// Unmarshal reads a request.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case interface{ UnmarshalProto([]byte) error }:
		return m.UnmarshalProto(data.Materialize())
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("grpc: no encoding for %T", v)
}

// caService is what gRPC demands of the value behind a service.
type caService interface {
	create(ctx context.Context, api string, req *fulciopb.SigningRequest) ([]string, error)
}

// unary makes the description of a method of a request and a function.
func unary[T any](name string, call func(s *Server, ctx context.Context, req *T) (any, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, wrap grpc.UnaryServerInterceptor) (any, error) {
		s, ok := srv.(*Server)
		if !ok {
			return nil, status.Error(codes.Internal, "wrong service")
		}
		req := new(T)
		if err := decode(req); err != nil {
			return nil, err
		}
		handler := func(ctx context.Context, req any) (any, error) {
			typed, ok := req.(*T)
			if !ok {
				return nil, status.Error(codes.Internal, "wrong request")
			}
			return call(s, ctx, typed)
		}
		if wrap == nil {
			return handler(ctx, req)
		}
		return wrap(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + serviceName + "/" + name}, handler)
	}}
}

func (s *Server) newGRPC() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(MaxBody),
		grpc.UnaryInterceptor(s.recovered),
	)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*caService)(nil),
		Metadata:    "fulcio.proto",
		Methods: []grpc.MethodDesc{
			unary("CreateSigningCertificate", (*Server).createGRPC),
			unary("GetTrustBundle", func(s *Server, _ context.Context, _ *fulciopb.Empty) (any, error) { return s.trustBundle(), nil }),
			unary("GetConfiguration", func(s *Server, _ context.Context, _ *fulciopb.Empty) (any, error) { return s.configuration(), nil }),
		},
	}, s)
	health.RegisterHealthServer(server, healthService{ready: s.Ready})
	return server
}

func (s *Server) createGRPC(ctx context.Context, req *fulciopb.SigningRequest) (any, error) {
	if err := fromMetadata(ctx, req); err != nil {
		s.metrics.observe(apiGRPC, refused.String(), 0)
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	chain, err := s.create(ctx, apiGRPC, req)
	if err == nil {
		return fulciopb.NewSigningCertificate(chain), nil
	}
	why := asRefusal(err)
	if why.retry > 0 {
		seconds := strconv.FormatInt(int64((why.retry+time.Second-1)/time.Second), 10)
		if err := grpc.SetTrailer(ctx, metadata.Pairs("retry-after", seconds)); err != nil {
			s.log.WarnContext(ctx, "trailer not set", "cause", err)
		}
	}
	_, code := why.kind.codes()
	return nil, status.Error(code, why.message)
}

// fromMetadata takes the token of the metadata, by the rule of [bearer].
func fromMetadata(ctx context.Context, req *fulciopb.SigningRequest) error {
	values := metadata.ValueFromIncomingContext(ctx, metadataToken)
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return nil
	case len(values) > 1:
		return fmt.Errorf("the request has more than one token in its metadata, %s", metadataToken)
	case req.Token != "" && req.Token != values[0]:
		return fmt.Errorf("the request has two different tokens, in its message and in its metadata, %s", metadataToken)
	}
	req.Token = values[0]
	return nil
}

// recovered keeps a panic from ending the process: gRPC runs its handlers in goroutines of its own, where net/http does
// not catch it.
func (s *Server) recovered(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.ErrorContext(ctx, "panic", "api", apiGRPC, "cause", fmt.Sprint(r), "stack", string(debug.Stack()))
			answer, err = nil, status.Error(codes.Internal, "internal error")
		}
	}()
	return handler(ctx, req)
}

// healthService answers grpc.health.v1.
type healthService struct {
	health.UnimplementedHealthServer
	ready func(context.Context) error
}

// Check knows the server as a whole and the CA.
func (h healthService) Check(ctx context.Context, req *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	if req.GetService() != "" && req.GetService() != serviceName {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	if h.ready(ctx) != nil {
		return &health.HealthCheckResponse{Status: health.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, nil
}
