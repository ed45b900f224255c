package ctlog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/bulla-sign/bulla/internal/durable"
)

// maxIssuers is how many different certificates above leaves a log has seen in its life: an authority that rotates every
// month has a hundred in eight years. They are held in memory.
const maxIssuers = 1024

// issuers are the certificates above the leaves, one file each, under the hexadecimal of their SHA-256 (static-ct-api,
// "Issuers").
type issuers struct {
	dir string

	writing sync.Mutex // held while a file is written
	mu      sync.RWMutex
	known   map[[32]byte][]byte // those that are on the disk
}

// openIssuers reads the directory, which need not be there yet. A file whose content is not what its name says is an error.
func openIssuers(dir string) (*issuers, error) {
	s := &issuers{dir: dir, known: make(map[[32]byte][]byte)}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		fingerprint, ok := parseFingerprint(e.Name())
		if !ok {
			continue // what was being written when the process was killed
		}
		der, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(der) != fingerprint {
			return nil, fmt.Errorf("issuer %s: the file holds something else; restore it", filepath.Join(dir, e.Name()))
		}
		s.known[fingerprint] = der
	}
	return s, nil
}

// parseFingerprint reads 64 lower-case hexadecimal digits.
func parseFingerprint(name string) (fingerprint [32]byte, ok bool) {
	sum, err := hex.DecodeString(name)
	if err != nil || len(sum) != len(fingerprint) || hex.EncodeToString(sum) != name {
		return fingerprint, false
	}
	return [32]byte(sum), true
}

// get returns a certificate, or nil if it is not known.
func (s *issuers) get(fingerprint [32]byte) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known[fingerprint]
}

// store returns once every certificate of the path is on the disk.
func (s *issuers) store(p *certPath) error {
	for i, fingerprint := range p.fingerprints {
		if s.get(fingerprint) != nil {
			continue
		}
		if err := s.write(fingerprint, p.certs[i].Raw); err != nil {
			return fmt.Errorf("storing the issuer %q: %w", p.certs[i].Subject, err)
		}
	}
	return nil
}

func (s *issuers) write(fingerprint [32]byte, der []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	done, n := s.known[fingerprint] != nil, len(s.known)
	s.mu.RUnlock()
	if done {
		return nil
	}
	if n >= maxIssuers {
		return fmt.Errorf("there are %d already, which is the limit", n)
	}
	if err := makeDir(s.dir); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(s.dir, hex.EncodeToString(fingerprint[:])), der, 0o644); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[fingerprint] = der
	return nil
}

// makeDir makes a directory whose parent is there, and returns once its name is on the disk. One that is there already may
// have been made by a process that was killed before that.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}
