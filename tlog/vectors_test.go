package tlog

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// jsonEntry is a TransparencyLogEntry as bundles and Rekor v2 write it, as far as these tests need it.
type jsonEntry struct {
	LogIndex    json.Number `json:"logIndex"`
	LogID       struct{ KeyID []byte }
	KindVersion struct{ Kind, Version string }

	IntegratedTime   json.Number
	InclusionPromise *struct{ SignedEntryTimestamp []byte }
	InclusionProof   *struct {
		LogIndex, TreeSize json.Number
		RootHash           []byte
		Hashes             [][]byte
		Checkpoint         struct{ Envelope string }
	}
	CanonicalizedBody []byte
}

func number(t testing.TB, n json.Number) int64 {
	t.Helper()
	if n == "" {
		return 0
	}
	v, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (j *jsonEntry) entry(t testing.TB) *Entry {
	t.Helper()
	e := &Entry{
		LogIndex: number(t, j.LogIndex), LogID: j.LogID.KeyID, Kind: j.KindVersion.Kind, Version: j.KindVersion.Version,
		IntegratedTime: number(t, j.IntegratedTime), Body: j.CanonicalizedBody,
	}
	if j.InclusionPromise != nil {
		e.Promise = j.InclusionPromise.SignedEntryTimestamp
	}
	if p := j.InclusionProof; p != nil {
		e.Proof = &InclusionProof{
			LogIndex: number(t, p.LogIndex), TreeSize: number(t, p.TreeSize), RootHash: p.RootHash,
			Hashes: p.Hashes, Checkpoint: p.Checkpoint.Envelope,
		}
	}
	return e
}

type jsonBundle struct {
	VerificationMaterial struct {
		TlogEntries []jsonEntry
	}
}

func bundleEntries(t testing.TB, data []byte) []*Entry {
	t.Helper()
	var b jsonBundle
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	var entries []*Entry
	for i := range b.VerificationMaterial.TlogEntries {
		entries = append(entries, b.VerificationMaterial.TlogEntries[i].entry(t))
	}
	return entries
}

// realEntry is a log entry of a bundle in the vectors.
type realEntry struct {
	path string // below the vectors
	*Entry
}

// realEntries finds every log entry of every bundle in the vectors, whatever the files are called.
func realEntries(t testing.TB) []realEntry {
	t.Helper()
	var all []realEntry
	for _, set := range []string{
		"conformance-public", "cpython-public", "sigstore-go", "sigstore-java", "sigstore-js", "sigstore-python", "sigstore-rs",
		"cosign", "github-cli", "slsa-verifier", "protobuf-specs",
	} {
		root := testenv.Vectors(t, set)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil || len(data) > 4<<20 || !bytes.Contains(data, []byte(`"canonicalizedBody"`)) {
				return err
			}
			rel, _ := filepath.Rel(filepath.Dir(root), path)
			for _, e := range fileEntries(t, data) {
				all = append(all, realEntry{filepath.ToSlash(rel), e})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// fileEntries reads a bundle, one bundle a line, or a bare entry.
func fileEntries(t testing.TB, data []byte) []*Entry {
	if json.Valid(data) {
		if entries := bundleEntries(t, data); len(entries) > 0 {
			return entries
		}
		var e jsonEntry
		if json.Unmarshal(data, &e) == nil && len(e.CanonicalizedBody) > 0 {
			return []*Entry{e.entry(t)}
		}
		return nil
	}
	var all []*Entry
	for line := range strings.Lines(string(data)) {
		if json.Valid([]byte(line)) {
			all = append(all, bundleEntries(t, []byte(line))...)
		}
	}
	return all
}
