package ca

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bulla-sign/bulla/server/ca/fulciopb"
	"github.com/bulla-sign/bulla/server/ca/principal"
	"github.com/bulla-sign/bulla/server/ca/token"
	"github.com/bulla-sign/bulla/server/httpserver"
	"google.golang.org/grpc/codes"
)

// kind is the class of a failure: what the client is told by status, and a label of the metrics.
type kind int

const (
	refused     kind = iota // the client's: another attempt fails as well
	limited                 // too often
	unavailable             // another attempt may succeed
	failed                  // a defect here
)

func (k kind) String() string { return [...]string{"refused", "limited", "unavailable", "failed"}[k] }

// codes are the status of HTTP and of gRPC. Whatever is wrong with a request is 400, as in Fulcio, also where other
// services would say 401: clients know no other.
func (k kind) codes() (int, codes.Code) {
	switch k {
	case refused:
		return http.StatusBadRequest, codes.InvalidArgument
	case limited:
		return http.StatusTooManyRequests, codes.ResourceExhausted
	case unavailable:
		return http.StatusServiceUnavailable, codes.Unavailable
	}
	return http.StatusInternalServerError, codes.Internal
}

// refusal is why there is no certificate.
type refusal struct {
	kind    kind
	message string        // for the client
	retry   time.Duration // when it may come again; 0: nothing is said
	cause   error         // for the log alone
}

func (r *refusal) Error() string { return r.message }

func (r *refusal) Unwrap() error { return r.cause }

func refuse(err error) *refusal { return &refusal{kind: refused, message: err.Error()} }

// asRefusal makes a refusal of any error. What is not one is a defect, of which the client learns nothing more.
func asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return &refusal{kind: failed, message: "the certificate could not be issued", cause: err}
}

// fromToken translates the errors of token verification.
func fromToken(err error) *refusal {
	var e *token.Error
	if !errors.As(err, &e) {
		return asRefusal(err)
	}
	r := &refusal{kind: refused, message: e.Reason, cause: e.Cause}
	switch e.Kind {
	case token.Unavailable:
		r.kind = unavailable
	case token.Busy:
		r.kind, r.retry = limited, token.RetryAfter
	}
	return r
}

// authorize makes all checks of a request. This is the only place where a grant is made.
func (s *Server) authorize(ctx context.Context, req *fulciopb.SigningRequest) (*grant, error) {
	verified, err := s.tokens.Verify(ctx, req.Token)
	if err != nil {
		return nil, fromToken(err)
	}
	provider, _ := s.cfg.Issuers.Provider(verified.Config)
	who, err := principal.New(principal.Claims{
		Issuer: verified.Issuer, Subject: verified.Subject, All: verified.Claims,
	}, verified.Config, provider)
	if err != nil {
		return nil, refuse(err)
	}
	if s.cfg.Limit != nil {
		if ok, wait := s.cfg.Limit(verified.Issuer + " " + who.SAN.Value); !ok {
			return nil, &refusal{kind: limited, retry: max(wait, time.Second), message: fmt.Sprintf(
				"too many certificates for %s, try again in %s", who.SAN.Value, max(wait, time.Second).Round(time.Second))}
		}
	}
	spki, err := possessed(req, who.Challenges)
	if err != nil {
		return nil, refuse(err)
	}
	return &grant{principal: who, issuer: verified.Config, spki: spki}, nil
}

// create answers a request for a certificate: the chain in PEM, leaf first.
func (s *Server) create(ctx context.Context, api string, req *fulciopb.SigningRequest) ([]string, error) {
	started := time.Now()
	chain, err := s.attempt(ctx, req)
	outcome := issued
	if err != nil {
		r := asRefusal(err)
		outcome = r.kind.String()
		s.logRefusal(ctx, api, r)
		err = r
	}
	s.metrics.observe(api, outcome, time.Since(started))
	return chain, err
}

func (s *Server) attempt(ctx context.Context, req *fulciopb.SigningRequest) ([]string, error) {
	g, err := s.authorize(ctx, req)
	if err != nil {
		return nil, err
	}
	der, d, err := s.issue(ctx, g)
	if err != nil {
		return nil, err
	}
	s.metrics.issued(string(g.issuer.Type))
	s.log.InfoContext(ctx, "certificate issued", "issuer", g.issuer.URL, "type", g.issuer.Declared, "san", d.san.Kind.String(),
		"serial", d.serial.Text(16), "until", d.notAfter, "request", httpserver.RequestID(ctx))
	return append([]string{encodePEM(der)}, s.chainPEM...), nil
}

func (s *Server) logRefusal(ctx context.Context, api string, r *refusal) {
	args := []any{"api", api, "outcome", r.kind.String(), "reason", r.message, "request", httpserver.RequestID(ctx)}
	if r.cause != nil {
		args = append(args, "cause", r.cause.Error())
	}
	if r.kind == refused || r.kind == limited {
		s.log.InfoContext(ctx, "certificate refused", args...)
		return
	}
	s.log.ErrorContext(ctx, "certificate not issued", args...)
}
