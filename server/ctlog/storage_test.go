package ctlog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Without a place for its issuers a chain is not logged, and gets no SCT.
func TestIssuersCannotBeStored(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	path := filepath.Join(w.dir, "issuer")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // in the way of the directory
		t.Fatal(err)
	}
	precert, _ := w.ca.precert(t)
	if _, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert)); err == nil {
		t.Fatal("an SCT although the issuers are not stored")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	sct, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
	if err != nil || indexOf(t, sct) != 0 {
		t.Errorf("afterwards: %v", err)
	}
}

// A log does not open with an issuer that is not what its name says; what a killed process left unfinished is passed over.
func TestIssuersOnDisk(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 1)
	closeLog(t, s)
	dir := filepath.Join(w.dir, "issuer")
	for _, name := range []string{".bulla-00.tmp", "README", strings.Repeat("AB", 32)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = w.open(t)
	if len(s.issuers.known) != 2 {
		t.Errorf("%d issuers", len(s.issuers.known))
	}
	closeLog(t, s)
	sum := sha256.Sum256(w.ca.cert.Raw)
	if err := os.WriteFile(filepath.Join(dir, hex.EncodeToString(sum[:])), w.root.cert.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := New(t.Context(), w.config(t)); err == nil {
		closeLog(t, s)
		t.Error("opened with an issuer exchanged")
	}
}

func TestIssuersAreBounded(t *testing.T) {
	s, err := openIssuers(filepath.Join(t.TempDir(), "issuer"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxIssuers {
		s.known[sha256.Sum256(fmt.Append(nil, i))] = []byte{1}
	}
	w := newWorld(t)
	p := &certPath{certs: []*x509.Certificate{w.ca.cert}, fingerprints: [][32]byte{sha256.Sum256(w.ca.cert.Raw)}}
	if err := s.store(p); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("%v", err)
	}
}

// submitter is the environment variable that makes the test binary log one chain and say when it has the SCT.
const submitter = "BULLA_TEST_CTLOG_SUBMITTER"

// job is what the traced process does.
type job struct {
	Dir, Lock string
	Key       []byte
	Root      []byte
	Chain     [][]byte
}

const sctMarker = "this is the SCT"

// TestMain is the process that TestDurableBeforeSCT watches, if the environment says so.
func TestMain(m *testing.M) {
	if path := os.Getenv(submitter); path != "" {
		if err := submit(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func submit(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(j.Key)
	if err != nil {
		return err
	}
	root, err := x509.ParseCertificate(j.Root)
	if err != nil {
		return err
	}
	lock, err := treelog.NewFileLock(j.Lock)
	if err != nil {
		return err
	}
	s, err := New(context.Background(), Config{
		Prefix: testPrefix, Key: key.(*ecdsa.PrivateKey), Roots: []*x509.Certificate{root},
		Tree: treelog.Config{Dir: j.Dir, Origin: testOrigin, Lock: lock},
		Now:  func() time.Time { return present.Add(time.Second) },
	})
	if err != nil {
		return err
	}
	if _, _, err := s.AddPreChain(context.Background(), j.Chain); err != nil {
		return err
	}
	fmt.Println(sctMarker)
	return s.Close(context.Background())
}

// Before the SCT leaves, the file of each issuer, and the names of the file and of its directory, have been synced.
func TestDurableBeforeSCT(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	w := newWorld(t)
	precert, _ := w.ca.precert(t)
	key, err := x509.MarshalPKCS8PrivateKey(w.key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(job{w.dir, w.lock, key, w.root.cert.Raw, w.ca.chain(precert)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	jobFile, trace := filepath.Join(dir, "job"), filepath.Join(dir, "trace")
	if err := os.WriteFile(jobFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(strace, "-f", "-y", "-s", "64", "-o", trace, "-e", "trace=fsync,fdatasync,mkdir,mkdirat,rename,renameat,renameat2,linkat,write",
		os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), submitter+"="+jobFile)
	if out, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("ptrace")) {
			t.Skip("this machine does not let processes be traced")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	checkTrace(t, w, trace)
}

// checkTrace looks in the trace, up to the line that gives the SCT, for each step in its order.
func checkTrace(t *testing.T, w *world, trace string) {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		lines = append(lines, sc.Text())
		if strings.Contains(sc.Text(), sctMarker) {
			break
		}
	}
	if len(lines) == 0 || !strings.Contains(lines[len(lines)-1], sctMarker) {
		t.Fatalf("no SCT in the trace of %d lines", len(lines))
	}
	dir := filepath.Join(w.dir, "issuer")
	after := func(from int, what string, match func(string) bool) int {
		for i := from; i < len(lines); i++ {
			if match(lines[i]) {
				return i
			}
		}
		t.Errorf("before the SCT there is no %s", what)
		return from
	}
	for _, cert := range []*x509.Certificate{w.ca.cert, w.root.cert} {
		sum := sha256.Sum256(cert.Raw)
		name := filepath.Join(dir, hex.EncodeToString(sum[:]))
		at := after(0, "renaming to "+name, func(l string) bool { return strings.Contains(l, "rename") && strings.Contains(l, name) })
		fields := strings.Split(lines[at], `"`)
		if len(fields) < 2 {
			continue
		}
		written := false
		for _, l := range lines[:at] {
			written = written || strings.Contains(l, "sync(") && strings.Contains(l, "<"+fields[1]+">")
		}
		if !written {
			t.Errorf("%s was not synced before it got the name %s", fields[1], name)
		}
		after(at, "sync of "+dir, func(l string) bool { return strings.Contains(l, "sync(") && strings.Contains(l, "<"+dir+">") })
	}
	made := after(0, "making of "+dir, func(l string) bool { return strings.Contains(l, "mkdir") && strings.Contains(l, dir) })
	first := after(made, "renaming into "+dir, func(l string) bool { return strings.Contains(l, "rename") && strings.Contains(l, dir) })
	synced := after(made, "sync of "+w.dir, func(l string) bool { return strings.Contains(l, "sync(") && strings.Contains(l, "<"+w.dir+">") })
	if synced > first { // it may come later by chance only: with a checkpoint
		t.Errorf("%s was not synced when the first issuer was written", w.dir)
	}
	after(0, "sync of a bundle", func(l string) bool {
		return strings.Contains(l, "sync(") && strings.Contains(l, filepath.Join(w.dir, "tile/data"))
	})
}

// A log that was restored from an older copy gives no SCTs.
func TestRestoredFromBackup(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 2)
	closeLog(t, s)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	s = w.open(t)
	w.fill(t, s, 2)
	closeLog(t, s)
	w.dir = backup
	s = w.open(t)
	precert, _ := w.ca.precert(t)
	if _, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert)); err == nil || !strings.Contains(err.Error(), treelog.ErrForked.Error()) {
		t.Errorf("%v", err)
	}
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "`bulla-server rotate ctlog --now`") {
		t.Errorf("the operator is told %v", err)
	}
	if rw := get(s, "/ct/v1/get-entries?start=0&end=1"); rw.Code != 200 {
		t.Errorf("what is there cannot be read: %d", rw.Code)
	}
}
