package access

import (
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong in a host's directory is an error; a host name leads to no directory but its own.
func TestCertificates(t *testing.T) {
	m := newMachine(t)
	m.write("certs.d/empty.test/readme", "nothing")
	m.write("certs.d/bad.test/ca.crt", "no certificate")
	m.write("certs.d/key.test/ca.crt", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	m.write("certs.d/half.test/client.cert", "x")
	m.write("certs.d/other.test/client.key", "x")
	m.write("certs.d/pair.test/client.cert", "x")
	m.write("certs.d/pair.test/client.key", "x")
	m.write("certs.d/big.test/ca.crt", strings.Repeat("x", maxCertFile+1))
	m.write("certs.d/broken.test/ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	m.write("certs.d/docker.io/ca.crt", "no certificate")
	m.write("outside/ca.crt", "no certificate")
	for range maxCertFiles + 1 {
		m.write(filepath.Join("certs.d/many.test", strings.Repeat("a", len(m.env)+1)), "x")
		m.env[strings.Repeat("a", len(m.env)+1)] = ""
	}
	dirs := []string{filepath.Join(m.home, "none"), filepath.Join(m.home, "certs.d")}
	for host, want := range map[string]string{
		"empty.test": "", "nothing.test": "", "empty.test:5000": "", "": "", ".": "", "..": "", "../outside": "", "a/b": "", "a\\b": "",
		"bad.test":        "bad.test/ca.crt: it holds no PEM certificate",
		"key.test":        `ca.crt: it holds a "PRIVATE KEY"`,
		"half.test":       "client.cert: its key client.key is missing",
		"other.test":      "client.key: its certificate client.cert is missing",
		"pair.test":       "client.cert: tls:",
		"big.test":        "it has more than",
		"broken.test":     "certificate 1: ",
		"index.docker.io": "docker.io/ca.crt",
		"many.test":       "has 65 files",
	} {
		_, err := LoadCertificates(dirs, host)
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(filepath.ToSlash(err.Error()), want)) {
			t.Errorf("%q: %v, want %q", host, err, want)
		}
	}
}

func TestCertDirOrder(t *testing.T) {
	m := newMachine(t)
	m.env["XDG_CONFIG_HOME"] = "/conf"
	k := m.keychain()
	got := strings.Join(CertDirs(k.options), " ")
	if want := "/conf/containers/certs.d /conf/docker/certs.d /etc/containers/certs.d /etc/docker/certs.d"; filepath.ToSlash(got) != want {
		t.Errorf("got %s", got)
	}
}

func FuzzParseAuthorities(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN X-----\n-----END X-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := ParseAuthorities(data); (err == nil) != (len(list) > 0) {
			t.Errorf("%d certificates, error %v", len(list), err)
		}
	})
}
