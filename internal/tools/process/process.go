// Package process runs servers as processes of their own on loopback ports, for the demo, the bench and tests: it starts
// one, waits until it answers, and ends it. Only tools and tests import it.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// startLimit is how long a server may take to answer: most do in 100 ms on an idle machine; CI's may be busy.
const startLimit = 60 * time.Second

// attempts is how often a start is tried: another process may take the port between its choice and its use.
const attempts = 3

// Spec says what is run and how one sees that it answers.
type Spec struct {
	Path string
	Args []string
	Env  []string // in addition to the environment
	Dir  string
	// Ready is the URL that answers with 200, or with Answer where that is set, once the server can be used; tcp://HOST:PORT is
	// a server that then has the first word.
	Ready  string
	Answer int
	// Client asks; nil is one that trusts whom the machine trusts.
	Client *http.Client
}

// answers says whether the server can be used.
func (s *Spec) answers(ctx context.Context) (bool, error) {
	if address, ok := strings.CutPrefix(s.Ready, "tcp://"); ok {
		return speaks(ctx, address), nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Ready, nil)
	if err != nil {
		return false, err
	}
	client, want := s.Client, s.Answer
	if client == nil {
		client = http.DefaultClient
	}
	if want == 0 {
		want = http.StatusOK
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, nil // not yet
	}
	_ = resp.Body.Close() // an empty answer
	return resp.StatusCode == want, nil
}

// speaks says whether a server speaks to who connects. One that listens and says nothing yet is asked again.
func speaks(ctx context.Context, address string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // nothing was said that could be lost
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

// Server is a process that runs.
type Server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone; err is then set
	err  error
	out  *output
}

// output collects what the process says; it is read while the process still writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Start starts what spec returns for the given number of free loopback ports, and returns when it answers. A start that
// fails is tried again with other ports.
func Start(ports int, spec func(ports []int) (Spec, error)) (*Server, error) {
	var last error
	for range attempts {
		free, err := FreePorts(ports)
		if err != nil {
			return nil, err
		}
		s, err := spec(free)
		if err != nil {
			return nil, err
		}
		server, err := start(s)
		if err == nil {
			return server, nil
		}
		last = err
	}
	return nil, last
}

func start(spec Spec) (*Server, error) {
	s := &Server{cmd: exec.Command(spec.Path, spec.Args...), done: make(chan struct{}), out: new(output)}
	s.cmd.Dir = spec.Dir
	s.cmd.Env = append(os.Environ(), spec.Env...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.await(spec); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// await polls until the server answers, dies or takes too long.
func (s *Server) await(spec Spec) error {
	name := filepath.Base(spec.Path)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		if ready, err := spec.answers(ctx); ready || err != nil {
			return err
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s stopped while it started: %w\n%s", name, s.err, s.out)
		case <-ctx.Done():
			return errors.New(name + " does not answer\n" + s.out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Output is what the process has said so far, on both of its streams.
func (s *Server) Output() string { return s.out.String() }

// PID is the number of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Interrupt asks the process to end and waits until it has; the error says how it ended.
func (s *Server) Interrupt() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	<-s.done
	return s.err
}

// Kill ends the process and waits until it is gone. Calling it again does nothing.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // already gone is as good
	<-s.done
}

// Done is closed when the process is gone.
func (s *Server) Done() <-chan struct{} { return s.done }

// CPU is the processor time that the process, which is gone, has used.
func (s *Server) CPU() time.Duration {
	<-s.done
	return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

// Ports that are given out lie below those that systems give to whoever asks for any (Linux: from 32768 on), so that none is
// taken between the answer and its use by somebody who did.
const (
	firstPort = 10000
	endPort   = 32768
	portTries = 1000
)

// FreePorts returns n different loopback ports that nobody listened on a moment ago.
func FreePorts(n int) ([]int, error) {
	var ports []int
	for range portTries {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(endPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // only after all are chosen, so that they differ
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("of %d ports on 127.0.0.1 hardly any is free", portTries)
}
