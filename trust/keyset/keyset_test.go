package keyset_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/keyset"
)

func setKey(t testing.TB, name string, w trust.Window) trust.Key {
	t.Helper()
	k, err := trust.NewKey(name, mint.NewKey(t, algorithm.ECDSAP256SHA256).Public(), algorithm.Unspecified, w)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeySet(t *testing.T) {
	change := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	want := []trust.Key{setKey(t, "old", trust.Window{End: change}), setKey(t, "new", trust.Window{Start: change}), setKey(t, "ever", trust.Window{})}
	data, err := keyset.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keyset.Decode(data)
	if err != nil || len(got) != len(want) || !keyset.Is(data) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i].Hint != want[i].Hint || got[i].Name != want[i].Name || !got[i].Window.Start.Equal(want[i].Window.Start) || !got[i].Window.End.Equal(want[i].Window.End) {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	text := string(data)
	keyJSON := text[strings.Index(text, `[`)+1 : strings.LastIndex(text, `]`)]
	one := keyJSON[:strings.Index(keyJSON, `},{`)+1]
	set := func(keys string) string { return `{"mediaType":"` + keyset.MediaType + `","keys":[` + keys + `]}` }
	if _, err := keyset.Decode([]byte(set(one))); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"PEM": "-----BEGIN PUBLIC KEY-----", "no keys": set(""), "twice": set(one + "," + one), "media type": strings.Replace(text, "version=1", "version=2", 1),
		"no name": set(strings.Replace(one, `"old"`, `""`, 1)), "unknown": set(strings.Replace(one, `"name"`, `"alias":"x","name"`, 1)),
		"no key": set(`{"name":"x"}`), "not base64": set(`{"name":"x","publicKey":"!"}`), "not a key": set(`{"name":"x","publicKey":"aGVsbG8="}`),
		"window": set(strings.Replace(one, `"validFor":{`, `"validFor":{"start":"2030-01-01T00:00:00Z",`, 1)), "bad time": set(strings.Replace(one, `"end":"2026`, `"end":"26`, 1)),
	} {
		if got, err := keyset.Decode([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if keyset.Is([]byte("-----BEGIN PUBLIC KEY-----")) {
		t.Error("PEM is taken for a key set")
	}
}

func FuzzDecode(f *testing.F) {
	data, err := keyset.Encode([]trust.Key{setKey(f, "a", trust.Window{Start: time.Unix(1, 0)}), setKey(f, "b", trust.Window{})})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := keyset.Decode(data)
		if err != nil {
			return
		}
		again, err := keyset.Encode(keys)
		if err == nil {
			_, err = keyset.Decode(again)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
