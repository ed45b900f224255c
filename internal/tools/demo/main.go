// Command demo shows what bulla is for, in a minute and on this machine alone: it starts a real registry and a private
// Sigstore on loopback, pushes a small image, signs it with an identity, verifies who signed, sees a tampered image refused,
// and looks at what the transparency log has of it. It leaves nothing behind.
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
		"HOME="+dir, "DOCKER_CONFIG="+dir, "TMPDIR="+dir)}

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

	step("A private Sigstore, on this machine only: issuer, certificate authority, logs, timestamps, trust")
	services, err := s.up()
	if err != nil {
		return err
	}
	err = s.story(services, server.Addr+"/demo/app:v1")
	if down := s.down(services); err == nil {
		err = down
	}
	return err
}

// story is what the demo tells once everything runs.
func (s *show) story(services *services, tag string) error {
	step("A small image in the registry")
	image, err := realregistry.PushImage(s.ctx, tag, "hello from the image that was shipped\n")
	if err != nil {
		return err
	}
	fmt.Println(image)

	step("Trust the new instance")
	if err := s.must("initialize", "--mirror", services.Mirror, "--root", services.Root, "--root-checksum", services.RootSHA256); err != nil {
		return err
	}
	if err := s.signAndVerify(services, tag, image); err != nil {
		return err
	}
	return s.lookAtLog(services)
}

// noMatchingSignatures is the exit status for "there are signatures, and none of them fits"; see docs/exit-codes.md.
const noMatchingSignatures = 12

// who signs in the demo. The development login believes everybody.
const who = "alice@example.com"

func (s *show) signAndVerify(services *services, tag, image string) error {
	step("An identity token: in CI the job has one, people log in with a browser, here the issuer believes whoever asks")
	if err := s.token(services, "token.jwt"); err != nil {
		return err
	}

	step("Sign the image: token, certificate for ten minutes, timestamp, log entry; no key is kept")
	if err := s.must("sign", "--yes", "--identity-token", "token.jwt", image); err != nil {
		return err
	}

	step("Verify it, by its tag, and by who signed it")
	verify := []string{"verify", "--certificate-identity", who, "--certificate-oidc-issuer", services.Issuer, "-o", "text", tag}
	if err := s.must(verify...); err != nil {
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
	code, err := s.call(verify...)
	if err != nil {
		return err
	}
	fmt.Printf("exit status %d\n", code)
	if code != noMatchingSignatures {
		return fmt.Errorf("the tampered image must be refused with exit status %d", noMatchingSignatures)
	}
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
