package client_test

import (
	"context"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/sign"
)

// BenchmarkKeyless is one whole signing over loopback: certificate, signature, timestamp, log entry, bundle, verified. The
// services run in the same process and are part of the figure.
func BenchmarkKeyless(b *testing.B) {
	s := services.New(b)
	o := options(b, s)
	ca, err := client.NewCA(s.URL, o)
	if err != nil {
		b.Fatal(err)
	}
	tsa, err := client.NewTSA(s.TSA, o)
	if err != nil {
		b.Fatal(err)
	}
	log, err := client.NewLogV2(s.URL, o)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		session := &sign.Session{Authority: ca, Identity: func(context.Context) (sign.Identity, error) {
			return sign.Identity{Token: s.Token(nil), Challenge: s.Email}, nil
		}}
		opts := sign.Options{Root: o.Root, Timestampers: []sign.Timestamper{tsa}, Loggers: []sign.Logger{log}}
		if err := session.Use(context.Background(), &opts); err != nil {
			b.Fatal(err)
		}
		if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), opts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(s.Requests()))/float64(b.N), "requests/op")
}
