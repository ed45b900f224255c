package treelog

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/tlog"
)

// childVariable tells the test binary to be a log that is written to until it is killed: "directory workers entries".
const childVariable = "BULLA_TREELOG_CHILD"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childVariable)); len(args) == 3 {
		if err := child(args[0], number(args[1]), number(args[2])); err != nil {
			fmt.Printf("E %v\n", err)
			os.Exit(3)
		}
		fmt.Println("END")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// child adds entries and says what it was promised, line by line: "A index entry", "C checkpoint", and "X error" for an
// entry that was refused for want of room.
func child(dir string, workers, entries int) error {
	key, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	skey, vkey, _ := strings.Cut(strings.TrimSpace(string(key)), "\n")
	w := &world{dir: filepath.Join(dir, "log"), lock: filepath.Join(dir, "lock")}
	if w.signer, err = note.NewSigner(skey); err != nil {
		return err
	}
	if w.verifier, err = note.NewVerifier(vkey); err != nil {
		return err
	}
	lock, err := NewFileLock(w.lock)
	if err != nil {
		return err
	}
	l, err := Open(context.Background(), Config{
		Dir: w.dir, Origin: testOrigin, Signer: w.signer, Verifier: w.verifier, Lock: lock,
		CheckpointInterval: 5 * time.Millisecond, BatchMaxAge: time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer l.Close(context.Background())
	if err := l.Refusal(); err != nil {
		return err
	}
	return promises(l, workers, entries)
}

func promises(l *Log, workers, entries int) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	failures := make([]error, workers)
	for i := range workers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(entries); n = next.Add(1) {
				if err := promise(l, fmt.Sprintf("%d-%d-%s", os.Getpid(), n, strings.Repeat("x", int(n%7)*100))); err != nil {
					failures[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

func promise(l *Log, entry string) error {
	index, err := l.Add(context.Background(), []byte(entry))
	if errors.Is(err, ErrFull) {
		fmt.Printf("X %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf("A %d %s\n", index, entry)
	head, err := l.Await(context.Background(), index)
	if err != nil {
		return err
	}
	fmt.Printf("C %s\n", base64.StdEncoding.EncodeToString(head.Checkpoint))
	return nil
}

// witnessed is what a client of several children has seen.
type witnessed struct {
	world   *world
	dir     string
	entries map[string]uint64
	heads   []Head
}

func newWitnessed(t *testing.T) *witnessed {
	t.Helper()
	dir := t.TempDir()
	skey, vkey, err := note.GenerateKey(nil, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(skey+"\n"+vkey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{dir: filepath.Join(dir, "log"), lock: filepath.Join(dir, "lock")}
	if w.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if w.verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return &witnessed{world: w, dir: dir, entries: map[string]uint64{}}
}

// outcomes of a child.
type childEnd struct {
	acks     int
	full     int    // refusals for want of room
	reported string // the error that it gave as its reason to end
	whole    bool   // it added all it should
}

// run runs a child, under a tracer if one is given, until it ends or is killed, the time given after its first
// acknowledgement.
func (s *witnessed) run(t *testing.T, tracer []string, workers, entries int, kill time.Duration) childEnd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{}, tracer...), self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", childVariable, s.dir, workers, entries))
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := s.listen(t, out, func() {
		if kill > 0 {
			time.AfterFunc(kill, func() { _ = cmd.Process.Kill() })
		}
	})
	_ = cmd.Wait() // a killed child ends with an error
	return end
}

func (s *witnessed) listen(t *testing.T, out io.Reader, first func()) (end childEnd) {
	t.Helper()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "A":
			position, entry, _ := strings.Cut(rest, " ")
			index, err := strconv.ParseUint(position, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			s.entries[entry] = index
			if end.acks++; end.acks == 1 {
				first()
			}
		case "C":
			data, err := base64.StdEncoding.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			cfg := s.world.config(t)
			h, err := openCheckpoint(data, &cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.heads = append(s.heads, *h)
		case "X":
			end.full++
		case "E":
			end.reported = rest
		case "END":
			end.whole = true
		}
	}
	return end
}

// check opens the log and verifies that every promise is kept.
func (s *witnessed) check(t *testing.T) {
	t.Helper()
	l, err := Open(t.Context(), s.world.config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, l)
	if err := l.Refusal(); err != nil {
		t.Fatal(err)
	}
	s.checkOpen(t, l)
}

func (s *witnessed) checkOpen(t *testing.T, l *Log) {
	t.Helper()
	prove(t, l, s.entries)
	now, _ := l.Head()
	seen := map[uint64]bool{}
	for _, h := range s.heads {
		if h.Size == 0 || seen[h.Size] {
			continue
		}
		seen[h.Size] = true
		if h.Size > now.Size {
			t.Fatalf("the log has %d entries, a client has seen %d", now.Size, h.Size)
		}
		proof, err := l.ConsistencyProof(t.Context(), h.Size, now.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.VerifyConsistency(int64(h.Size), int64(now.Size), h.Root, now.Root, proof); err != nil {
			t.Fatalf("the log does not extend what a client has seen: %v", err)
		}
	}
}
