package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
)

// maxKeyFile is how much of an existing file is searched for a key: an encrypted RSA key has some 4 KB.
const maxKeyFile = 64 << 10

// CheckOutput refuses to write data over a private key, or over the public key that lies beside one (PREFIX.pub beside
// PREFIX.key) unless it is the same. A file that an output flag names is replaced without a question, and a key that is
// lost in this way cannot be had back; the commands that make keys ask for themselves.
func CheckOutput(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil // nothing there, or what writing it will complain about
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	old, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil
	}
	_, begin, pem := bytes.Cut(old, []byte("-----BEGIN "))
	kind, _, _ := bytes.Cut(begin, []byte("-----"))
	prefix, public := strings.CutSuffix(path, ".pub")
	what := ""
	switch {
	case pem && bytes.HasSuffix(kind, []byte("PRIVATE KEY")):
		what = "private key"
	case pem && public && bytes.HasSuffix(kind, []byte("PUBLIC KEY")) && !bytes.Equal(old, data):
		if _, err := os.Stat(prefix + ".key"); err == nil {
			what = "public key of " + prefix + ".key"
		}
	}
	if what == "" {
		return nil
	}
	return Usagef("the output file %s holds a %s and would be overwritten", path, what).
		WithHint("name another file, or remove this one first")
}
