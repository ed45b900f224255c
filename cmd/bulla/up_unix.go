//go:build unix

package main

import "syscall"

// become runs a program in this one's place. It returns only when that fails.
func become(program string, args, env []string) error { return syscall.Exec(program, args, env) }
