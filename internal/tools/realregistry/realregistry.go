// Package realregistry runs the CNCF distribution registry as a process of its own on a loopback port, with its data in
// a folder of the caller's. It has no referrers API, so it is what the fallback tag is tested against. Only the demo,
// the bench and tests import this package.
package realregistry

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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

// Settings say who may use a registry, and how. The zero value is the newest release, by plain HTTP, for everybody.
type Settings struct {
	Debian   bool    // Debian's docker-registry 2.8 instead
	KeepAll  bool    // nothing can be deleted, as is the default of the software
	Htpasswd string  // file of users, for basic authentication
	Tokens   *Tokens // whose tokens are taken
	// Cert and Key are PEM files for TLS; ClientCAs, where set, is one of authorities, and every client must show a certificate.
	Cert, Key, ClientCAs string
	TLS                  *tls.Config // with which whoever waits for the registry reaches it
}

// Tokens is the server that gives out tokens, as the distribution specification's token authentication has it.
type Tokens struct {
	Realm   string // URL
	Service string
	Issuer  string
	Roots   string // PEM file of the certificates that its keys chain to
}

// Start builds the registry where it is missing (progress goes to log), starts it with its data and configuration in
// dir, and returns when it answers.
func Start(dir string, log io.Writer) (*Server, error) { return StartWith(dir, Settings{}, log) }

// StartWith is Start with settings.
func StartWith(dir string, settings Settings, log io.Writer) (*Server, error) {
	find := func() (string, error) { return toolcache.Path("registry", log) }
	if settings.Debian {
		find = func() (string, error) { return toolcache.DebianPath("docker-registry", log) }
	}
	exe, err := find()
	if err != nil {
		return nil, err
	}
	s := new(Server)
	s.server, err = process.Start(1, func(ports []int) (process.Spec, error) {
		s.Addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
		config, err := settings.config(filepath.Join(dir, "data"), s.Addr)
		if err != nil {
			return process.Spec{}, err
		}
		file := filepath.Join(dir, "registry.yml")
		if err := os.WriteFile(file, config, 0o600); err != nil {
			return process.Spec{}, err
		}
		spec := process.Spec{Path: exe, Args: []string{"serve", file}, Env: []string{"OTEL_TRACES_EXPORTER=none"}, Ready: "http://" + s.Addr + "/v2/"}
		if settings.Cert != "" {
			spec.Ready = "https://" + s.Addr + "/v2/"
			spec.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: settings.TLS}}
		}
		if settings.Htpasswd != "" || settings.Tokens != nil {
			spec.Answer = http.StatusUnauthorized
		}
		return spec, nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// config is the registry's configuration file: JSON, which is YAML, too.
func (s *Settings) config(data, addr string) ([]byte, error) {
	type m = map[string]any
	listen, auth := m{"addr": addr, "secret": "of one registry alone"}, m{}
	if s.Cert != "" {
		listen["tls"] = m{"certificate": s.Cert, "key": s.Key}
	}
	if s.ClientCAs != "" {
		listen["tls"].(m)["clientcas"] = []string{s.ClientCAs}
	}
	if s.Htpasswd != "" {
		auth["htpasswd"] = m{"realm": "test", "path": s.Htpasswd}
	}
	if t := s.Tokens; t != nil {
		auth["token"] = m{"realm": t.Realm, "service": t.Service, "issuer": t.Issuer, "rootcertbundle": t.Roots}
	}
	config := m{
		"version": "0.1", "http": listen,
		"log":     m{"level": "error", "accesslog": m{"disabled": true}},
		"storage": m{"filesystem": m{"rootdirectory": data}, "delete": m{"enabled": !s.KeepAll}},
	}
	if len(auth) > 0 {
		config["auth"] = auth
	}
	return json.Marshal(config)
}

// Close ends the process and waits until it is gone; the folder is the caller's to remove.
func (s *Server) Close() { s.server.Kill() }
