//go:build linux

package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/internal/tools/process"
)

// place is where one server runs at a time: a port, and a state whose URLs have that port, which tests copy. A test that runs
// beside others has a place to itself.
type place struct {
	port     int
	template string
	client   *http.Client
}

// free are the places that were made and that no test has.
var free struct {
	sync.Mutex
	places []*place
	made   int
}

// newPlace returns a place for the test alone, until it ends.
func newPlace(t *testing.T) *place {
	t.Helper()
	p, err := takePlace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		free.Lock()
		defer free.Unlock()
		free.places = append(free.places, p)
	})
	return p
}

func takePlace() (*place, error) {
	free.Lock()
	if n := len(free.places); n > 0 {
		p := free.places[n-1]
		free.places = free.places[:n-1]
		free.Unlock()
		return p, nil
	}
	free.made++
	p := &place{
		template: filepath.Join(house.dir, fmt.Sprintf("template%d", free.made)),
		client:   &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()},
	}
	free.Unlock()
	ports, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	p.port = ports[0]
	s, err := p.start(p.template)
	if err != nil {
		return nil, err
	}
	return p, s.stop()
}

func (p *place) address(path string) string {
	return fmt.Sprintf("http://localhost:%d%s", p.port, path)
}

// state returns a copy of the template.
func (p *place) state(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	p.copyTo(t, dir)
	return dir
}

// copyTo copies the template, without the permissions of others, which CopyFS gives.
func (p *place) copyTo(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(p.template)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(p.template, strings.TrimPrefix(path, dir)))
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) get(ctx context.Context, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address(path), nil)
	if err != nil {
		return 0, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// read returns the body of an answer 200, and an error for every other.
func (p *place) read(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address(path), nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, resp.Status, data)
	}
	return data, err
}

// postJSON sends a document and returns the answer.
func (p *place) postJSON(ctx context.Context, path, token string, body any) (int, []byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.address(path), bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}
