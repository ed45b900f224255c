package interop

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// adjusted is an instance of its own whose configuration was changed by its operator: lines of bulla-server.yaml, as it is
// made, are replaced.
func adjusted(t *testing.T, lines map[string]string) *instance {
	t.Helper()
	return founded(t, func(*instance) {}).adjust(t, lines)
}

// deployment is an instance that does not run: the folder of its state.
type deployment struct {
	dir string
}

// founded makes what an instance needs, has it looked at while it runs, and stops it.
func founded(t *testing.T, look func(in *instance)) *deployment {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "up")
	in, err := startInstance(bullaServer(t), "--dir", dir, "--port", "0")
	if err != nil {
		t.Fatal(err)
	}
	defer in.stop()
	look(in)
	return &deployment{dir}
}

// adjust changes the configuration and starts the instance.
func (d *deployment) adjust(t *testing.T, lines map[string]string) *instance {
	t.Helper()
	path := filepath.Join(d.dir, "bulla-server.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for old, replacement := range lines {
		if strings.Count(config, "\n"+old+"\n") != 1 {
			t.Fatalf("bulla-server.yaml has not one line %q", old)
		}
		config = strings.Replace(config, "\n"+old+"\n", "\n"+replacement+"\n", 1)
	}
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := startInstance(bullaServer(t), "--dir", d.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.stop)
	return in
}

// bcrypted is the hash of a password as the configuration of a user has it.
func bcrypted(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10) // the least that the issuer takes
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}
