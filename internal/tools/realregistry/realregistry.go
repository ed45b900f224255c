// Package realregistry runs the CNCF distribution registry as a process of its own on a loopback port, with its data in
// a folder of the caller's. It has no referrers API, so it is what the fallback tag is tested against. Only the demo,
// the bench and tests import this package.
package realregistry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// startLimit is how long the registry may take to answer: it starts in 100 ms on an idle machine; CI's may be busy.
const startLimit = 30 * time.Second

// Server is a registry that runs.
type Server struct {
	Addr string // host:port, on 127.0.0.1
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone; err is then set
	err  error
	out  *bytes.Buffer
}

// Start builds the registry where it is missing (progress goes to log), starts it with its data and configuration in
// dir, and returns when it answers.
func Start(dir string, log io.Writer) (*Server, error) {
	exe, err := toolcache.Path("registry", log)
	if err != nil {
		return nil, err
	}
	var last error
	for range 3 { // another process may take the port between its choice and its use
		s, err := start(exe, dir)
		if err == nil {
			return s, nil
		}
		last = err
	}
	return nil, last
}

func start(exe, dir string) (*Server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "data"), addr)
	file := filepath.Join(dir, "registry.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s := &Server{Addr: addr, cmd: exec.Command(exe, "serve", file), done: make(chan struct{}), out: new(bytes.Buffer)}
	s.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.await(); err != nil {
		return nil, err
	}
	return s, nil
}

// await polls until the registry answers, dies or takes too long.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/v2/", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close() // an empty answer
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("the registry stopped while it started: %w\n%s", s.err, s.out)
		case <-ctx.Done():
			s.Close()
			return errors.New("the registry does not answer\n" + s.out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close ends the process and waits until it is gone; the folder is the caller's to remove.
func (s *Server) Close() {
	_ = s.cmd.Process.Kill() // already gone is as good
	<-s.done
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	return addr, l.Close()
}
