package log

import (
	"bytes"
	"net/url"
	"slices"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/tlog"
)

// FuzzRequest: whatever is taken becomes a canonical entry with a signature that verifies, which fits into a tile.
func FuzzRequest(f *testing.F) {
	s := ecdsaSigner(f)
	f.Add(edit(f, s.upload(f, "message"), func(map[string]any) {}))
	s.cert = mint.NewCA(f, mint.CAOptions{}).Issue(f, mint.LeafOptions{Public: s.key.Public(), SANs: []identity.SAN{
		{Kind: identity.Email, Value: "Alice@example.com"}, {Kind: identity.URI, Value: "https://example.com/x"},
	}})
	f.Add(edit(f, s.upload(f, "message"), func(map[string]any) {}))
	f.Add(edit(f, envelopeUpload(f, algorithm.ECDSAP256SHA256), func(map[string]any) {}))
	f.Add(edit(f, envelopeUpload(f, algorithm.Ed25519ph), func(map[string]any) {}))
	f.Add([]byte(`{"hashed_rekord_request_v002":{"digest":null,"signature":{"verifier":{"key_details":5}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseRequest(data)
		if err != nil {
			if e != nil {
				t.Fatal("an entry with an error")
			}
			return
		}
		body := e.body
		if read := describe(body).terms(); !slices.Equal(read, e.terms) {
			t.Fatalf("of the request: %q, of the body: %q", e.terms, read)
		}
		b, err := tlog.ParseBody(body)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tlog.HashedRekordV2Body(b.Digests[0], b.Signatures[0])
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("%s is not canonical: %v", body, err)
		}
		if err := checkEntry(0, body); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzSearchQuery(f *testing.F) {
	for _, s := range []string{
		"email=a@example.com", "digest=sha256:00&limit=5&after=3", "subject=https%3A%2F%2Fx", "publicKey=sha256:", "limit=1", "a=%zz", "email=a;b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		if err != nil {
			return
		}
		if q.limit < 1 || q.limit > maxPage || q.value == "" || len(q.value) > maxValue {
			t.Fatalf("%q is %+v", raw, q)
		}
		again, err := parseQuery(url.Values{q.parameter: {q.value}}.Encode())
		if err != nil || again.value != q.value {
			t.Fatalf("%q is %+v, and again %+v, %v", raw, q, again, err)
		}
	})
}

// FuzzDescribe reads entries, which somebody else may have put into the tree.
func FuzzDescribe(f *testing.F) {
	e, err := parseRequest(edit(f, ecdsaSigner(f).upload(f, "message"), func(map[string]any) {}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.body)
	f.Fuzz(func(t *testing.T, body []byte) {
		if n := len(describe(body).terms()); n > 2+2*maxIdentities {
			t.Fatalf("%d terms", n)
		}
	})
}
