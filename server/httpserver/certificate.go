package httpserver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// certificateEvery is how often the certificate's files are looked at, when somebody connects. Programs that renew
	// certificates do it days before the end.
	certificateEvery = 10 * time.Second
	// maxCertificateFile bounds certificate and key files: chains of three certificates with post-quantum keys have some
	// 30 KiB.
	maxCertificateFile = 1 << 20
)

// certificate is the server's certificate with its key, read anew when the files change.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu        sync.Mutex
	looked    time.Time
	cert, key []byte
	current   *tls.Certificate
	complaint string
}

// loadCertificate reads the files for the first time; they must be in order then.
func loadCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, log: log, looked: now()}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload takes the files' content if it has changed. On error the certificate stays what it was: a renewal that is half
// done, the new certificate beside the old key, must not end the service.
func (c *certificate) reload() error {
	cert, err := readBounded(c.certFile)
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	key, err := readBounded(c.keyFile)
	if err != nil {
		return fmt.Errorf("server key: %w", err)
	}
	if c.current != nil && bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("server certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.cert, c.key, c.current = cert, key, &pair
	return nil
}

// get implements [tls.Config.GetCertificate].
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if age := now.Sub(c.looked); age >= 0 && age < certificateEvery {
		return c.current, nil
	}
	c.looked = now
	before, complaint := c.current, ""
	if err := c.reload(); err != nil {
		complaint = err.Error()
	}
	switch {
	case complaint != "" && complaint != c.complaint:
		c.log.Error("the server's certificate cannot be read anew, the old one stays", "err", complaint)
	case c.current != before:
		c.log.Info("the server has a new certificate", "file", c.certFile, "ends", c.current.Leaf.NotAfter)
	}
	c.complaint = complaint
	return c.current, nil
}

// ends is when the current certificate does.
func (c *certificate) ends() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf.NotAfter
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCertificateFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxCertificateFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxCertificateFile)
	}
	return data, nil
}
