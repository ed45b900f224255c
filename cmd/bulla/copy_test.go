package main

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// Who copies from one registry to another with one credential is told that both get it.
func TestCopyCredentialForBoth(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	with := testenv.RegistryOptions{Referrers: true, User: "user", Password: "password"}
	from, to := testenv.NewRegistry(t, with), testenv.NewRegistry(t, with)
	image := from.PushImage(t, "app:v1")
	for target, told := range map[string]bool{to.Host + "/app:v1": true, from.Host + "/other:v1": false} {
		code, _, said := quietly("copy", "--registry-username", "user", "--registry-password", "password", image, target)
		if code != 0 || strings.Contains(said, "is sent to both "+from.Host+" and "+to.Host) != told {
			t.Errorf("to %s: status %d\n%s", target, code, said)
		}
	}
}
