package timestamp_test

import (
	"bytes"
	"crypto"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

func seedResponses(f *testing.F) {
	for _, pattern := range []string{
		"sigstore-java/samples/timestamp-response/*/*.tsr",
		"timestamp/*/*.tsr",
		"timestamp/*/*/*/*/*.tsr",
		"sigstore-python/tsa/issue1482-timestamp-with-no-cert",
	} {
		files, err := filepath.Glob(filepath.Join(testenv.Vectors(f), pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	a := testenv.NewTSA(f, testenv.TSAOptions{})
	for _, o := range []testenv.TSAToken{{}, {KeyID: true}, {ESSv1: true}, {Embed: [][]byte{a.Leaf.Raw}}} {
		der, err := a.StampWith(message, stamped, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
}

// Nothing that can be sent makes the parser panic; what it reads, it reads the same way again from the token alone; and
// no token verifies under an authority that did not make it.
func FuzzParse(f *testing.F) {
	seedResponses(f)
	stranger := authority(testenv.NewTSA(f, testenv.TSAOptions{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := timestamp.Parse(data)
		if err != nil {
			if len(err.Error()) > 16<<10 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		again, err := timestamp.Parse(tok.Raw())
		if err != nil || !reflect.DeepEqual(tok, again) {
			t.Fatalf("parsed again: %+v, %v, before: %+v", again, err, tok)
		}
		if !bytes.Contains(data, tok.Raw()) {
			t.Fatal("the token is not a part of the input")
		}
		open := stranger
		open.Leaf = nil
		for _, a := range []timestamp.Authority{stranger, open} {
			if _, err := tok.Verify(algorithm.Bytes(message), a); err == nil {
				t.Fatal("verified under a stranger")
			}
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		req, err := timestamp.NewRequest(algorithm.Bytes(message), h, bytes.NewReader([]byte("12345678")))
		if err != nil {
			f.Fatal(err)
		}
		req.Certificates = h == crypto.SHA384
		der, err := req.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := timestamp.ParseRequest(data)
		if err != nil {
			return
		}
		der, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := timestamp.ParseRequest(der)
		if err != nil || !reflect.DeepEqual(req, again) {
			t.Fatalf("written and read again: %+v, %v, before: %+v", again, err, req)
		}
	})
}
