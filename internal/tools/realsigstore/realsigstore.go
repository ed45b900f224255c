// Package realsigstore runs the servers that Sigstore's own services are made of, each as a process on loopback: Fulcio,
// rekor-tiles and timestamp-authority, built from their modules. Our client is tested against them, and ours are measured
// beside them. Only the bench and tests import this package.
package realsigstore

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// Server is one of the servers.
type Server struct {
	URL string // http://localhost:PORT, without a slash at the end
	*process.Server
}

// TimestampAuthority starts timestamp-authority with a chain of certificates that it makes in memory.
func TimestampAuthority(log io.Writer) (*Server, error) {
	exe, err := toolcache.Path("timestamp-server", log)
	if err != nil {
		return nil, err
	}
	s := new(Server)
	s.Server, err = process.Start(1, func(ports []int) (process.Spec, error) {
		s.URL = local(ports[0])
		return process.Spec{
			Path: exe, Ready: s.URL + "/ping",
			Args: []string{
				"serve", "--host=127.0.0.1", "--port=" + strconv.Itoa(ports[0]),
				"--timestamp-signer=memory", "--disable-ntp-monitoring", "--log-type=prod",
			},
		}, nil
	})
	return s, err
}

// LogSettings are those of rekor-tiles that decide how long an entry takes; zero is its default.
type LogSettings struct {
	Checkpoints time.Duration // between two of them
	BatchAge    time.Duration // how long an entry may wait for company
}

// Log is a rekor-tiles server and the key that it signs with.
type Log struct {
	*Server
	Key    ed25519.PublicKey
	Origin string // what its checkpoints begin with
}

// TransparencyLog starts rekor-tiles on files, with the log and a new key in dir. It serves no reads itself: its tiles and
// checkpoints are the files in Tiles(dir).
func TransparencyLog(dir string, settings LogSettings, log io.Writer) (*Log, error) {
	exe, err := toolcache.Path("rekor-tiles", log)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "log.pem")
	if err := writeKey(key, private); err != nil {
		return nil, err
	}
	s := &Server{}
	s.Server, err = process.Start(3, func(ports []int) (process.Spec, error) {
		s.URL = local(ports[0])
		args := []string{
			"serve", "--http-address=127.0.0.1", "--http-port=" + strconv.Itoa(ports[0]),
			"--grpc-address=127.0.0.1", "--grpc-port=" + strconv.Itoa(ports[1]), "--http-metrics-port=" + strconv.Itoa(ports[2]),
			"--hostname=localhost", "--signer-filepath=" + key, "--storage-dir=" + Tiles(dir), "--log-level=error",
		}
		if settings.Checkpoints != 0 {
			args = append(args, "--checkpoint-interval="+settings.Checkpoints.String())
		}
		if settings.BatchAge != 0 {
			args = append(args, "--batch-max-age="+settings.BatchAge.String())
		}
		return process.Spec{Path: exe, Args: args, Ready: s.URL + "/healthz"}, nil
	})
	if err != nil {
		return nil, err
	}
	return &Log{Server: s, Key: public, Origin: "localhost"}, nil
}

// Tiles is where a log in dir keeps its tiles.
func Tiles(dir string) string { return filepath.Join(dir, "tiles") }

// Authority says what Fulcio needs.
type Authority struct {
	Issuer string // whose tokens it takes, with audience "sigstore" and a verified e-mail address in them
	CTLog  string // URL of the CT log, up to before /ct/v1; empty: certificates without SCT
	// CTLogKey is a file with the public key of the CT log, in PEM; empty: its answers are not verified.
	CTLogKey string
	// Chain and Key are files, in PEM, with the certificates and the key, encrypted with Password, to issue with; empty: a
	// root that Fulcio makes in memory.
	Chain, Key, Password string
}

// source are the arguments that say what to issue with.
func (a *Authority) source() []string {
	if a.Chain == "" {
		return []string{"--ca=ephemeralca"}
	}
	return []string{"--ca=fileca", "--fileca-cert=" + a.Chain, "--fileca-key=" + a.Key, "--fileca-key-passwd=" + a.Password}
}

// CertificateAuthority starts Fulcio.
func CertificateAuthority(dir string, a Authority, log io.Writer) (*Server, error) {
	exe, err := toolcache.Path("fulcio", log)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "fulcio.yaml")
	text := fmt.Sprintf("oidc-issuers:\n  %s:\n    issuer-url: %s\n    client-id: sigstore\n    type: email\n    description: test\n    contact: test\n", a.Issuer, a.Issuer)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := new(Server)
	s.Server, err = process.Start(3, func(ports []int) (process.Spec, error) {
		s.URL = local(ports[0])
		return process.Spec{
			Path: exe, Ready: s.URL + "/healthz",
			Args: append([]string{
				"serve", "--host=127.0.0.1", "--port=" + strconv.Itoa(ports[0]),
				"--grpc-host=127.0.0.1", "--grpc-port=" + strconv.Itoa(ports[1]), "--metrics-port=" + strconv.Itoa(ports[2]),
				"--ct-log-url=" + a.CTLog, "--ct-log-public-key-path=" + a.CTLogKey, "--config-path=" + config, "--log_type=prod",
				"--legacy-unix-domain-socket=@fulcio-" + strconv.Itoa(ports[0]),
			}, a.source()...),
		}, nil
	})
	return s, err
}

func local(port int) string { return "http://localhost:" + strconv.Itoa(port) }

func writeKey(path string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
