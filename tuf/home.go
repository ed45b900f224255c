package tuf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulla-sign/bulla/internal/durable"
)

// Home returns the directory in which cosign and others keep what they trust: $TUF_ROOT or ~/.sigstore/root. It is empty
// if there is no home directory.
func Home(lookupEnv func(string) (string, bool)) string {
	if dir, _ := lookupEnv("TUF_ROOT"); dir != "" {
		return dir
	}
	home, _ := lookupEnv("HOME")
	if home == "" {
		home, _ = lookupEnv("USERPROFILE")
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".sigstore", "root")
}

// remoteNote is HOME/remote.json.
type remoteNote struct {
	Mirror string `json:"mirror"`
}

// Initialized returns the mirror that [Initialize], or cosign, has set up in home; empty if there is none.
func Initialized(home string) (mirror string, err error) {
	name := filepath.Join(home, "remote.json")
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTimestamp))
	if err != nil {
		return "", err
	}
	var n remoteNote
	if err := json.Unmarshal(data, &n); err != nil {
		return "", fmt.Errorf("%s does not say which repository is trusted (initialize it anew): %w", name, err)
	}
	if _, err := CacheName(n.Mirror); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return n.Mirror, nil
}

// Initialize makes config.Mirror the repository that is trusted from now on, starting at config.Root. The whole workflow
// is done in memory first; only when it has ended well is anything in config.Home changed, the note which mirror is
// trusted last. What was kept of the mirror before is replaced, even if it is newer: the user has decided.
func Initialize(ctx context.Context, config Config) (*Trust, error) {
	home := config.Home
	config.Home = ""
	if len(config.Root) == 0 {
		return nil, errors.New("initializing trust: there is no root.json to begin with")
	}
	c, err := New(config)
	if err != nil {
		return nil, err
	}
	t, err := c.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := openCache(home, config.Mirror)
	if err != nil {
		return nil, err
	}
	note, err := json.Marshal(remoteNote{config.Mirror})
	if err != nil {
		return nil, err
	}
	unlock, err := kept.lockToWrite(ctx, initializeTime)
	if err != nil {
		return nil, fmt.Errorf("initializing trust: %w", err)
	}
	defer unlock()
	if err := kept.write(c.known, kept.read()); err != nil {
		return nil, fmt.Errorf("initializing trust: %w", err)
	}
	if err := kept.writeNote(t.Checked); err != nil {
		return nil, fmt.Errorf("initializing trust: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(home, "remote.json"), note, 0o600); err != nil {
		return nil, fmt.Errorf("initializing trust: %w", err)
	}
	return t, nil
}
