// Package footprint measures what the project costs those who use it: the size of the program, and the modules that
// come along with the library. Only the budget check and the bench import it.
package footprint

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program builds the command below root (such as "./cmd/bulla") static and stripped into dir and returns the size of
// the file in bytes.
func Program(root, pkg, dir string) (size int64, err error) {
	exe := filepath.Join(dir, filepath.Base(pkg)+"-sized")
	if _, err := goRun(root, "build", "-trimpath", "-ldflags=-s -w", "-o", exe, pkg); err != nil {
		return 0, err
	}
	info, err := os.Stat(exe)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Importer is a program of one line that imports a package, as a stranger's would.
type Importer struct {
	Linked []string // modules that the compiler put into it, the imported one not counted
	Graph  int      // modules that its go.mod resolves, itself and the imported one included
}

// Import builds such a program in dir. local maps module paths to folders: those modules are taken from there; the
// first of versions is the one that pkg belongs to. versions are requirements as "path@version".
func Import(dir, pkg string, versions []string, local map[string]string) (*Importer, error) {
	if len(versions) == 0 {
		return nil, errors.New("no module to import from")
	}
	var mod strings.Builder
	mod.WriteString("module example.com/importer\n\ngo 1.26.0\n")
	for _, v := range versions {
		path, version, _ := strings.Cut(v, "@")
		fmt.Fprintf(&mod, "\nrequire %s %s\n", path, version)
	}
	for path, folder := range local {
		fmt.Fprintf(&mod, "\nreplace %s => %s\n", path, folder)
	}
	main := fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", pkg)
	for name, text := range map[string]string{"go.mod": mod.String(), "main.go": main} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if _, err := goRun(dir, "mod", "tidy"); err != nil {
		return nil, err
	}
	exe := filepath.Join(dir, "importer")
	if _, err := goRun(dir, "build", "-o", exe, "."); err != nil {
		return nil, err
	}
	info, err := goRun(dir, "version", "-m", exe)
	if err != nil {
		return nil, err
	}
	graph, err := goRun(dir, "list", "-m", "all")
	if err != nil {
		return nil, err
	}
	own, _, _ := strings.Cut(versions[0], "@")
	imp := &Importer{Graph: strings.Count(graph, "\n")}
	for line := range strings.Lines(info) {
		f := strings.Fields(line)
		if len(f) >= 3 && f[0] == "dep" && f[1] != own {
			imp.Linked = append(imp.Linked, f[1])
		}
	}
	return imp, nil
}

func goRun(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}
