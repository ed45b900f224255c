//go:build linux

package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/tools/process"
)

// startLimit bounds a start, also one under strace on a busy machine.
const startLimit = time.Minute

// soak says that all points are to be tried.
var soak = os.Getenv("BULLA_SOAK") != ""

// house is what all tests share: the program, and a state that each of them copies.
var house struct {
	dir      string
	exe      string
	template string
	port     int
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if testenv.RaceDetector {
		fmt.Println("the race detector does not see the programs that are killed; this runs without")
		return 0
	}
	dir, err := os.MkdirTemp("", "bulla-crash-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		return 1
	}
	return m.Run()
}

func build(dir string) error {
	house.dir, house.exe, house.template = dir, filepath.Join(dir, "bulla-server"), filepath.Join(dir, "template")
	cmd := exec.Command("go", "build", "-trimpath", "-o", house.exe, "./cmd/bulla-server")
	cmd.Dir = filepath.Join(testenv.Root(), "server")
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bulla-server does not build: %w\n%s", err, out)
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		return err
	}
	house.port = ports[0]
	s, err := start(house.template)
	if err != nil {
		return err
	}
	return s.stop()
}

// server is a bulla-server that runs on a state, perhaps under strace.
type server struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it is gone
	err  error
	log  string // file with what it says
}

func address(path string) string { return fmt.Sprintf("http://localhost:%d%s", house.port, path) }

// start runs the server on the state in dir and waits until it is ready; wrap is a command that runs it, such as strace.
func start(dir string, wrap ...string) (*server, error) {
	s, err := launch(dir, wrap...)
	if err != nil {
		return nil, err
	}
	return s, s.await()
}

func launch(dir string, wrap ...string) (*server, error) {
	log, err := os.CreateTemp(house.dir, "server-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append(wrap, house.exe, "up", "--dir", dir, "--port", strconv.Itoa(house.port), "--output", "json")
	s := &server{dir: dir, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{}), log: log.Name()}
	s.cmd.Stdout, s.cmd.Stderr = io.Discard, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that strace and what it runs die together
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// await returns when the server is ready; that it died meanwhile is an error.
func (s *server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		if code, err := get(ctx, "/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("the server ended: %w\n%s", s.err, s.words())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready\n%s", s.words())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address(path), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (s *server) words() string {
	data, _ := os.ReadFile(s.log) // what there is helps
	const most = 8 << 10
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return string(data)
}

func (s *server) gone() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop asks the server to end, as an operator would.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(os.Interrupt) // already gone is as good
	select {
	case <-s.done:
		return s.err
	case <-time.After(startLimit):
		s.kill()
		return fmt.Errorf("the server does not end when it is told to\n%s", s.words())
	}
}

// kill ends the server, and strace with it, at once.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // already gone is as good
	<-s.done
	http.DefaultClient.CloseIdleConnections()
}

// state returns a copy of the template.
func state(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(house.template)); err != nil {
		t.Fatal(err)
	}
	private(t, dir)
	return dir
}

// private takes the permissions of others, which CopyFS gives, from the state.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(house.template, strings.TrimPrefix(path, dir)))
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// postJSON sends a document and returns the answer.
func postJSON(ctx context.Context, path, token string, body any) (int, []byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address(path), strings.NewReader(string(data)))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}
