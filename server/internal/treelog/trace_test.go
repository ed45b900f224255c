package treelog

import (
	"bufio"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSyncedBeforeAcknowledged reads a trace of the system calls of a log that is made and written to: before each
// acknowledgement all that was written, made and renamed below the log's directory has been synced, and before each
// checkpoint that is given out the lock store has been. Only the file "checkpoint" is not waited for.
func TestSyncedBeforeAcknowledged(t *testing.T) {
	path := strace(t)
	s := newWitnessed(t)
	s.trace(t, path, 10, nil) // of a log that is made
	if end := s.run(t, nil, 8, 240, 0); !end.whole {
		t.Fatal("the log was not filled")
	}
	// A process before this one may have been killed before it synced any directory.
	var left []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.trace(t, path, 15, left) // past the end of a bundle
}

// trace runs a child that adds so many entries, one at a time: what is dirty when one is acknowledged is its own, or was
// left by somebody else.
func (s *witnessed) trace(t *testing.T, path string, entries int, left []string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trace")
	end := s.run(t, []string{
		path, "-f", "-y", "-o", out, "-s", "100",
		"-e", "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat",
	}, 1, entries, 0)
	if !end.whole {
		t.Fatalf("the log ended with %q", end.reported)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDisk(s.dir)
	for _, path := range left {
		d.dirty[path] = true
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.line(t, lines.Text())
	}
	if d.acks != entries || d.checkpoints != entries || d.syncs < entries {
		t.Errorf("the trace has %d acknowledgements, %d checkpoints and %d syncs", d.acks, d.checkpoints, d.syncs)
	}
}

// disk is what a trace says about a disk: the files and directories that a power cut could take something from.
type disk struct {
	dir        string
	unfinished map[string]string // by process
	osync      map[string]bool   // files opened with O_SYNC
	dirty      map[string]bool

	acks, checkpoints, syncs int
}

func newDisk(dir string) *disk {
	return &disk{dir: dir, unfinished: map[string]string{}, osync: map[string]bool{}, dirty: map[string]bool{}}
}

var (
	traceLine   = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumed     = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	traceCall   = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+)`)
	quoted      = regexp.MustCompile(`"([^"]*)"`)
	descriptor  = regexp.MustCompile(`^\d+<([^>]*)>`)
	uncheckable = []string{"/log/checkpoint", "/log/.bulla-"} // the published checkpoint and its temporary name
)

func (d *disk) line(t *testing.T, line string) {
	t.Helper()
	m := traceLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	process, text := m[1], m[2]
	if begin, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
		d.unfinished[process] = begin
		d.begin(t, begin)
		return
	}
	if r := resumed.FindStringSubmatch(text); r != nil {
		text = d.unfinished[process] + r[1]
	} else {
		d.begin(t, text)
	}
	if c := traceCall.FindStringSubmatch(text); c != nil && c[3] != "-1" {
		d.end(c[1], c[2])
	}
}

// begin looks at what a call gives away before it is finished: an acknowledgement.
func (d *disk) begin(t *testing.T, text string) {
	t.Helper()
	if !strings.HasPrefix(text, "write(1<") {
		return
	}
	switch q := quoted.FindStringSubmatch(text); {
	case q == nil:
	case strings.HasPrefix(q[1], "A "):
		d.acks++
		d.clean(t, "log", text)
	case strings.HasPrefix(q[1], "C "):
		d.checkpoints++
		d.clean(t, "log", text)
		d.clean(t, "lock", text)
	}
}

func (d *disk) clean(t *testing.T, below, text string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(d.dirty)) {
		if strings.HasPrefix(path, filepath.Join(d.dir, below)) {
			t.Errorf("%s is not synced at %.60s", path, text)
		}
	}
}

// end applies a call that has succeeded.
func (d *disk) end(call, args string) {
	var path string
	if m := descriptor.FindStringSubmatch(args); m != nil {
		path = m[1]
	}
	names := quoted.FindAllStringSubmatch(args, 2)
	switch call {
	case "openat":
		if len(names) == 0 || !strings.Contains(args, "O_CREAT") {
			return
		}
		d.osync[names[0][1]] = strings.Contains(args, "O_SYNC")
		d.soil(filepath.Dir(names[0][1]), names[0][1])
	case "write":
		if !d.osync[path] {
			d.soil(path, path)
		}
	case "fsync", "fdatasync":
		d.syncs++
		delete(d.dirty, path)
	case "mkdir", "mkdirat":
		d.soil(filepath.Dir(names[0][1]), names[0][1])
		d.soil(names[0][1], names[0][1])
	case "rename", "renameat", "renameat2":
		from, to := names[0][1], names[1][1]
		if d.dirty[from] {
			d.soil(to, to)
			delete(d.dirty, from)
		}
		d.soil(filepath.Dir(to), to)
	}
}

// soil marks what a change of cause has made dirty.
func (d *disk) soil(path, cause string) {
	for _, free := range uncheckable {
		if strings.HasPrefix(cause, d.dir+free) {
			return
		}
	}
	if strings.HasPrefix(path, d.dir+"/") && !strings.HasSuffix(cause, ".lock") && !strings.HasSuffix(cause, "/.guard") {
		d.dirty[path] = true
	}
}
