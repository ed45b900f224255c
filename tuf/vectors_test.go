package tuf_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tuf"
)

// Sigstore's own roots form a chain: from each of them a client gets to the latest, and to the timestamp that its keys
// signed. The snapshot is not among the vectors, so that it ends there.
func TestPublicRootChains(t *testing.T) {
	for _, tt := range []struct {
		name     string
		last     int
		snapshot string
	}{
		{"root-signing", 15, "165.snapshot.json"}, // the first four have the points of their keys in hexadecimal
		{"root-signing-staging", 14, "25.snapshot.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &repository{t: t, clock: newClock(), files: map[string][]byte{}}
			dir := testenv.Vectors(t, "tuf", tt.name, "metadata")
			for v := 1; v <= tt.last; v++ {
				name := fmt.Sprint(v, ".root.json")
				r.files[name] = testenv.ReadVector(t, "tuf", tt.name, "metadata", "root_history", name)
			}
			r.files["timestamp.json"] = readFile(t, filepath.Join(dir, "timestamp.json"))
			server := newServer(t, r)
			for v := 1; v <= tt.last; v++ {
				c, err := tuf.New(tuf.Config{
					Mirror: server + "/repo", Root: r.files[fmt.Sprint(v, ".root.json")],
					Now: func() time.Time { return time.Date(2026, 8, 25, 0, 0, 0, 0, time.UTC) },
				})
				if err != nil {
					t.Fatal(err)
				}
				r.asked()
				refused(t, c, tt.snapshot)
				if asked := r.asked(); !slices.Contains(asked, fmt.Sprint(tt.last+1, ".root.json")) || !slices.Contains(asked, tt.snapshot) {
					t.Errorf("from root %d asked for %v", v, asked)
				}
			}
		})
	}
}

// The repository of the TUF conformance suite, made by tuf-on-ci: keys with fields of their own, empty signatures by some,
// a delegation. Everything verifies; it has no trusted root.
func TestConformanceRepository(t *testing.T) {
	dir := testenv.Vectors(t, "tuf", "tuf-conformance", "tuf-on-ci-0.11")
	r := &repository{t: t, clock: newClock(), files: map[string][]byte{}}
	entries, err := os.ReadDir(filepath.Join(dir, "metadata"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		r.files[e.Name()] = readFile(t, filepath.Join(dir, "metadata", e.Name()))
	}
	at, err := time.Parse("2006-01-02 15:04:05Z07:00", strings.TrimSpace(string(readFile(t, filepath.Join(dir, "faketime")))))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tuf.New(tuf.Config{
		Mirror: newServer(t, r) + "/repo", Root: readFile(t, filepath.Join(dir, "initial_root.json")), Now: func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, c, "publishes no trusted_root.json")
	if asked := r.asked(); !slices.Contains(asked, "1.targets.json") {
		t.Errorf("asked for %v", asked)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func newServer(t testing.TB, h http.Handler) string {
	t.Helper()
	s := newHTTP(h)
	t.Cleanup(s.Close)
	return s.URL
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
