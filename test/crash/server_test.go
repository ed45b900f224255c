//go:build linux

package crash

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// startLimit bounds a start, also one under strace on a busy machine.
const startLimit = time.Minute

// soak says that all points are to be tried.
var soak = os.Getenv("BULLA_SOAK") != ""

// house is what all tests share: the program.
var house struct{ dir, exe string }

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
	testenv.AtOnce(4) // much of each is waiting, for the second in which a log publishes, for a registry's list to settle
	return m.Run()
}

func build(dir string) error {
	house.dir, house.exe = dir, filepath.Join(dir, "bulla-server")
	cmd := exec.Command("go", "build", "-trimpath", "-o", house.exe, "./cmd/bulla-server")
	cmd.Dir = filepath.Join(testenv.Root(), "server")
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bulla-server does not build: %w\n%s", err, out)
	}
	return nil
}

// server is a bulla-server that runs on a state, perhaps under strace.
type server struct {
	place *place
	cmd   *exec.Cmd
	done  chan struct{} // closed when it is gone
	err   error
	log   string // file with what it says
}

// start runs the server on the state in dir and waits until it is ready; wrap is a command that runs it, such as strace.
func (p *place) start(dir string, wrap ...string) (*server, error) {
	s, err := p.launch(dir, wrap...)
	if err != nil {
		return nil, err
	}
	return s, s.await()
}

func (p *place) launch(dir string, wrap ...string) (*server, error) {
	log, err := os.CreateTemp(house.dir, "server-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append(wrap, house.exe, "up", "--dir", dir, "--port", strconv.Itoa(p.port), "--output", "json")
	s := &server{place: p, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{}), log: log.Name()}
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
		if code, err := s.place.get(ctx, "/readyz"); err == nil && code == http.StatusOK {
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
	s.place.client.CloseIdleConnections()
}
