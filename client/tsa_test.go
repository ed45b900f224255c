package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/timestamp"
)

func simpleSigning(about []byte) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"r.example/a"},"image":{"docker-manifest-digest":"sha256:%x"},"type":"cosign container image signature"},"optional":null}`, sha256.Sum256(about))
}

func TestTimestamp(t *testing.T) {
	s := services.New(t)
	tsa, err := client.NewTSA(s.TSA, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	der, err := tsa.Timestamp(context.Background(), []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := timestamp.Parse(der); err != nil || token.Nonce == nil || len(token.Certificates) != 1 {
		t.Errorf("got %+v, %v", token, err)
	}
	other, err := s.World.TSA.Stamp([]byte("signature"), s.Now()) // without the nonce
	if err != nil {
		t.Fatal(err)
	}
	// A response that grants nothing: status 2, "no".
	rejection := []byte{0x30, 0x0b, 0x30, 0x09, 0x02, 0x01, 0x02, 0x30, 0x04, 0x0c, 0x02, 'n', 'o'}
	for _, c := range []struct {
		name, want string
		answer     []byte
		kind       error
	}{
		{"no nonce", "does not answer the request", other, client.ErrAnswer},
		{"an earlier answer", "does not answer the request", der, client.ErrAnswer},
		{"rejection", "no", rejection, client.ErrRefused},
		{"garbage", "the answer is not a timestamp", []byte("<html>"), client.ErrAnswer},
		{"a recorded answer", "does not answer the request", testenv.ReadVector(t, "sigstore-java", "samples", "timestamp-response", "valid", "sigstore_tsa_response_with_embedded_certs.tsr"), client.ErrAnswer},
	} {
		s.Fail(services.Fault{Path: "/api/v1/timestamp", Edit: func([]byte) []byte { return c.answer }})
		if _, err := tsa.Timestamp(context.Background(), []byte("signature")); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	o := options(t, s)
	o.Root = world.New(t).Root(t)
	if tsa, err = client.NewTSA(s.TSA, o); err != nil {
		t.Fatal(err)
	}
	if _, err := tsa.Timestamp(context.Background(), []byte("signature")); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), "not of an authority of the trusted root") {
		t.Errorf("a foreign authority: %v", err)
	}
	o.Root.TSAs = nil // nobody to check it with
	if tsa, err = client.NewTSA(s.TSA, o); err != nil {
		t.Fatal(err)
	}
	if _, err := tsa.Timestamp(context.Background(), []byte("signature")); err != nil {
		t.Error(err)
	}
}
