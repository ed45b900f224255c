package portable_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/portable"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/trust/revocation"
)

var issued = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func file(t testing.TB) *portable.Trust {
	t.Helper()
	root, err := publicgood.Root()
	if err != nil {
		t.Fatal(err)
	}
	config, err := publicgood.SigningConfig()
	if err != nil {
		t.Fatal(err)
	}
	s, err := keys.FromSigner(mint.NewKey(t, algorithm.ECDSAP256SHA256))
	if err != nil {
		t.Fatal(err)
	}
	k, err := trust.NewKey("revoker", s.Public(), algorithm.Unspecified, trust.Window{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := revocation.Sign(context.Background(), trust.Revocation{Artifact: strings.Repeat("ab", 32), Reason: "x"}, s)
	if err != nil {
		t.Fatal(err)
	}
	list, err := (&revocation.List{Keys: []trust.Key{k}, Statements: [][]byte{st}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &portable.Trust{Issued: issued, From: "here", Root: root, SigningConfig: config, Revocations: list}
}

func TestRoundTrip(t *testing.T) {
	want := file(t)
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := portable.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Issued.Equal(issued) || got.From != "here" || len(got.Root.Revocations) != 1 || !got.Root.Revocable || got.SigningConfig == nil ||
		len(got.Root.CAs) != len(want.Root.CAs) || !got.Root.Source.Date.Equal(issued) || got.Root.Source.Embedded {
		t.Errorf("got %+v", got)
	}
	again, err := got.Encode()
	if err != nil || string(again) != string(data) {
		t.Errorf("it changes on the way: %v", err)
	}
	want.SigningConfig, want.Revocations = nil, nil
	if data, err = want.Encode(); err != nil {
		t.Fatal(err)
	}
	if got, err = portable.Decode(data); err != nil || got.SigningConfig != nil || got.Root.Revocable {
		t.Errorf("the least: %+v, %v", got, err)
	}
	want.From = "a\nb"
	if _, err := want.Encode(); err == nil {
		t.Error("it has two lines")
	}
}

func TestDecodeRefuses(t *testing.T) {
	data, err := file(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, bad := range map[string]string{
		"empty": "", "other JSON": "{}", "version": strings.Replace(text, "version=1", "version=2", 1), "unknown": strings.Replace(text, `"from"`, `"more":1,"from"`, 1),
		"twice": strings.Replace(text, `"from"`, `"from":"x","from"`, 1), "no date": strings.Replace(text, `"issued":"2026-11-25T09:00:00Z",`, "", 1),
		"no origin": strings.Replace(text, `"from":"here",`, "", 1), "bad root": strings.Replace(text, `"trustedRoot":{`, `"trustedRoot":{"x":1,`, 1),
		"bad config": strings.Replace(text, `"signingConfig":{`, `"signingConfig":{"x":1,`, 1), "bad list": strings.Replace(text, `"revocations":{`, `"revocations":{"x":1,`, 1),
		"unsigned": strings.Replace(text, `"sig":"`, `"sig":"AAAA`, 1), "trailing": text + "{}", "no root": `{"mediaType":"` + portable.MediaType + `","issued":"2026-11-25T09:00:00Z","from":"x"}`,
	} {
		if got, err := portable.Decode([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := file(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := portable.Decode(data)
		if err != nil {
			return
		}
		if _, err := got.Encode(); err != nil {
			t.Fatal(err)
		}
	})
}
