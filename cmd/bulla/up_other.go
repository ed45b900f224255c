//go:build !unix

package main

import "errors"

// become runs a program in this one's place, where the system can do that.
func become(string, []string, []string) error {
	return errors.New("the services do not run on this system")
}
