// Command budget measures the size of bulla and bulla-server and the modules that an importer of the library pulls in, and fails where a
// limit is passed. Run it at the project's root.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulla-sign/bulla/internal/tools/footprint"
)

const (
	maxServer  = 30_000_000 // bytes, stripped: all services, gRPC and metrics among them
	maxProgram = 17_000_000 // bytes, stripped: a sixth of cosign; the TUF client and OIDC are part of it
	maxLinked  = 4          // modules in an importer of verify: x/crypto, x/mod, edwards25519, json
	maxGraph   = 60         // modules that its go.mod resolves; sigstore-go brings 367
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "budget:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bulla-budget-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // temporary
	size, err := footprint.Program(root, "./cmd/bulla", dir)
	if err != nil {
		return err
	}
	server, err := footprint.Program(filepath.Join(root, "server"), "./cmd/bulla-server", dir)
	if err != nil {
		return err
	}
	const module = "github.com/bulla-sign/bulla"
	imp, err := footprint.Import(dir, module+"/verify", []string{module + "@v0.0.0"}, map[string]string{module: root})
	if err != nil {
		return err
	}
	over := 0
	line := func(what string, got, limit int64, more string) {
		word := "ok"
		if got > limit {
			word = "OVER"
			over++
		}
		fmt.Printf("%-50s %11d of %11d  %s %s\n", what, got, limit, word, more)
	}
	line("bulla, stripped, bytes", size, maxProgram, "")
	line("bulla-server, stripped, bytes", server, maxServer, "")
	line("modules linked by an importer of verify", int64(len(imp.Linked)), maxLinked, strings.Join(imp.Linked, " "))
	line("modules in its go list -m all", int64(imp.Graph), maxGraph, "")
	if over > 0 {
		return fmt.Errorf("%d budgets passed", over)
	}
	return nil
}
