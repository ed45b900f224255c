package ctlog

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Whatever is sent as a chain is refused as the sender's fault, or what it was made of is in it.
func FuzzChain(f *testing.F) {
	w := newWorld(f)
	a, err := newAcceptor([]*x509.Certificate{w.root.cert})
	if err != nil {
		f.Fatal(err)
	}
	seed := func(chain [][]byte) {
		body, err := json.Marshal(map[string]any{"chain": chain})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	precert, _ := w.ca.precert(f)
	seed(w.ca.chain(precert))
	seed(w.ca.chain(w.ca.leaf(f, nil)))
	for _, tc := range hostileChains(f, w) {
		seed(tc.chain)
	}
	f.Add([]byte(`{"chain":["` + base64.URLEncoding.EncodeToString(w.root.cert.Raw) + `"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		chain, err := parseChain(body)
		if err != nil {
			isRefusal(t, err)
			return
		}
		for _, as := range []kind{certificate, precertificate, issued} {
			sub, err := a.check(chain, as, *w.now.Load())
			if err != nil {
				isRefusal(t, err)
				continue
			}
			if !bytes.Equal(sub.leaf.Raw, chain[0]) || (sub.tbs != nil) != (as != certificate) || !a.accepted(sub.issuers.certs[len(sub.issuers.certs)-1]) {
				t.Fatalf("%+v of %x", sub, chain)
			}
			if _, err := parseTileLeaf(sub.entry(1).LeafData(1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func isRefusal(t *testing.T, err error) {
	t.Helper()
	if bad := (*refusal)(nil); !errors.As(err, &bad) || err.Error() == "" || len(err.Error()) > 64<<10 {
		t.Fatalf("%v", err)
	}
}

// Taking the poison out of what is not a precertificate is an error, and out of one makes it shorter by just that.
func FuzzPrecertificate(f *testing.F) {
	w := newWorld(f)
	precert, _ := w.ca.precert(f)
	f.Add(precert.RawTBSCertificate)
	f.Add(w.ca.leaf(f, nil).RawTBSCertificate)
	for _, tc := range hostileChains(f, w) {
		if tc.precert {
			if cert, err := x509.ParseCertificate(tc.chain[0]); err == nil {
				f.Add(cert.RawTBSCertificate)
			}
		}
	}
	f.Fuzz(func(t *testing.T, tbs []byte) {
		out, err := withoutPoison(tbs)
		if err != nil {
			return
		}
		if len(out) >= len(tbs) || bytes.Contains(out, []byte(derPoison+"\x01\x01\xff\x04\x02\x05\x00")) && bytes.Count(tbs, []byte(derPoison)) == 1 {
			t.Fatalf("%x became %x", tbs, out)
		}
		if _, err := withoutPoison(out); err == nil {
			t.Fatal("a second poison was left in")
		}
	})
}

// Entries that were read are written again from their parts as they were.
func FuzzTileLeaf(f *testing.F) {
	data, err := os.ReadFile(filepath.Join(testenv.Vectors(f), "tlog/sunlight-navigli2025h2/tile/data/003.p/10"))
	if err != nil {
		f.Fatal(err)
	}
	entries, err := treelog.CT.Split(data)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		leaf, err := parseTileLeaf(data)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, leaf.timestamped) || !bytes.Contains(data, leaf.precertificate) {
			t.Fatalf("%x is not made of %+v", data, leaf)
		}
		if _, err := treelog.CT.LeafHash(data); err != nil {
			t.Fatalf("the tree reads it otherwise: %v", err)
		}
		issuer := func([32]byte) []byte { return []byte{1} }
		if extra, err := leaf.extraData(issuer); err != nil || len(extra) == 0 {
			t.Fatal(err)
		}
	})
}

// No checkpoint is opened but one that the log has signed.
func FuzzCheckpoint(f *testing.F) {
	l := openSunlight(f)
	signed := l.read(f, "checkpoint")
	f.Add(signed)
	f.Add(bytes.Replace(signed, []byte("300"), []byte("301"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if head, err := l.heads.open(data); err == nil && (head.size != l.head.Size || !bytes.Equal(head.root[:], l.head.Root)) {
			t.Fatalf("%q opened as %+v", data, head)
		}
	})
}
