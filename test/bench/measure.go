package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// sample is one run of a program.
type sample struct {
	Wall time.Duration // from before it was started until it was gone
	RSS  int64         // its largest resident set, bytes
	Exit int
	Err  string // last words of a program that failed
}

// measure runs a command through a second copy of this program, started afresh for it: the kernel counts the parent's
// memory into a child's largest resident set (a child starts as a copy of its parent), so the parent must be small.
func measure(args []string, env []string) (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	cmd := exec.Command(self, append([]string{measureFlag}, args...)...)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("measuring %s: %w", args[0], err)
	}
	var s sample
	if err := json.Unmarshal(out, &s); err != nil {
		return sample{}, err
	}
	if s.Exit != 0 {
		return s, fmt.Errorf("%s: exit %d: %s", strings.Join(args, " "), s.Exit, s.Err)
	}
	return s, nil
}

// measureFlag as the first argument makes this program run the rest as a command and print a sample.
const measureFlag = "-measure-one"

func measureOne(args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	errOut, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	words, readErr := io.ReadAll(io.LimitReader(errOut, 4<<10))
	err = cmd.Wait()
	s := sample{Wall: time.Since(start), Exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if readErr != nil {
		return readErr
	}
	s.RSS = maxRSS(cmd.ProcessState)
	if s.Exit != 0 {
		lines := strings.Split(strings.TrimSpace(string(words)), "\n")
		s.Err = lines[len(lines)-1]
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// series is the runs of one command.
type series []sample

// wall is the median.
func (s series) wall() time.Duration {
	all := make([]time.Duration, 0, len(s))
	for _, x := range s {
		all = append(all, x.Wall)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// rss is the largest.
func (s series) rss() int64 {
	var most int64
	for _, x := range s {
		most = max(most, x.RSS)
	}
	return most
}

// command is one program with its arguments, as compared in a row.
type command struct {
	name string
	args []string
}

// interleave runs all commands n times in turn, so that what disturbs the machine disturbs each of them.
func interleave(commands []command, n int, env []string) (map[string]series, error) {
	out := map[string]series{}
	for i := range n + 1 {
		for _, c := range commands {
			s, err := measure(c.args, env)
			if err != nil {
				return nil, err
			}
			if i > 0 { // the first warms the caches
				out[c.name] = append(out[c.name], s)
			}
		}
	}
	return out, nil
}
