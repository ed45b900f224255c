package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/tufrepo"
)

// Names of the files that clients without TUF can be given.
const (
	publicDir         = "public"
	rootName          = "root.json"
	trustedRootName   = "trusted_root.json"
	signingConfigName = "signing_config.json"
	publicDirMode     = 0o755
	publicFileMode    = 0o644
)

// publish makes what clients fetch say what the history says.
func (in *Instance) publish(ctx context.Context) error {
	h, err := in.Dir.Load()
	if err != nil {
		return err
	}
	if s := in.repository(); s != nil {
		err := publishTUF(ctx, s, in.Config, h)
		if errors.Is(err, tufrepo.ErrPending) {
			return fmt.Errorf("the new trusted root: %w; \"bulla-server tuf pending\" shows what the targets key must sign", err)
		}
		if err != nil {
			return err
		}
	}
	return writePublic(in.Dir, h)
}

// Material returns the trusted root and the signing config that follow from a history, as clients are given them.
func Material(h *state.History) (trustedRoot, signingConfig []byte, err error) {
	root, err := h.TrustedRoot()
	if err != nil {
		return nil, nil, err
	}
	if trustedRoot, err = root.Encode(); err != nil {
		return nil, nil, err
	}
	config, err := h.SigningConfig()
	if err != nil {
		return nil, nil, err
	}
	signingConfig, err = config.Encode()
	return trustedRoot, signingConfig, err
}

// writePublic writes the files for clients that do not use TUF.
func writePublic(dir *state.Dir, h *state.History) error {
	root, config, err := Material(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir.Path(publicDir), publicDirMode); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{trustedRootName, root}, {signingConfigName, config}} {
		if err := writeChanged(dir.Path(publicDir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

// writeChanged writes a file if it is not there with the same contents.
func writeChanged(path string, data []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, data) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.WriteFile(path, data, publicFileMode)
}
