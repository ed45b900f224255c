//go:build linux

package crash

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSyncedBeforeAnswered reads the system calls of a server that answers one request after the other: at the moment an
// answer 201 of the log or an answer 200 of the certificate authority leaves, no file and no directory of either log, of
// their lock stores or of the journal may have changes that were not synced.
func TestSyncedBeforeAnswered(t *testing.T) {
	p := newPlace(t)
	strace := needStrace(t)
	dir := p.state(t)
	s, err := p.start(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	out := filepath.Join(t.TempDir(), "trace.txt")
	detach := traceTo(t, s, strace, out)
	ledger := newLedger(p)
	const each = 6
	for range each {
		ledger.work(t.Context(), t, 1, 1, 0)
		ledger.work(t.Context(), t, 1, 0, 1)
	}
	detach()
	if entries, certificates, refused := ledger.counts(); entries != each || certificates != each || refused != 0 {
		t.Fatalf("%d entries, %d certificates, %d refused; %v", entries, certificates, refused, ledger.lost)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDisk(p.template, dir)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if d.syncs == 0 || d.answers < 2*each {
		t.Fatalf("the trace has %d syncs and %d answers: it is not understood", d.syncs, d.answers)
	}
	for _, v := range d.violations {
		t.Error(v)
	}
	t.Logf("%d answers, %d syncs, %d files and directories changed", d.answers, d.syncs, len(d.changed))
}

// traceTo is attach with the calls that the test reads, in a file.
func traceTo(t *testing.T, s *server, strace, out string) (detach func()) {
	t.Helper()
	end := attach(t, s, strace, "-y", "-s", "24", "-o", out,
		"-e", "trace=openat,mkdirat,mkdir,"+calls["write"]+","+calls["rename"]+","+calls["sync"]+",unlinkat,unlink,linkat,ftruncate,close")
	return func() {
		time.Sleep(100 * time.Millisecond) // for the last lines; what is missing makes the test fail, not pass
		end()
	}
}

// disk follows what was changed and what was synced, by the lines of strace -f -y.
type disk struct {
	dir        string
	dirty      map[string]int // by path: how many changes are not synced
	changed    map[string]bool
	known      map[string]bool   // paths that existed
	pending    map[string]string // by thread: the call that has not returned
	begun      map[string]int    // by thread: the changes that a sync under way covers
	through    map[string]bool   // paths opened with O_SYNC: what is written there is on the disk when the call returns
	syncs      int
	answers    int
	violations []string
}

func newDisk(template, dir string) *disk {
	d := &disk{
		dir: dir, dirty: map[string]int{}, changed: map[string]bool{}, known: map[string]bool{},
		pending: map[string]string{}, begun: map[string]int{}, through: map[string]bool{},
	}
	// What is there now may have been made during the trace; those paths are found in it with O_EXCL or a temporary name.
	_ = filepath.WalkDir(template, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			d.known[filepath.Join(dir, strings.TrimPrefix(path, template))] = true
		}
		return nil
	})
	return d
}

var (
	traced  = regexp.MustCompile(`^(?:\[pid +)?(\d+)\]? +(.*)$`)
	resumed = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	call    = regexp.MustCompile(`^(\w+)\((.*)$`)
	onFile  = regexp.MustCompile(`^\d+<([^>]*)>`)
	quoted  = regexp.MustCompile(`"([^"]*)"`)
)

// line reads one line. A change counts from the moment its call begins, a sync from the moment it has returned, for the
// changes that had begun before it.
func (d *disk) line(text string) {
	m := traced.FindStringSubmatch(text)
	if m == nil {
		return
	}
	thread, rest := m[1], m[2]
	if r := resumed.FindStringSubmatch(rest); r != nil {
		d.end(thread, d.pending[thread], r[2])
		delete(d.pending, thread)
		return
	}
	if before, ok := strings.CutSuffix(rest, "<unfinished ...>"); ok {
		d.pending[thread] = before
		d.begin(thread, before)
		return
	}
	d.begin(thread, rest)
	d.end(thread, rest, rest)
}

func (d *disk) begin(thread, text string) {
	m := call.FindStringSubmatch(text)
	if m == nil {
		return
	}
	name, args := m[1], m[2]
	switch name {
	case "write", "pwrite64", "ftruncate":
		f := onFile.FindStringSubmatch(args)
		if f == nil {
			return
		}
		if strings.Contains(f[1], "socket:") || strings.Contains(f[1], "TCP") {
			d.answer(args)
			return
		}
		if d.through[f[1]] && name != "ftruncate" {
			d.syncs++
			return
		}
		d.change(f[1])
	case "fsync", "fdatasync":
		if f := onFile.FindStringSubmatch(args); f != nil {
			d.begun[thread] = d.dirty[f[1]]
		}
	case "rename", "renameat", "renameat2", "linkat":
		if p := quoted.FindAllStringSubmatch(args, 2); len(p) == 2 {
			d.rename(p[0][1], p[1][1])
		}
	case "mkdir", "mkdirat", "unlink", "unlinkat":
		if p := quoted.FindStringSubmatch(args); p != nil {
			d.changeDir(p[1])
		}
	case "openat":
		if p := quoted.FindStringSubmatch(args); p != nil {
			d.open(p[1], args)
		}
	}
}

func (d *disk) open(path, args string) {
	d.through[path] = strings.Contains(args, "O_SYNC") || strings.Contains(args, "O_DSYNC")
	if strings.Contains(args, "O_CREAT") && !d.known[path] {
		d.known[path] = true
		d.changeDir(path)
	}
}

func (d *disk) end(thread, text, result string) {
	m := call.FindStringSubmatch(text)
	if m == nil || (m[1] != "fsync" && m[1] != "fdatasync") || !strings.Contains(result, "= 0") {
		return
	}
	if f := onFile.FindStringSubmatch(m[2]); f != nil {
		d.syncs++
		if d.dirty[f[1]] -= d.begun[thread]; d.dirty[f[1]] <= 0 {
			delete(d.dirty, f[1])
		}
	}
}

func (d *disk) change(path string) {
	if !strings.HasPrefix(path, d.dir) {
		return
	}
	d.dirty[path]++
	d.changed[path] = true
}

// changeDir changes the directory that a path is a name in, unless nothing rests on that name.
func (d *disk) changeDir(path string) {
	if !derived(path) {
		d.change(filepath.Dir(path))
	}
}

// rename moves what is not synced of a file along with it, and changes both directories.
func (d *disk) rename(from, to string) {
	if n := d.dirty[from]; n > 0 {
		delete(d.dirty, from)
		d.dirty[to] += n
	} else {
		delete(d.dirty, to)
	}
	d.known[to], d.through[to] = true, false
	d.changeDir(from)
	d.changeDir(to)
}

// answer is called when something is written to a connection.
func (d *disk) answer(args string) {
	promise := strings.Contains(args, "HTTP/1.1 201") || strings.Contains(args, "HTTP/1.1 200")
	if !promise {
		return
	}
	d.answers++
	for path, n := range d.dirty {
		if n > 0 && !derived(path) {
			d.violations = append(d.violations, fmt.Sprintf("answer %d left with %d changes of %s not synced: %s", d.answers, n, strings.TrimPrefix(path, d.dir), args))
		}
	}
}

// derived says that a promise does not rest on a path: the search index can be built again; locks between processes have
// no content; and the checkpoint is in the lock store before it is in its file, which is replaced in the log's own
// directory by way of a temporary one.
func derived(path string) bool {
	dir, base := filepath.Split(path)
	inLog := strings.HasSuffix(filepath.Dir(filepath.Clean(dir)), "log")
	isIndex := filepath.Base(dir) == "log" && strings.HasSuffix(base, ".index")
	return isIndex || strings.HasSuffix(base, ".lock") ||
		inLog && (base == "checkpoint" || strings.HasPrefix(base, ".bulla-"))
}
