//go:build !unix

package tuf_test

import "os/exec"

func asNobody(*exec.Cmd) {}
