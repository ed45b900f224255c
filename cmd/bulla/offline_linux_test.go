package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/trustsource"
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

// elsewhere runs a script in a network namespace of its own, from which everything but this machine is reached through one
// device, and returns how many packets went into that, and how many datagrams were sent anywhere.
func elsewhere(t *testing.T, env []string, script string) (packets, datagrams int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `set -e
PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
ip link add out type veth peer name far
ip link set out addrgenmode none
ip link set far addrgenmode none up
ip link set out up
ip addr add 198.51.100.1/24 dev out
ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:01 dev out
ip route add default via 198.51.100.2 dev out
count() {
	cat /proc/net/dev /proc/net/snmp /proc/net/snmp6 | awk '
$1 == "out:" { packets = $11 }
$1 == "Udp:" && $5 ~ /^[0-9]+$/ { n += $5 }
$1 == "Udp6OutDatagrams" { n += $2 }
END { print packets + 0, n + 0 }'
}
set +e
`+script+`
count`)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if _, bad := fmt.Sscan(out.String(), &packets, &datagrams); err != nil || bad != nil {
		t.Fatalf("%v, %v: %s\n%s", err, bad, out.String(), log.String())
	}
	t.Logf("%d packets, %d datagrams\n%s", packets, datagrams, log.String())
	return packets, datagrams
}

// quoted is a call as a shell reads it. The registry is at an address of this machine, at which nobody listens.
func quoted(name string, args []string) string {
	words := append(strings.Fields(name), args...)
	for i, word := range words {
		words[i] = "'" + strings.ReplaceAll(strings.ReplaceAll(word, "registry.invalid", "127.0.0.1:9"), "'", `'\''`) + "'"
	}
	return `"$BULLA" ` + strings.Join(words, " ") + " >&2 &"
}

// Every command in a network namespace: with --offline no packet leaves the machine, and no name is looked up, while the
// registry that is named, which is at an address of this machine, may be asked.
func TestOfflineEveryCommandInNamespace(t *testing.T) {
	t.Parallel()
	testenv.Unwatched(t)
	probe := exec.Command("/bin/sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; ip link add out type veth peer name far")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("no network namespace with a device can be made here: %v %s", err, out)
	}
	dir := t.TempDir()
	calls := wander(t, dir)
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, filepath.Join(dir, "bulla"))
	}
	for _, name := range []string{"Dockerfile", "pod.yaml"} {
		file := filepath.Join(dir, name)
		data, errRead := os.ReadFile(file)
		if err = errors.Join(err, errRead); err == nil {
			err = os.WriteFile(file, bytes.ReplaceAll(data, []byte("registry.invalid"), []byte("127.0.0.1:9")), 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"HOME=" + dir, "DOCKER_CONFIG=" + dir, "TUF_MIRROR=" + trustsource.PublicMirror, "BULLA=" + filepath.Join(dir, "bulla"), "HTTPS_PROXY=", "HTTP_PROXY=",
		"ACTIONS_ID_TOKEN_REQUEST_URL=http://192.0.2.9/x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=t", "COSIGN_PASSWORD=",
	}
	var lines []string
	for name, all := range calls {
		for _, args := range all {
			lines = append(lines, quoted(name, append(args, "--offline", "--timeout", "20s")))
			if len(lines)%20 == 0 { // a registry that is away is asked again after a while
				lines = append(lines, "wait")
			}
		}
	}
	if packets, datagrams := elsewhere(t, env, strings.Join(append(lines, "wait"), "\n")); packets != 0 || datagrams != 0 {
		t.Errorf("offline: %d packets left the machine, %d datagrams were sent", packets, datagrams)
	}
	packets, datagrams := elsewhere(t, env, quoted("sign-blob", []string{"-y", "--rekor-url", "http://192.0.2.9", "--use-signing-config=false", exe})+"\na=$!\n"+
		quoted("initialize", nil)+`
b=$! i=0
while set -- $(count) && [ $1 = 0 -o $2 = 0 ] && [ $i -lt 600 ]; do
	i=$((i + 1))
	sleep 0.1
done
kill $a $b`)
	if packets == 0 || datagrams == 0 {
		t.Error("online nothing leaves the machine, so that this test could not fail")
	}
}
