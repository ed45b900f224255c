package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// Many programs sign one image at once: of each that ends with 0 the signature is there, and each other one ends with the
// status of what could not be found out. They are processes of their own, sixty-four with BULLA_SOAK, and sixteen without;
// TestConcurrentWriters of package oci has more registries.
func TestWritersAreProcesses(t *testing.T) {
	x := newQuirkTemplate(t)
	writers := 16
	switch {
	case os.Getenv("BULLA_SOAK") != "":
		writers = 64
	case raceDetector:
		writers = 4 // the programs are the same ones, and start slowly
	}
	for _, test := range []struct {
		quirk
		more []string
		all  bool // the registry decides between writers, so that none is turned away
	}{
		{quirk: quirk{name: "API", api: true}, all: true},
		{quirk: quirk{name: "tag with ETag", etag: true}},
		{quirk: quirk{name: "tag without"}},
		{quirk: quirk{name: "tag, eventually consistent", quirks: testenv.Quirks{StaleFor: 50 * time.Millisecond}}},
		{quirk: quirk{name: "older tag"}, more: []string{"--format=legacy"}},
		{quirk: quirk{name: "immutable tags", quirks: testenv.Quirks{Immutable: "ecr"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := x.registry(t, test.quirk)
			w.prepare(t, "bare", "app")
			var group sync.WaitGroup
			var stored atomic.Int64
			for i := range writers {
				group.Go(func() {
					args := append([]string{"sign", "--key", quirkKey, "--log=none", "-a", fmt.Sprintf("writer=%d", i)}, test.more...)
					switch code, said := process("bulla", append(args, w.image("app"))...); code {
					case 0:
						stored.Add(1)
					case cli.ExitUnknown:
						if !strings.Contains(said, "error: ") {
							t.Errorf("writer %d was told nothing: %q", i, said)
						}
					default:
						t.Errorf("writer %d: status %d\n%s", i, code, said)
					}
				})
			}
			group.Wait()
			ok, found := int(stored.Load()), w.lines("signature", "app")
			t.Logf("%d of %d ended well, %d signatures are there", ok, writers, found)
			switch {
			case found < ok:
				t.Errorf("%d of them are lost", ok-found)
			case found > writers:
				t.Errorf("%d signatures of %d writers", found, writers)
			case ok == 0, test.all && ok < writers:
				t.Errorf("%d writers were turned away", writers-ok)
			}
			if code, out, said := quietly("verify", "--key", "cosign.pub", "--log=none", w.image("app")); code != 0 {
				t.Errorf("status %d\n%s%s", code, out, said)
			}
		})
	}
}

// process runs the program in a process of its own, by one of its names.
func process(name string, args ...string) (code int, said string) {
	program, err := os.Executable()
	if err != nil {
		return -1, err.Error()
	}
	var output bytes.Buffer
	cmd := exec.Command(program)
	cmd.Args = append([]string{name}, args...) // by these names the test binary is the program, see TestMain
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), output.String()
	case err != nil:
		return -1, err.Error()
	}
	return 0, output.String()
}
