//go:build unix

package tuf_test

import (
	"os"
	"os/exec"
	"syscall"
)

// asNobody makes a command run as a user to whom permissions apply, if we are root.
func asNobody(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
	}
}
