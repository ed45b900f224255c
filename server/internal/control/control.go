// Package control is how commands talk to the running processes of a deployment: HTTP over a socket in the state
// directory, which only its owner can enter. There is one socket for each process, and one whose process has died is
// removed by whoever finds it.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	folder     = "run"
	suffix     = ".sock"
	folderMode = 0o700
	// maxSocketPath is the longest path of a socket that every system takes (104 bytes on macOS, 108 on Linux, with a
	// zero at the end).
	maxSocketPath = 103
	// maxAnswer bounds an answer: a status is some 50 KB after years of rotations.
	maxAnswer = 16 << 20
	// maxRequest bounds a request: a document of the TUF repository in base 64.
	maxRequest = 8 << 20
	// headerTime bounds how long a request may take to say what it wants; it comes from this machine.
	headerTime = 10 * time.Second
)

// ErrNotRunning says that no process of the deployment runs.
var ErrNotRunning = errors.New("no bulla-server runs on this state")

// Server answers commands.
type Server struct {
	http     *http.Server
	listener net.Listener
	path     string
}

// serial tells the sockets of one process apart, when it runs several instances (tests do).
var serial atomic.Uint64

// Listen answers commands about the state in dir with a handler, until Close.
func Listen(dir string, handler http.Handler) (*Server, error) {
	run := filepath.Join(dir, folder)
	if err := os.MkdirAll(run, folderMode); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d-%d%s", os.Getpid(), serial.Add(1), suffix)
	path := filepath.Join(run, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // left by a process that had this number before
	}
	var l net.Listener
	err := reach(run, name, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		if err == nil {
			l.(*net.UnixListener).SetUnlinkOnClose(false) // the short name means nothing later
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening for commands at %s: %w", path, err)
	}
	s := &Server{http: &http.Server{Handler: handler, ReadHeaderTimeout: headerTime}, listener: l, path: path}
	go func() { _ = s.http.Serve(l) }() // it ends with Close
	return s, nil
}

// Close ends the server and removes its socket. Commands that are under way are waited for as long as ctx allows.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	return errors.Join(err, os.Remove(s.path))
}

// reach calls use with a path of the socket that is short enough for the system: its own or, where that is too long, one
// through the open directory.
func reach(dir, name string, use func(path string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return use(path)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the path is longer than the %d bytes that a socket's may have: use a state directory with a shorter one", maxSocketPath)
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // a directory, opened for its number
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name))
}

// Peer is a running process.
type Peer struct {
	name string
	http *http.Client
}

// Peers returns the running processes of the state in dir.
func Peers(dir string) ([]*Peer, error) {
	run := filepath.Join(dir, folder)
	entries, err := os.ReadDir(run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*Peer
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		p := &Peer{name: e.Name()}
		p.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, run, p.name)
		}, DisableKeepAlives: true}}
		conn, err := dial(context.Background(), run, p.name)
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(filepath.Join(run, p.name)) // its process is gone; another one may have been here first
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reaching the process at %s: %w", filepath.Join(run, p.name), err)
		}
		_ = conn.Close() // it was opened to see that it can be
		out = append(out, p)
	}
	return out, nil
}

func dial(ctx context.Context, dir, name string) (conn net.Conn, err error) {
	err = reach(dir, name, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// Self says whether the peer is the server s.
func (p *Peer) Self(s *Server) bool { return s != nil && filepath.Base(s.path) == p.name }

// Call posts request as JSON and reads the answer into response; either may be nil.
func (p *Peer) Call(ctx context.Context, path string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://bulla"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the running server: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("asking the running server: %w", err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("the running server's answer is larger than %d bytes", maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		var failure struct{ Error string }
		if json.Unmarshal(data, &failure) == nil && failure.Error != "" {
			return errors.New(failure.Error)
		}
		return fmt.Errorf("the running server answered %s", resp.Status)
	}
	if response == nil {
		return nil
	}
	return json.Unmarshal(data, response)
}

// Handle answers POST requests at path with what answer returns for the request.
func Handle[Request, Response any](mux *http.ServeMux, path string, answer func(context.Context, Request) (Response, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var request Request
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&request); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		response, err := answer(r.Context(), request)
		if err != nil {
			reply(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
			return
		}
		reply(w, http.StatusOK, response)
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked has left
}
