package access

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

const (
	// maxCertFiles bounds the files for one host. Docker's documentation has three.
	maxCertFiles = 64
	// maxCertFile bounds each. The certificate authorities of a whole system take a quarter of it.
	maxCertFile = 1 << 20
)

// Certificates are what a machine has for the TLS of one host.
type Certificates struct {
	Dir         string // where they are
	Authorities []*x509.Certificate
	Clients     []tls.Certificate
}

// CertDirs are the directories in certs.d form of a machine (containers-certs.d(5), and Docker's "Verify repository client
// with certificates"): the user's before the machine's.
func CertDirs(o Options) []string {
	k := NewKeychain(o)
	var dirs []string
	config := k.env("XDG_CONFIG_HOME")
	if config == "" && k.options.Home != "" {
		config = filepath.Join(k.options.Home, ".config")
	}
	for _, parent := range []string{config, "/etc"} {
		if parent != "" {
			dirs = append(dirs, filepath.Join(parent, "containers", "certs.d"), filepath.Join(parent, "docker", "certs.d"))
		}
	}
	return dirs
}

// LoadCertificates reads the files of a host, named with its port if it has one, from the first of the directories that has
// a directory for it: *.crt are authorities, *.cert are client certificates and *.key their keys. It returns nil when there
// is no such directory. Whatever is wrong in one is an error that names the file: half of what was configured is not enough.
func LoadCertificates(dirs []string, host string) (*Certificates, error) {
	for _, name := range certNames(host) {
		for _, parent := range dirs {
			dir := filepath.Join(parent, name)
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return readCertificates(dir, host)
		}
	}
	return nil, nil
}

// readCertificates reads one directory in certs.d form.
func readCertificates(dir, host string) (*Certificates, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("certificates for %s: %w", host, err)
	}
	if len(entries) > maxCertFiles {
		return nil, fmt.Errorf("certificates for %s: %s has %d files, the limit is %d", host, dir, len(entries), maxCertFiles)
	}
	c := &Certificates{Dir: dir}
	if err := c.read(entries); err != nil {
		return nil, fmt.Errorf("certificates for %s: %s%c%w", host, dir, filepath.Separator, err)
	}
	return c, nil
}

// certNames are the names of a host's directory; none for what is no host name, so that no host leads out of certs.d.
func certNames(host string) []string {
	ok := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".:_-[]", r))
	}
	if host == "" || strings.Trim(host, ".") == "" || strings.ContainsFunc(host, func(r rune) bool { return !ok(r) }) {
		return nil
	}
	if name := canonical(host); name != host {
		return []string{host, name}
	}
	return []string{host}
}

func (c *Certificates) read(entries []fs.DirEntry) error {
	files := map[string][]byte{}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".crt", ".cert", ".key":
			data, err := readFile(filepath.Join(c.Dir, e.Name()), maxCertFile)
			if err != nil {
				return fmt.Errorf("%s: %w", e.Name(), err)
			}
			files[e.Name()] = data
		}
	}
	for _, e := range entries {
		name := e.Name()
		data, stem := files[name], strings.TrimSuffix(name, filepath.Ext(name))
		switch filepath.Ext(name) {
		case ".crt":
			some, err := ParseAuthorities(data)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			c.Authorities = append(c.Authorities, some...)
		case ".cert":
			key, ok := files[stem+".key"]
			if !ok {
				return fmt.Errorf("%s: its key %s.key is missing (an authority's certificate has the ending .crt)", name, stem)
			}
			pair, err := tls.X509KeyPair(data, key)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			c.Clients = append(c.Clients, pair)
		case ".key":
			if _, ok := files[stem+".cert"]; !ok {
				return fmt.Errorf("%s: its certificate %s.cert is missing", name, stem)
			}
		}
	}
	return nil
}

// ParseAuthorities reads the certificates of a PEM file. There must be one, and each must be one.
func ParseAuthorities(data []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %q, want certificates", plainText(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		return nil, errors.New("it holds no PEM certificate")
	}
	return list, nil
}
