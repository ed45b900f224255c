package instance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// Anchors are the files with which a client begins to trust a deployment.
type Anchors struct {
	Root          string `json:"root"`       // the TUF repository's first root.json
	RootSHA256    string `json:"rootSha256"` // hexadecimal
	TrustedRoot   string `json:"trustedRoot"`
	SigningConfig string `json:"signingConfig"`
}

// Found writes what clients fetch, and last the first history.
func Found(ctx context.Context, dir *state.Dir, ring *keyring.Keyring, h *state.History, now func() time.Time) (Anchors, error) {
	root, err := foundTUF(ctx, Config{Dir: dir, Ring: ring, Now: now}, h)
	if err != nil {
		return Anchors{}, fmt.Errorf("making the TUF repository: %w", err)
	}
	if err := writePublic(dir, h); err != nil {
		return Anchors{}, err
	}
	if err := writeChanged(dir.Path(publicDir, rootName), root); err != nil {
		return Anchors{}, err
	}
	if _, err := state.Create(dir.Path(), h); err != nil {
		return Anchors{}, err
	}
	return ReadAnchors(dir)
}

// ReadAnchors finds the files of a deployment.
func ReadAnchors(dir *state.Dir) (Anchors, error) {
	a := Anchors{TrustedRoot: dir.Path(publicDir, trustedRootName), SigningConfig: dir.Path(publicDir, signingConfigName)}
	root := dir.Path(publicDir, rootName)
	data, err := os.ReadFile(root)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	sum := sha256.Sum256(data)
	a.Root, a.RootSHA256 = root, hex.EncodeToString(sum[:])
	return a, nil
}
