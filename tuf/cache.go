package tuf

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
)

// cache keeps the state of one mirror on the disk, as sigstore-go does:
//
//	HOME/remote.json               which mirror was initialized
//	HOME/MIRROR.json               when it was last heard
//	HOME/MIRROR/root.json          and timestamp.json, snapshot.json, targets.json, and ROLE.json of delegated roles
//	HOME/MIRROR/targets/NAME
//
// and HOME/MIRROR.lock, which is held while files are replaced. Each file is replaced as a whole.
// Whatever is in them is verified when it is read, so that a crash between two of them costs a refresh, no more.
type cache struct {
	home, dir, note, lockFile string
	// began is the root that was there when this process began. Another that is there later, and is not the one that was
	// reached from it, somebody has put there on purpose, and it stays.
	began []byte
}

// CacheName returns the directory that a mirror's files lie in, by the rule of sigstore-go: the address without its scheme,
// in lower case, with - for / and :.
func CacheName(mirror string) (string, error) {
	if _, err := parseMirror(mirror); err != nil {
		return "", err
	}
	_, name, _ := strings.Cut(mirror, "://")
	name = strings.ToLower(strings.NewReplacer("/", "-", ":", "-").Replace(name))
	if name != filepath.Base(name) || strings.Trim(name, ".") == "" || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("mirror %q: no directory can have its name", mirror)
	}
	return name, nil
}

func openCache(home, mirror string) (*cache, error) {
	name, err := CacheName(mirror)
	if err != nil {
		return nil, err
	}
	at := filepath.Join(home, name)
	return &cache{home: home, dir: at, note: at + ".json", lockFile: at + ".lock"}, nil
}

// part is one file of a state.
type part struct {
	name  string // below the mirror's directory
	limit int64
	data  *[]byte
}

func (s *state) parts() []part {
	// The root comes first, see write, and the timestamp last, since it leads to the others.
	return []part{
		{"root.json", maxRoot, &s.root},
		{"targets.json", maxTargets, &s.targets},
		{"snapshot.json", maxSnapshot, &s.snapshot},
		{"timestamp.json", maxTimestamp, &s.timestamp},
	}
}

// read returns what is there. Whatever cannot be read is missing. It takes no lock: a process that replaces the files
// meanwhile may leave it with some old and some new ones, which shows when they are verified.
func (c *cache) read() state {
	var s state
	for _, p := range s.parts() {
		*p.data = readFile(filepath.Join(c.dir, p.name), p.limit)
	}
	s.delegated = c.readDelegated()
	s.files = make(map[string][]byte)
	for _, name := range wanted {
		if data := readFile(filepath.Join(c.dir, "targets", name), maxTarget); data != nil {
			s.files[name] = data
		}
	}
	return s
}

// readDelegated returns the metadata of delegated roles, of as many as one refresh may visit for each of the targets.
func (c *cache) readDelegated() map[string][]byte {
	dir, err := os.Open(c.dir)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxDelegations * 2 * len(wanted))
	out := make(map[string][]byte)
	for _, name := range names {
		role, isJSON := strings.CutSuffix(name, ".json")
		if !isJSON || !isRoleName(role) {
			continue
		}
		if data := readFile(filepath.Join(c.dir, name), maxTargets); data != nil {
			out[role] = data
		}
	}
	return out
}

// readAlone is read while nobody writes. Where there is no lock file, or none may be opened, nobody does.
func (c *cache) readAlone() state {
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	if unlock, err := durable.Lock(ctx, c.lockFile, durable.Shared); err == nil {
		defer unlock()
	}
	return c.read()
}

func readFile(name string, limit int64) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || int64(len(data)) > limit {
		return nil
	}
	return data
}

// save keeps a state that was verified at the given time, unless another process has kept a newer one.
func (c *cache) save(ctx context.Context, s state, now time.Time) error {
	if there := c.read(); s.equal(there) || overtaken(there, s, now) {
		return c.writeNote(now) // somebody else was there first: no need to stand in line
	}
	unlock, err := c.lockToWrite(ctx, lockTime)
	if err != nil {
		return err
	}
	defer unlock()
	there := c.read()
	if there.root != nil && !bytes.Equal(there.root, c.began) && !bytes.Equal(there.root, s.root) {
		return nil
	}
	if !overtaken(there, s, now) {
		if err := c.write(s, there); err != nil {
			return err
		}
		c.began = s.root
	}
	return c.writeNote(now)
}

// equal says that another state holds the same, byte by byte.
func (s *state) equal(other state) bool {
	theirs := other.parts()
	for i, p := range s.parts() {
		if !bytes.Equal(*p.data, *theirs[i].data) {
			return false
		}
	}
	for name, data := range s.delegated { // on the disk there may be some that nobody asks for any more
		if !bytes.Equal(data, other.delegated[name]) {
			return false
		}
	}
	return maps.EqualFunc(s.files, other.files, bytes.Equal)
}

// overtaken says that the state on the disk descends from the same root and is newer.
func overtaken(disk, s state, now time.Time) bool {
	wd, ws := &workflow{old: disk}, &workflow{old: s}
	if disk.root == nil || wd.run(context.Background(), now) != nil || ws.run(context.Background(), now) != nil {
		return false
	}
	same := wd.root.version > ws.root.version || bytes.Equal(disk.root, s.root)
	return same && wd.timestamp.version > ws.timestamp.version
}

// saveRoot keeps a newer root alone, unless another process has kept one since.
func (c *cache) saveRoot(ctx context.Context, before, root []byte) error {
	unlock, err := c.lockToWrite(ctx, lockTime)
	if err != nil {
		return err
	}
	defer unlock()
	if there := c.read().root; there != nil && !bytes.Equal(there, before) {
		return nil
	}
	if err := durable.WriteFile(filepath.Join(c.dir, "root.json"), root, 0o600); err != nil {
		return err
	}
	c.began = root
	return nil
}

// lockToWrite makes the directories and waits for whoever writes there.
func (c *cache) lockToWrite(ctx context.Context, wait time.Duration) (func(), error) {
	// Others have no business here: who may write here decides what is trusted.
	if err := os.MkdirAll(filepath.Join(c.dir, "targets"), 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return durable.Lock(ctx, c.lockFile, durable.Exclusive)
}

// write replaces what differs.
func (c *cache) write(s, there state) error {
	for name, data := range s.files {
		if !bytes.Equal(data, there.files[name]) {
			if err := durable.WriteVolatile(filepath.Join(c.dir, "targets", name), data, 0o600); err != nil {
				return err
			}
		}
	}
	for name, data := range s.delegated {
		if !bytes.Equal(data, there.delegated[name]) {
			if err := durable.WriteVolatile(filepath.Join(c.dir, name+".json"), data, 0o600); err != nil {
				return err
			}
		}
	}
	old := there.parts()
	for i, p := range s.parts() {
		if bytes.Equal(*p.data, *old[i].data) {
			continue
		}
		write := durable.WriteVolatile
		if i == 0 { // the root cannot be had again: trust begins with it
			write = durable.WriteFile
		}
		if err := write(filepath.Join(c.dir, p.name), *p.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// refreshNote is MIRROR.json, with sigstore-go's field.
type refreshNote struct {
	LastTimestamp time.Time `json:"lastTimestamp"`
}

// checked returns when the mirror was last heard, zero if that is not known.
func (c *cache) checked() time.Time {
	var n refreshNote
	if json.Unmarshal(readFile(c.note, maxTimestamp), &n) != nil {
		return time.Time{}
	}
	return n.LastTimestamp
}

// writeNote notes when the mirror was heard. It is for people, who want to know whether that was today, so that a note that
// is a few minutes old is left as it is; one from the future is not.
func (c *cache) writeNote(now time.Time) error {
	if last := c.checked(); !last.After(now) && now.Sub(last) < noteEvery {
		return nil
	}
	data, err := json.Marshal(refreshNote{now.UTC()})
	if err != nil {
		return err
	}
	return durable.WriteVolatile(c.note, data, 0o600)
}
