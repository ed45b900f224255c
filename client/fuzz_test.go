package client

import (
	"bytes"
	"crypto"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/tlog"
)

// recorded adds real answers of the public instance as seeds.
func recorded(f *testing.F, folder string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Vectors(f, "sigstore-java", "samples", folder, "valid"), "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzEntryV1(f *testing.F) {
	recorded(f, "rekor-response")
	f.Add([]byte(`[{"00":{"body":"e30=","logIndex":1,"logID":"00"}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, uuid, err := parseEntryV1(data)
		if err != nil {
			return
		}
		leaf := tlog.LeafHash(e.Body)
		if !strings.HasSuffix(uuid, hexOf(leaf[:])) || len(e.LogID) != tlog.HashSize {
			t.Errorf("accepted an entry %s that is not of its body", uuid)
		}
		_, _ = included(e) // must not panic
		_ = (&LogV1{s: &service{}}).check(e, &expected{})
	})
}

func FuzzFoundV1(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(`["24296fb24b8ad77a1234567890123456789012345678901234567890123456789012345678901234"]`))
	f.Add([]byte(`[{"00":{"body":"e30=","logIndex":1,"logID":"00"}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if names, err := parseNames(data); err == nil && len(names) > maxIndex {
			t.Errorf("%d names", len(names))
		}
		found, err := parseFoundV1(data)
		if err != nil {
			return
		}
		if len(found) > maxFound {
			t.Errorf("%d entries", len(found))
		}
		for i := range found {
			leaf := tlog.LeafHash(found[i].Body)
			if !strings.HasSuffix(found[i].uuid, hexOf(leaf[:])) {
				t.Errorf("accepted an entry %s that is not of its body", found[i].uuid)
			}
		}
	})
}

func FuzzEntryV2(f *testing.F) {
	recorded(f, "rekor-response")
	f.Fuzz(func(_ *testing.T, data []byte) {
		e, err := parseEntryV2(data)
		if err != nil {
			return
		}
		_ = (&LogV2{s: &service{}}).check(e, e.Body) // must not panic
	})
}

func FuzzIssued(f *testing.F) {
	var w strings.Builder
	w.WriteString(`{"signedCertificateEmbeddedSct":{"chain":{"certificates":[`)
	for i, name := range []string{"certWithSct.pem", "fulcio.crt.pem"} {
		text := testenv.ReadVector(f, "sigstore-java", "samples", "fulcio-response", "valid", name)
		for j, block := range bytes.SplitAfter(text, []byte("-----END CERTIFICATE-----\n")) {
			if len(block) == 0 {
				continue
			}
			if i+j > 0 {
				w.WriteByte(',')
			}
			w.WriteString(`"` + strings.ReplaceAll(string(block), "\n", `\n`) + `"`)
		}
	}
	f.Add([]byte(w.String() + `]}}}`))
	f.Add([]byte(`{"signedCertificateDetachedSct":{"chain":{"certificates":[]},"signedCertificateTimestamp":"e30="}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parseIssued(data)
		if err == nil && (len(v.chain) == 0 || len(v.chain) > maxChain) {
			t.Errorf("%d certificates", len(v.chain))
		}
	})
}

func FuzzStamp(f *testing.F) {
	recorded(f, "timestamp-response")
	f.Fuzz(func(t *testing.T, data []byte) {
		query := &timestamp.Request{HashAlgorithm: crypto.SHA256, Imprint: make([]byte, 32), Nonce: big.NewInt(1)}
		if checkStamp(data, query, algorithm.Bytes([]byte("x")), nil) == nil {
			if token, err := timestamp.Parse(data); err != nil || token.Nonce == nil || token.Nonce.Cmp(query.Nonce) != 0 {
				t.Error("accepted a token that answers something else")
			}
		}
	})
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "down for\nmaintenance", "\x1b[31mred", "\u202eturned", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text := printable(text); strings.ContainsAny(text, "\n\x1b") || len([]rune(text)) > maxText+3 {
			t.Errorf("not printable: %q", text)
		}
	})
}
