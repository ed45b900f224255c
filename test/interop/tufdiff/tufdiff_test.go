package tufdiff

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"time"
)

// point is an ECDSA key's uncompressed point.
func point(pub crypto.PublicKey) []byte {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil
	}
	raw, err := k.Bytes()
	if err != nil {
		return nil
	}
	return raw
}

// world is the repository before it is spoiled, and what clients have seen of it.
type world struct {
	keys keyring
	now  time.Time
	root []byte            // the first, which clients begin with
	old  map[string][]byte // the first publication
	dir  string            // where go-tuf has read that
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{keys: newKeyring(t), now: time.Now()}
	w.old = newRepository(t, w.keys, 1, w.now).publish()
	w.root, w.dir = w.old["1.root.json"], t.TempDir()
	if v := theirs(t, w.root, w.dir, w.old); !v.accepted {
		t.Fatalf("go-tuf refuses what it made: %s", v.why)
	}
	return w
}

// spoiled publishes the second version with a fault.
func (w *world) spoiled(t *testing.T, s spoil) map[string][]byte {
	t.Helper()
	r := newRepository(t, w.keys, 2, w.now)
	for role, tree := range r.signed { // so that nothing is shared with what others see
		data, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		r.signed[role] = decode(t, data)
	}
	// What the roles name of each other is filled in before, so that a spoiled role can keep it.
	r.publish()
	s.do(r)
	files := maps.Clone(w.old)
	after := r.published
	r.published = nil
	for name, data := range r.publish() {
		files[name] = data
	}
	if after != nil {
		after(files)
	}
	return files
}

// tally counts what the clients said.
type tally struct {
	accepted, refused, panics int
	excepted                  map[string]int
}

// Both clients, new ones and ones that have seen the first publication, judge every spoiled repository alike. For CI each
// is judged by one of the two kinds, and only some of the values are spoiled.
func TestDifferential(t *testing.T) {
	w := newWorld(t)
	all := append(named(), sample(t, anywhere(newRepository(t, w.keys, 2, w.now)))...)
	n := tally{excepted: make(map[string]int)}
	for i, s := range all {
		files := w.spoiled(t, s)
		if full() || i%2 == 0 {
			n.judge(t, s.name, ours(t, w.root, nil, files), theirs(t, w.root, worked(t, ""), files))
		}
		if full() || i%2 == 1 {
			n.judge(t, s.name+", known before", ours(t, w.root, w.old, files), theirs(t, w.root, worked(t, w.dir), files))
		}
	}
	t.Logf("%d spoiled repositories: %d judgements accepted, %d refused, go-tuf panicked %d times, excepted %v", len(all), n.accepted, n.refused, n.panics, n.excepted)
	if n.accepted < 50 || n.refused < 300 {
		t.Errorf("only %d judgements accepted and %d refused: the repositories are not what they should be", n.accepted, n.refused)
	}
	for _, x := range exceptions {
		if n.excepted[x.name] == 0 && full() {
			t.Errorf("nothing needs the exception %q", x.name)
		}
	}
}

func (n *tally) judge(t *testing.T, name string, a, b verdict) {
	t.Helper()
	if strings.HasPrefix(b.why, "panic: ") {
		n.panics++
	}
	if a.accepted {
		n.accepted++
	} else {
		n.refused++
	}
	if a.accepted == b.accepted {
		return
	}
	if x := covering(name, a, b); x != nil {
		n.excepted[x.name]++
		return
	}
	t.Errorf("%s:\n bulla  %+v\n go-tuf %+v", name, a, b)
}

// full says that everything is to be tried: make soak.
func full() bool { return os.Getenv("BULLA_SOAK") != "" }

// sample takes every so many of the spoils unless all are wanted.
func sample(t *testing.T, all []spoil) (out []spoil) {
	t.Helper()
	step := 15
	if full() {
		step = 1
	}
	for i := 0; i < len(all); i += step {
		out = append(out, all[i])
	}
	if len(out) < 100 {
		t.Fatalf("there are %d spoils", len(out))
	}
	return out
}
