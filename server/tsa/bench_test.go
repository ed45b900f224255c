package tsa_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bulla-sign/bulla/timestamp"
)

// BenchmarkReply is a request without the network: reading, signing, writing. Most of it is the signature.
func BenchmarkReply(b *testing.B) {
	s, _ := service(b, nil)
	_, der := query(b, func(r *timestamp.Request) { r.Certificates = true })
	b.ReportAllocs()
	for b.Loop() {
		if rw := post(s, derType, der); rw.Code != http.StatusOK {
			b.Fatal(rw.Code)
		}
	}
}

// BenchmarkHTTP is a request over HTTP on loopback, client and server in one process.
func BenchmarkHTTP(b *testing.B) {
	s, _ := service(b, nil)
	_, der := query(b, func(r *timestamp.Request) { r.Certificates = true })
	srv := httptest.NewServer(s)
	defer srv.Close()
	client := srv.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(srv.URL+endpoint, derType, bytes.NewReader(der))
			if err != nil {
				b.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				b.Error(resp.StatusCode, err)
				return
			}
		}
	})
}
