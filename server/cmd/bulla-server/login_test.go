package main_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestDevelopmentLogin: on an address that others can reach, or under a name that is not this machine's, the program does
// not start with the development login, unless the flag says that it is meant.
func TestDevelopmentLogin(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d", "--services", "issuer", "--development-login")
	port := address[strings.LastIndex(address, ":")+1:]
	refused := func(dir, says string) {
		t.Helper()
		code, out, errs := o.run("serve", "--config", dir+"/bulla-server.yaml")
		if code != 22 || out != "" || !strings.Contains(errs, says) || !strings.Contains(errs, "set development-login-anywhere") {
			t.Errorf("exit status %d, %s%s", code, out, errs)
		}
	}
	path := o.path("d/bulla-server.yaml")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, public := range []string{"0.0.0.0", "[::]", "192.0.2.1", "sigstore.example.com"} {
		changed := strings.Replace(string(good), `"127.0.0.1:`+port, `"`+public+":"+port, 1)
		if changed == string(good) {
			t.Fatal("the configuration has another address")
		}
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		refused("d", "development-login gives any identity")
	}

	o.must("init", "--dir", "named", "--url", "https://sigstore.example.com", "--listen", "127.0.0.1:"+port, "--generate-password",
		"--development-login", "--services", "issuer")
	refused("named", "the development login gives a token for any address to everybody")
	o.configure("named", "  development-login-anywhere: true\n")
	server := o.serve("named", "http://127.0.0.1:"+port)
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+port+"/oidc/dev/token", strings.NewReader("email=alice@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "sigstore.example.com"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	idToken(t, resp)
	server.stop(t)
}
