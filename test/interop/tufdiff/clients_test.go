package tufdiff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/bulla-sign/bulla/tuf"
)

const mirror = "http://mirror.test"

// verdict is what a client made of a repository.
type verdict struct {
	accepted bool
	why      string
}

// served are the files that a mirror has at the moment.
type served struct{ files map[string][]byte }

// RoundTrip answers bulla's client.
func (s *served) RoundTrip(req *http.Request) (*http.Response, error) {
	data, ok := s.files[strings.TrimPrefix(req.URL.Path, "/")]
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(data)), ContentLength: -1, Request: req}, nil
}

// DownloadFile answers go-tuf's.
func (s *served) DownloadFile(url string, most int64, _ time.Duration) ([]byte, error) {
	data, ok := s.files[strings.TrimPrefix(url, mirror+"/")]
	switch {
	case !ok:
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: url}
	case int64(len(data)) > most:
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: "too long"}
	}
	return data, nil
}

// ours asks bulla's client: before, if not nil, is what it has seen already.
func ours(t *testing.T, root []byte, before, now map[string][]byte) verdict {
	t.Helper()
	s := &served{before}
	c, err := tuf.New(tuf.Config{Mirror: mirror, Root: root, HTTP: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	if before != nil {
		if _, err := c.Refresh(context.Background()); err != nil {
			t.Fatalf("before anything was spoiled: %v", err)
		}
	}
	s.files = now
	if _, err := c.Refresh(context.Background()); err != nil {
		return verdict{why: err.Error()}
	}
	return verdict{accepted: true}
}

// theirs asks go-tuf's updater, with a directory in which it has, or has not, worked before.
func theirs(t *testing.T, root []byte, dir string, now map[string][]byte) (v verdict) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			v = verdict{why: fmt.Sprint("panic: ", p)}
		}
	}()
	cfg, err := config.New(mirror, root)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Fetcher, cfg.LocalMetadataDir, cfg.LocalTargetsDir = &served{now}, dir, filepath.Join(dir, "targets")
	up, err := updater.New(cfg)
	if err == nil {
		err = up.Refresh()
	}
	if err != nil {
		return verdict{why: err.Error()}
	}
	info, err := up.GetTargetInfo(wanted)
	if err != nil {
		return verdict{why: err.Error()}
	}
	path := filepath.Join(dir, "download")
	defer os.Remove(path)
	if _, _, err := up.DownloadTarget(info, path, ""); err != nil {
		return verdict{why: err.Error()}
	}
	return verdict{accepted: true}
}

// worked copies a directory in which go-tuf has worked.
func worked(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if from != "" {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	return dir
}
