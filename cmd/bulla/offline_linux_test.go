package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

// sent counts the connections and datagrams that the kernel was asked for in this network namespace.
const sent = `cat /proc/net/snmp /proc/net/snmp6 | awk '
$1 == "Tcp:" && $6 ~ /^[0-9]+$/ { n += $6 }
$1 == "Udp:" && $5 ~ /^[0-9]+$/ { n += $5 }
$1 == "Udp6OutDatagrams" { n += $2 }
END { print n + 0 }'`

// namespace runs a script in a network namespace of its own, in which every address has a route to nowhere, and returns
// what the kernel counted.
func namespace(t *testing.T, env []string, script string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `set -e
PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
ip addr add 192.0.2.1/24 dev lo
ip route add default dev lo
set +e
`+script+" >&2\n"+sent)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	n, bad := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil || bad != nil {
		t.Fatalf("%v, %v\n%s", err, bad, log.String())
	}
	t.Logf("%d sent\n%s", n, log.String())
	return n
}

// The whole program in a network namespace: with --offline the kernel is not asked for a single connection or datagram,
// not even to find a name.
func TestOfflineInNamespace(t *testing.T) {
	testenv.Unwatched(t)
	probe := exec.Command("/bin/sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && ip route add default dev lo")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here: %v %s", err, out)
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, filepath.Join(dir, "bulla"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "root.json"), publicgood.TUFRoot(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + dir, "DOCKER_CONFIG=" + dir, "TUF_ROOT_JSON=" + filepath.Join(dir, "root.json"), "TUF_MIRROR=http://192.0.2.9/tuf", "BULLA=" + filepath.Join(dir, "bulla")}
	calls := func(flag string) string {
		var lines []string
		for _, args := range []string{
			"initialize", "public-key --key https://keys.invalid/k.pub", "public-key --key http://192.0.2.9/k.pub",
			"verify-blob --certificate-identity a --certificate-oidc-issuer https://i.invalid --bundle " + exe + " http://192.0.2.9/x",
			"sign-blob -y --rekor-url http://192.0.2.9 --use-signing-config=false --bundle b.json " + exe,
		} {
			lines = append(lines, `"$BULLA" `+args+" --timeout 1s "+flag)
		}
		return strings.Join(lines, "\n")
	}
	if n := namespace(t, env, calls("--offline")); n != 0 {
		t.Errorf("offline: the kernel sent %d times", n)
	}
	if n := namespace(t, env, calls("")); n == 0 {
		t.Error("online: the kernel sent nothing, so that this test could not fail")
	}
}
