// Command tool prints the path of a pinned test tool and builds it first where it is missing:
//
//	go run ./internal/tools/tool cosign
//	go run ./internal/tools/tool -run staticcheck ./...
//	go run ./internal/tools/tool -node test/interop/js
//	go run ./internal/tools/tool -debian docker-registry
//
// With -run the tool is run with the arguments that follow its name, and its exit status is handed on. With
// -node the Node packages that the folder's lockfile pins are installed, and the folder that holds them is printed. With
// -debian the program comes out of a Debian package.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

func main() {
	args := os.Args[1:]
	others := map[string]func(string, io.Writer) (string, error){"-node": toolcache.NodePackages, "-debian": toolcache.DebianPath}
	if len(args) == 2 && others[args[0]] != nil {
		path, err := others[args[0]](args[1], os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, "tool:", err)
			os.Exit(1)
		}
		fmt.Println(path)
		return
	}
	run := len(args) > 0 && args[0] == "-run"
	if run {
		args = args[1:]
	}
	if len(args) == 0 || (!run && len(args) > 1) {
		fmt.Fprintf(os.Stderr, "usage: tool NAME | tool -run NAME ARGS… | tool -node DIR | tool -debian PACKAGE\ntools: %s\npackages: %s\n",
			strings.Join(toolcache.Names(), " "), strings.Join(toolcache.DebianNames(), " "))
		os.Exit(2)
	}
	exe, err := toolcache.Path(args[0], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
	if !run {
		fmt.Println(exe)
		return
	}
	cmd := exec.Command(exe, args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}
