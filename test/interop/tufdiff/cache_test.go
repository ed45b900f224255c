package tufdiff

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/bulla-sign/bulla/tuf"
)

// counting counts what a client asks the mirror for.
type counting struct {
	served
	asked int
}

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.asked++
	return c.served.RoundTrip(req)
}

// go-tuf's client, as cosign uses it, reads our cache, and we read its, delegated roles included.
func TestCacheIsShared(t *testing.T) {
	w := newWorld(t)
	place, err := tuf.CacheName(mirror)
	if err != nil {
		t.Fatal(err)
	}
	s := &counting{served: served{w.old}}
	client := func(home string, root []byte) *tuf.Client {
		t.Helper()
		c, err := tuf.New(tuf.Config{Mirror: mirror, Root: root, Home: home, HTTP: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	home := t.TempDir()
	got, err := client(home, w.root).Refresh(context.Background())
	if err != nil || got.Unsaved != nil {
		t.Fatal(err, got)
	}
	if got.Version(delegated) != 1 {
		t.Errorf("roles %+v lack the delegated one", got.Roles)
	}
	cfg, err := config.New(mirror, w.root)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, place)
	cfg.Fetcher, cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.UnsafeLocalMode = &served{}, dir, filepath.Join(dir, "targets"), true
	up, err := updater.New(cfg)
	if err == nil {
		err = up.Refresh()
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := up.GetTargetInfo(wanted)
	if err != nil {
		t.Fatal(err)
	}
	if path, _, err := up.FindCachedTarget(info, ""); err != nil || path == "" {
		t.Errorf("go-tuf does not find our target: %q, %v", path, err)
	}

	home = t.TempDir()
	dir = filepath.Join(home, place)
	cfg.Fetcher, cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.UnsafeLocalMode = &s.served, dir, filepath.Join(dir, "targets"), false
	if up, err = updater.New(cfg); err == nil {
		err = up.Refresh()
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err = up.GetTargetInfo(wanted); err != nil {
		t.Fatal(err)
	}
	if _, _, err := up.DownloadTarget(info, "", ""); err != nil {
		t.Fatal(err)
	}
	s.asked = 0
	c := client(home, nil)
	if _, err := c.Cached(); err != nil || s.asked != 0 {
		t.Errorf("from go-tuf's cache: %v, %d requests", err, s.asked)
	}
	if _, err := c.Refresh(context.Background()); err != nil || s.asked != 2 { // the next root and the timestamp
		t.Errorf("from go-tuf's cache: %v, %d requests", err, s.asked)
	}
}
