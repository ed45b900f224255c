package upkeep_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/upkeep"
)

// timestampVersion is that of the timestamp that clients of the TUF repository get.
func timestampVersion(t *testing.T, dir *state.Dir) int64 {
	t.Helper()
	data, err := os.ReadFile(dir.Path("tuf", "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Signed struct {
			Version int64 `json:"version"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	return document.Signed.Version
}

// Clients of a deployment have seen versions of its TUF repository that a backup does not know of. They must not take what
// is brought back for an attack.
func TestRestoredVersionsAreAhead(t *testing.T) {
	ring := keyring.Memory()
	h, err := (&founding.Founder{Ring: ring, Now: time.Now}).Found(t.Context(), "example", "http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := state.Prepare(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Found(t.Context(), dir, ring, h, time.Now); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := upkeep.Backup(t.Context(), &file, dir, time.Now); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "restored")
	if _, err := upkeep.Restore(t.Context(), &file, upkeep.RestoreOptions{Dir: to}); err != nil {
		t.Fatal(err)
	}
	restored, err := state.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	f := config.Default()
	f.Services = []config.Service{config.ServiceTUF}
	cfg := instance.Config{File: f, Dir: restored, Ring: ring, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	if _, err := instance.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if before, after := timestampVersion(t, dir), timestampVersion(t, restored); after < before+1000 {
		t.Errorf("the timestamp has version %d, and had %d when the backup was made", after, before)
	}
}
