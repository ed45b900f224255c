// Command readme runs the example of README.md: the fenced block marked "sh", line by line, against a real registry, so
// that what a newcomer copies works as written. Run it at the project's root after `make build`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
)

// registryInText is the address that the README uses for a registry.
const registryInText = "localhost:5000"

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		return err
	}
	script, err := example(string(text))
	if err != nil {
		return err
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bulla-readme-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := realregistry.Start(dir, os.Stderr)
	if err != nil {
		return err
	}
	defer server.Close()
	if _, err := realregistry.PushImage(ctx, server.Addr+"/app:v1", "the application\n"); err != nil {
		return err
	}
	for name, content := range map[string]string{"app.tar": "an archive\n", "sbom.json": `{"spdxVersion":"SPDX-2.3"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-x", "-c", strings.ReplaceAll(script, registryInText, server.Addr))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "COSIGN_PASSWORD=readme")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}

// example takes the one block marked "sh" out of the text.
func example(text string) (string, error) {
	_, rest, ok := strings.Cut(text, "\n```sh\n")
	script, after, closed := strings.Cut(rest, "\n```")
	if !ok || !closed || strings.Contains(after, "\n```sh\n") {
		return "", errors.New("README.md does not have exactly one block marked sh")
	}
	if strings.Count(script, "bulla ") < 8 || !strings.Contains(script, registryInText) {
		return "", errors.New("the block marked sh in README.md is not the example of use")
	}
	return script, nil
}
