package main_test

import (
	"os"
	"strings"
	"testing"
)

// Who makes a deployment for others says where the logs remember what they signed; what lies within the state is pointed
// out at every start, until it is moved.
func TestLock(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	more := []string{"init", "--dir", "d", "--hostname", "sigstore.example.com", "--generate-password"}
	for _, services := range []string{"", "log", "ctlog,ca"} {
		args := more
		if services != "" {
			args = append(args, "--services", services)
		}
		if code, _, errs := o.run(args...); code != 21 || !strings.Contains(errs, "--lock is needed") || !strings.Contains(errs, "d/lock keeps it") {
			t.Errorf("init without --lock, services %q: exit status %d, %s", services, code, errs)
		}
	}
	if _, err := os.Stat(o.path("d")); err == nil {
		t.Error("something was made")
	}
	o.must(append(more, "--lock", "memory", "--development-login")...)
	text, err := os.ReadFile(o.path("d/bulla-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "lock: "+o.path("memory")+"\n"); n != 2 {
		t.Errorf("the configuration names the lock store %d times:\n%s", n, text)
	}

	address := o.initialise("e")
	const warning = "is within the state"
	server := o.serve("e", address)
	one := o.mustSign("e", "one")
	server.stop(t)
	if n := strings.Count(server.log.String(), warning); n != 2 {
		t.Errorf("%d warnings: %s", n, tail(server.log.String()))
	}
	if text, err = os.ReadFile(o.path("e/bulla-server.yaml")); err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.ReplaceAll(string(text), "lock: ./lock\n", "lock: ../moved\n"))
	if err := os.WriteFile(o.path("e/bulla-server.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.path("e/lock"), o.path("moved")); err != nil {
		t.Fatal(err)
	}
	server = o.serve("e", address)
	o.verify("e", one, o.mustSign("e", "two"))
	server.stop(t)
	if strings.Contains(server.log.String(), warning) {
		t.Errorf("a warning although it was moved: %s", tail(server.log.String()))
	}
}
