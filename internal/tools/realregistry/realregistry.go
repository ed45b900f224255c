// Package realregistry runs the CNCF distribution registry as a process of its own on a loopback port, with its data in
// a folder of the caller's. It has no referrers API, so it is what the fallback tag is tested against. Only the demo,
// the bench and tests import this package.
package realregistry

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// Server is a registry that runs.
type Server struct {
	Addr   string // host:port, on 127.0.0.1
	server *process.Server
}

// Start builds the registry where it is missing (progress goes to log), starts it with its data and configuration in
// dir, and returns when it answers.
func Start(dir string, log io.Writer) (*Server, error) {
	exe, err := toolcache.Path("registry", log)
	if err != nil {
		return nil, err
	}
	s := new(Server)
	s.server, err = process.Start(1, func(ports []int) (process.Spec, error) {
		s.Addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
		config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
			"storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nhttp: {addr: %q}\n",
			filepath.Join(dir, "data"), s.Addr)
		file := filepath.Join(dir, "registry.yml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return process.Spec{}, err
		}
		return process.Spec{
			Path: exe, Args: []string{"serve", file}, Env: []string{"OTEL_TRACES_EXPORTER=none"},
			Ready: "http://" + s.Addr + "/v2/",
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends the process and waits until it is gone; the folder is the caller's to remove.
func (s *Server) Close() { s.server.Kill() }
