package toolcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// NodePackages installs what the package-lock.json of a folder pins and returns a folder of the cache that holds
// node_modules beside the folder's package.json. The lockfile's content names it, so a change of versions is another
// folder. Install scripts are not run. Needs node and npm; any number of processes may ask at once.
func NodePackages(dir string, log io.Writer) (string, error) {
	lockfile, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := Dir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lockfile)
	home := filepath.Join(cache, "node-"+filepath.Base(dir)+"-"+hex.EncodeToString(sum[:6]))
	if isFile(filepath.Join(home, "package.json")) {
		return home, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(home + ".lock")
	if err != nil {
		return "", fmt.Errorf("waiting for another installation of %s: %w", home, err)
	}
	defer unlock()
	if isFile(filepath.Join(home, "package.json")) {
		return home, nil
	}
	_, _ = fmt.Fprintf(log, "installing the Node packages of %s (once)\n", dir)
	return home, installNode(dir, home, log)
}

// installNode installs into a temporary folder beside home and renames that.
func installNode(dir, home string, log io.Writer) error {
	tmp, err := os.MkdirTemp(filepath.Dir(home), "installing-node-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // nothing is left there once it was renamed
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = tmp
	var out bytes.Buffer
	words := io.MultiWriter(&out, log)
	cmd.Stdout, cmd.Stderr = words, words
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci in %s: %w\n%s", dir, err, tail(out.String()))
	}
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	return os.Rename(tmp, home)
}
