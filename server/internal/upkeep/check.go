package upkeep

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/server/ctlog"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	translog "github.com/bulla-sign/bulla/server/log"
	"github.com/bulla-sign/bulla/tuf"
)

// Deployment is what is checked.
type Deployment struct {
	File *config.File
	Dir  *state.Dir
	Ring *keyring.Keyring
	Now  func() time.Time
	// Progress is told how far the check of a log is; nil: nobody is.
	Progress func(log string, done, total uint64)
}

// Finding is the outcome of one check.
type Finding struct {
	Part  string `json:"part"`            // what was checked
	Error string `json:"error,omitempty"` // what is wrong with it; empty: nothing
	Note  string `json:"note,omitempty"`  // what a person should know nevertheless
}

// Check looks at every piece of a deployment. It changes nothing, and may run beside a server. The error says that it
// could not look.
func Check(ctx context.Context, d Deployment) ([]Finding, error) {
	h, err := d.Dir.Load()
	if err != nil {
		return []Finding{{Part: "state", Error: err.Error()}}, nil
	}
	c := &checker{Deployment: d, h: h}
	c.add("state", fmt.Sprintf("revision %d", h.Revision), nil)
	c.keys(ctx)
	c.trust()
	c.repository(ctx)
	for _, t := range trees(h) {
		if err := ctx.Err(); err != nil {
			return c.out, err
		}
		note, err := c.tree(ctx, &t)
		c.add(t.name(), note, err)
	}
	return c.out, nil
}

type checker struct {
	Deployment
	h   *state.History
	out []Finding
}

func (c *checker) add(part, note string, err error) {
	f := Finding{Part: part, Note: note}
	if err != nil {
		f.Error, f.Note = err.Error(), ""
	}
	c.out = append(c.out, f)
}

// keys opens every key that is there and compares it with what the state has, and the certificates with it.
func (c *checker) keys(ctx context.Context) {
	for _, kind := range state.Kinds() {
		for i := range c.h.Instances[kind] {
			of := &c.h.Instances[kind][i]
			note, err := c.key(ctx, of)
			c.add(fmt.Sprintf("key of %s %s", kind, of.Name), note, err)
			if of.Chain != "" {
				c.add(fmt.Sprintf("chain of %s %s", kind, of.Name), "", chainFits(of))
			}
		}
	}
	for _, k := range append(append([]state.KeyRef(nil), c.h.TUFKeys.Root...), c.h.TUFKeys.Targets...) {
		public, err := k.PublicKey()
		note := ""
		if err == nil {
			note, err = c.fits(ctx, k.Key, public)
		}
		if errors.Is(err, fs.ErrNotExist) { // as these two may be, and better are
			note, err = "not here: it is kept offline, or lost", nil
		}
		c.add("key "+k.Key, note, err)
	}
}

func (c *checker) key(ctx context.Context, of *state.Instance) (note string, err error) {
	public, err := of.PublicKey()
	if err != nil {
		return "", err
	}
	note, err = c.fits(ctx, of.Key, public)
	if errors.Is(err, fs.ErrNotExist) && of.Phase == state.Closed {
		return "gone, and no longer needed", nil
	}
	return note, err
}

func (c *checker) fits(ctx context.Context, ref string, public crypto.PublicKey) (note string, err error) {
	if !c.Ring.Exists(ref) {
		return "", fmt.Errorf("key %s: %w (kept offline?)", ref, fs.ErrNotExist)
	}
	key, err := c.Ring.Open(ctx, ref)
	if err != nil {
		return "", err
	}
	if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
		return "", errors.New("it is not the key that the state has")
	}
	return "", nil
}

// chainFits checks that a chain begins with the certificate of the instance's key. That it holds together is checked when
// the trusted root is made.
func chainFits(of *state.Instance) error {
	chain, err := of.Certificates()
	if err != nil {
		return err
	}
	public, err := of.PublicKey()
	if err != nil {
		return err
	}
	if len(chain) == 0 || !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(chain[0].PublicKey) {
		return errors.New("it does not begin with the certificate of the key")
	}
	return nil
}

// trust makes the trusted root and the signing config, and compares them with the files that clients are given.
func (c *checker) trust() {
	root, config, err := instance.Material(c.h)
	c.add("trust history", "", err)
	if err != nil {
		return
	}
	a, err := instance.ReadAnchors(c.Dir)
	if err != nil {
		c.add("public files", "", err)
		return
	}
	for path, want := range map[string][]byte{a.TrustedRoot: root, a.SigningConfig: config} {
		got, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("it is not what the state says; a running server writes it anew")
		}
		c.add(path, "", err)
	}
}

// repository reads the TUF repository as a client does, from the first root on.
func (c *checker) repository(ctx context.Context) {
	const part = "TUF repository"
	a, err := instance.ReadAnchors(c.Dir)
	if err != nil {
		c.add(part, "", err)
		return
	}
	first, err := os.ReadFile(a.Root)
	if err != nil {
		c.add(part, "", err)
		return
	}
	client, err := tuf.New(tuf.Config{
		Mirror: "http://localhost", Root: first, Now: c.Now,
		HTTP: &http.Client{Transport: http.NewFileTransportFS(os.DirFS(c.Dir.Path("tuf")))},
	})
	if err != nil {
		c.add(part, "", err)
		return
	}
	got, err := client.Refresh(ctx)
	if err != nil {
		c.add(part, "", err)
		return
	}
	c.add(part, "until "+got.Expires().Expires.UTC().Format(time.RFC3339), c.published(got))
}

// published compares what a client of the TUF repository gets with the state.
func (c *checker) published(got *tuf.Trust) error {
	root, config, err := instance.Material(c.h)
	if err != nil {
		return err
	}
	gotRoot, err := got.Root.Encode()
	if err != nil {
		return err
	}
	services, err := got.SigningConfig()
	if err != nil {
		return err
	}
	gotConfig, err := services.Encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(gotRoot, root) || !bytes.Equal(gotConfig, config) {
		return errors.New("what it publishes is not what the state says; a running server publishes it anew")
	}
	return nil
}

// tree reads a whole log and holds it against its lock.
func (c *checker) tree(ctx context.Context, t *tree) (string, error) {
	public, err := t.of.PublicKey()
	if err != nil {
		return "", err
	}
	origin := instance.LogOrigin(t.kind, t.of)
	var verifier note.Verifier
	if t.kind == state.CTLog {
		verifier, err = ctlog.Verifier(origin, public)
	} else {
		verifier, err = translog.Verifier(origin, public)
	}
	if err != nil {
		return "", err
	}
	cfg := treelog.FsckConfig{Dir: c.Dir.Path(instance.LogDir(t.kind, t.of.Name)), Origin: origin, Layout: t.layout, Verifier: verifier}
	if c.Progress != nil {
		cfg.Progress = func(done, total uint64) { c.Progress(t.name(), done, total) }
	}
	noLock := ""
	lock := t.lockDir(c.File, c.Dir)
	if _, err := os.Stat(lock); err == nil {
		if cfg.Lock, err = treelog.NewFileLock(lock); err != nil {
			return "", err
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		noLock = ", and there is no lock store at " + lock
	} else {
		return "", err
	}
	r, err := treelog.Fsck(ctx, cfg)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d entries, %d of them published%s", r.Size, r.Published.Size, noLock), nil
}
