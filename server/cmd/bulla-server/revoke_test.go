package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/revocation"
	"github.com/bulla-sign/bulla/tuf"
)

// revoker is somebody who may revoke.
type revoker struct {
	t      *testing.T
	signer keys.Signer
	key    trust.Key
}

func newRevoker(t *testing.T) *revoker {
	t.Helper()
	key, err := keys.Generate(rand.Reader, "")
	if err != nil {
		t.Fatal(err)
	}
	r := &revoker{t: t}
	if r.signer, err = keys.FromSigner(key); err != nil {
		t.Fatal(err)
	}
	if r.key, err = trust.NewKey("security", key.Public(), 0, trust.Window{}); err != nil {
		t.Fatal(err)
	}
	return r
}

// list is a list that revokes artifacts with these contents.
func (r *revoker) list(artifacts ...string) *revocation.List {
	r.t.Helper()
	list := &revocation.List{Keys: []trust.Key{r.key}}
	for _, a := range artifacts {
		sum := sha256.Sum256([]byte(a))
		s, err := revocation.Sign(r.t.Context(), trust.Revocation{Artifact: hex.EncodeToString(sum[:]), Reason: a}, r.signer)
		if err != nil {
			r.t.Fatal(err)
		}
		list.Statements = append(list.Statements, s)
	}
	return list
}

// TestRevoke: a list reaches the clients of the TUF repository, and only grows.
func TestRevoke(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	config := "--config=d/bulla-server.yaml"
	server := o.serve("d", address)
	defer server.kill()
	first, err := os.ReadFile(o.path("d/public/root.json"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(list *revocation.List) []byte {
		t.Helper()
		data, err := list.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.path("list.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return data
	}
	published := func() []byte {
		t.Helper()
		c, err := tuf.New(tuf.Config{Mirror: address + "/tuf", Root: first, HTTP: http.DefaultClient})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got.Revocations()
	}
	if list := published(); list != nil {
		t.Errorf("at first there is a list: %s", list)
	}
	r := newRevoker(t)
	whole := r.list("one", "two", "three")
	data := write(&revocation.List{Keys: whole.Keys, Statements: whole.Statements[:1]})
	if said := o.must("revoke", config, "list.json"); !strings.Contains(said, "1 revocations, 1 of them new") || !bytes.Equal(published(), data) {
		t.Errorf("said %q", said)
	}
	data = write(whole)
	if said := o.must("revoke", config, "list.json"); !strings.Contains(said, "3 revocations, 2 of them new") || !bytes.Equal(published(), data) {
		t.Errorf("said %q", said)
	}
	other := newRevoker(t).list("one", "two", "three", "four")
	for name, c := range map[string]struct {
		list *revocation.List
		want string
	}{
		"one taken back":        {&revocation.List{Keys: whole.Keys, Statements: whole.Statements[1:]}, "lacks statement 1"},
		"by somebody else":      {other, "lacks statement"},
		"none":                  {&revocation.List{Keys: whole.Keys}, "lacks statement"},
		"signed by a third key": {&revocation.List{Keys: whole.Keys, Statements: append(whole.Statements[:3:3], other.Statements[3])}, "key"},
	} {
		write(c.list)
		if code, _, errs := o.run("revoke", config, "list.json"); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit status %d, %s", name, code, errs)
		}
		if !bytes.Equal(published(), data) {
			t.Errorf("%s: the published list has changed", name)
		}
	}
	// It stays with a restart, a rotation and a backup.
	server.stop(t)
	server = o.serve("d", address)
	o.must("rotate", config, "--now", "tsa")
	if !bytes.Equal(published(), data) {
		t.Error("the list is gone after a rotation")
	}
	o.must("backup", config, "b.tar")
	server.kill()
	o.must("restore", "--dir", "restored", "--lock", "d/lock", "b.tar")
	if got, err := os.ReadFile(o.path("restored/public/revocations.v1.json")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the list is not in the backup: %v", err)
	}
}
