package tufrepo

import (
	"bytes"
	"crypto"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/tuf"
)

// offline is a repository whose root and targets need two of three keys each, none of which the server has.
type offline struct {
	*site
	roots, target [3]crypto.Signer
}

func newOffline(t *testing.T) *offline {
	t.Helper()
	o := &offline{site: &site{t: t, clock: &clock{at: newSite(t).clock.at}, online: edKey(t)}}
	for i := range 3 {
		o.roots[i], o.target[i] = ecKey(t), edKey(t)
	}
	o.spec = tuf.RootSpec{
		Root: keys(2, o.roots[:]...), Targets: keys(2, o.target[:]...), Snapshot: keys(1, o.online), Timestamp: keys(1, o.online),
	}
	o.cfg = Config{Dir: filepath.Join(t.TempDir(), "tuf"), Signers: []crypto.Signer{o.online}, Now: o.clock.now}
	if err := Init(ctx, o.cfg, o.spec); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "has 0 of 2") {
		t.Fatalf("founding: %v", err)
	}
	if _, err := New(ctx, o.cfg); err == nil {
		t.Fatal("a server without a root")
	}
	first := o.waiting("root")
	one := signed(t, first, o.roots[0])
	if err := ImportFirst(ctx, o.cfg, one); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "has 1 of 2") {
		t.Fatalf("one signature: %v", err)
	}
	// The second signer starts from the copy without signatures: both count.
	if err := ImportFirst(ctx, o.cfg, signed(t, first, o.roots[1])); err != nil {
		t.Fatal(err)
	}
	o.serve()
	return o
}

// waiting reads what waits for signatures.
func (o *offline) waiting(role string) []byte {
	o.t.Helper()
	data, err := readFile(filepath.Join(o.cfg.Dir, pendingDir, role+".json"))
	if err != nil {
		o.t.Fatal(err)
	}
	return data
}

func signed(t *testing.T, document []byte, by ...crypto.Signer) []byte {
	t.Helper()
	for _, k := range by {
		var err error
		if document, err = Sign(document, k); err != nil {
			t.Fatal(err)
		}
	}
	return document
}

func TestOfflineKeys(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	if err := o.server.Publish(ctx, content(t, "one")); !errors.Is(err, ErrPending) {
		t.Fatalf("published without keys: %v", err)
	}
	if err := o.server.Ready(ctx); err == nil {
		t.Error("ready")
	}
	first := o.waiting("targets")
	if err := o.server.Import(ctx, signed(t, first, o.target[0])); !errors.Is(err, ErrPending) {
		t.Fatalf("one signature: %v", err)
	}
	// Wishing for the same again loses no signature, though it would expire later by now.
	o.clock.add(day)
	if err := o.server.Publish(ctx, content(t, "one")); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "has 1 of 2") {
		t.Errorf("the same again: %v", err)
	}
	if all, err := o.server.Pending(); err != nil || len(all) != 1 || !bytes.Contains(all[0], []byte("targets")) {
		t.Errorf("%d documents wait, %v", len(all), err)
	}
	if err := o.server.Import(ctx, signed(t, first, o.target[2])); err != nil {
		t.Fatal(err)
	}
	if all, err := o.server.Pending(); err != nil || len(all) != 0 {
		t.Errorf("%d documents wait, %v", len(all), err)
	}
	c := o.client()
	o.refresh(c)
	if got := o.mark(); got != "one" {
		t.Errorf("go-tuf reads %q", got)
	}
	// What is online goes on by itself.
	for range 40 {
		o.clock.add(day)
		if err := o.server.Renew(ctx); err != nil {
			t.Fatal(err)
		}
		o.refresh(c)
	}
	// Another wish takes the place of one that waits, and what is published stays.
	for _, mark := range []string{"two", "three"} {
		if err := o.server.Publish(ctx, content(t, mark)); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
	}
	o.refresh(c)
	if err := o.server.Import(ctx, signed(t, o.waiting("targets"), o.target[:2]...)); err != nil {
		t.Fatal(err)
	}
	if got := o.refresh(c); got.Version("targets") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
	// Wishing for what is published already withdraws what waits.
	if err := o.server.Publish(ctx, content(t, "four")); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	if err := o.server.Publish(ctx, content(t, "three")); err != nil {
		t.Fatal(err)
	}
	if all, _ := o.server.Pending(); len(all) != 0 {
		t.Errorf("%d documents wait", len(all))
	}
}

func TestOfflineRootRotation(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	if err := o.server.Publish(ctx, content(t, "one")); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	if err := o.server.Import(ctx, signed(t, o.waiting("targets"), o.target[:2]...)); err != nil {
		t.Fatal(err)
	}
	c := o.client()
	o.refresh(c)
	// A new key for the online roles, and another holder of a root key.
	holder, online := edKey(t), ecKey(t)
	next := o.spec
	next.Root = keys(2, o.roots[0], o.roots[1], holder)
	next.Snapshot, next.Timestamp = keys(1, online), keys(1, online)
	o.cfg.Signers = append(o.cfg.Signers, online)
	o.open()
	if err := o.server.SetKeys(ctx, next); !errors.Is(err, ErrPending) {
		t.Fatalf("a root without its keys: %v", err)
	}
	doc := o.waiting("root")
	// The new holder and one of the old are two of the new root's keys, and only one of the present one's.
	if err := o.server.Import(ctx, signed(t, doc, holder, o.roots[0])); !errors.Is(err, ErrPending) {
		t.Fatalf("one old key: %v", err)
	}
	if err := o.server.SetKeys(ctx, next); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "has 1 of 2") {
		t.Errorf("the same again: %v", err)
	}
	o.refresh(c)
	if err := o.server.Import(ctx, signed(t, doc, o.roots[1])); err != nil {
		t.Fatal(err)
	}
	if got := o.refresh(c); got.Version("root") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
	o.cfg.Signers = []crypto.Signer{online}
	o.open()
	o.clock.add(3 * day)
	if err := o.server.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	o.refresh(c)
	o.refresh(o.client())
}

func TestImportRefuses(t *testing.T) {
	o := newOffline(t)
	if err := o.server.Publish(ctx, content(t, "one")); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	doc := o.waiting("targets")
	before := o.files()
	other, err := tuf.NewTargets(1, o.clock.now().Add(day), content(t, "evil"))
	if err != nil {
		t.Fatal(err)
	}
	evil, err := other.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, words string
		document    []byte
	}{
		{"no document", "metadata", []byte("x")},
		{"another content, well signed", "differs", signed(t, evil, o.target[:]...)},
		{"a role that does not wait", "no root waits", o.root1},
		{"signatures by strangers", "waits for signatures", signed(t, doc, ecKey(t), edKey(t))},
		{"a signature that is broken", "waits for signatures", bytes.Replace(signed(t, doc, o.target[:2]...), []byte(`"sig": "`), []byte(`"sig": "00`), 2)},
	} {
		if err := o.server.Import(ctx, tt.document); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.words)
		}
		o.keptFiles(before)
		if err := o.server.Ready(ctx); err == nil {
			t.Errorf("%s: it was published", tt.name)
		}
	}
	// None of that stands in the way of the right signatures.
	if err := o.server.Import(ctx, signed(t, doc, o.target[:2]...)); err != nil {
		t.Error(err)
	}
	snapshot, err := tuf.NewSnapshot(1, o.clock.now().Add(day), mustParse(t, signed(t, doc, o.target[0])))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := snapshot.Encode(); err != nil {
		t.Fatal(err)
	} else if _, err := Sign(data, o.target[0]); err == nil {
		t.Error("a snapshot was signed by hand")
	}
}

func mustParse(t *testing.T, data []byte) *tuf.Document {
	t.Helper()
	d, err := tuf.ParseDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
