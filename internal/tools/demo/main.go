// Command demo shows what bulla is for, in a minute and on this machine alone: it starts a real registry on loopback,
// pushes a small image, makes a key, signs, verifies, and sees a tampered image refused. It leaves nothing behind.
//
//	make demo
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
)

func main() {
	bulla := flag.String("bulla", "bin/bulla", "the program to show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bulla); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

// show is the demo: a program, a folder, a registry.
type show struct {
	ctx      context.Context
	exe, dir string
	env      []string
}

func run(ctx context.Context, bulla string) (err error) {
	exe, err := filepath.Abs(bulla)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bulla-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &show{ctx: ctx, exe: exe, dir: dir, env: append(os.Environ(),
		"COSIGN_PASSWORD=a password for the demo", "HOME="+dir, "DOCKER_CONFIG="+dir)}

	step("A registry, on this machine only")
	data := filepath.Join(dir, "registry")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	server, err := realregistry.Start(data, os.Stderr)
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Println("it listens at", server.Addr)

	step("A small image in it")
	tag := server.Addr + "/demo/app:v1"
	image, err := realregistry.PushImage(ctx, tag, "hello from the image that was shipped\n")
	if err != nil {
		return err
	}
	fmt.Println(image)
	return s.signAndVerify(tag, image)
}

// noMatchingSignatures is the exit status for "there are signatures, and none of them fits"; see docs/exit-codes.md.
const noMatchingSignatures = 12

// signAndVerify is the story itself.
func (s *show) signAndVerify(tag, image string) error {
	step("A key of our own")
	if err := s.must("generate-key-pair"); err != nil {
		return err
	}

	step("Sign the image: no services are involved, so a signing configuration says that there are none")
	if err := s.must("signing-config", "create", "--out", "no-services.json"); err != nil {
		return err
	}
	if err := s.must("sign", "--key", "cosign.key", "--signing-config", "no-services.json", image); err != nil {
		return err
	}

	step("Verify it, by its tag: --log=none says aloud that no transparency log is asked for")
	if err := s.must("verify", "--key", "cosign.pub", "--log=none", "-o", "text", tag); err != nil {
		return err
	}

	step("Somebody swaps the image and hangs the genuine signature on theirs")
	tampered, err := realregistry.PushImage(s.ctx, tag, "hello from the image that was slipped in\n")
	if err != nil {
		return err
	}
	signature, err := s.output("download", "signature", image)
	if err != nil {
		return err
	}
	if err := attachBundle(s.ctx, tampered, bytes.TrimSpace(signature)); err != nil {
		return err
	}
	fmt.Println(tampered)

	step("The same command on the same tag now refuses, and says why")
	code, err := s.call("verify", "--key", "cosign.pub", "--log=none", "-o", "text", tag)
	if err != nil {
		return err
	}
	fmt.Printf("exit status %d\n", code)
	if code != noMatchingSignatures {
		return fmt.Errorf("the tampered image must be refused with exit status %d", noMatchingSignatures)
	}

	step("Done: the registry is gone, and so are the files")
	return nil
}

func step(what string) { fmt.Printf("\n== %s\n", what) }

// must runs a command that has to succeed.
func (s *show) must(args ...string) error {
	code, err := s.call(args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("bulla %s: exit status %d", args[0], code)
	}
	return err
}

// call shows a command and runs it; a refusal is no error.
func (s *show) call(args ...string) (code int, err error) {
	fmt.Println("$ bulla", strings.Join(args, " "))
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout // in the order in which they were said
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func (s *show) output(args ...string) ([]byte, error) {
	cmd := s.command(args...)
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

func (s *show) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, s.exe, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}
