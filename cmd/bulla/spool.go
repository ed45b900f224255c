package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

// spoolDir is where signatures wait that are not logged yet: one file each, for its owner's eyes.
type spoolDir struct {
	dir     string
	mu      sync.Mutex
	waiting []string // what this run has put there
}

func (s *spoolDir) register(fs *pflag.FlagSet) {
	fs.StringVar(&s.dir, "spool", "", "`DIR` where signatures wait for \"flush\" with --log=defer; without it $XDG_STATE_HOME/bulla/spool, or ~/.local/state/bulla/spool")
	cli.Own(fs, "spool")
}

// path is the directory in use.
func (s *spoolDir) path(c *cli.Call) (string, error) {
	if s.dir != "" {
		return filepath.Abs(s.dir)
	}
	if state, _ := c.LookupEnv("XDG_STATE_HOME"); filepath.IsAbs(state) { // others are to be ignored, says the XDG specification
		return filepath.Join(state, "bulla", "spool"), nil
	}
	if home, _ := c.LookupEnv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "bulla", "spool"), nil
	}
	return "", cli.Usagef("nothing says where signatures wait to be logged: HOME is not set").WithHint("name a directory with --spool")
}

// exitDeferred is the status of a run that signed everything and left the log for later.
const exitDeferred = 24

// Limits of the spool.
const (
	spoolVersion = 1
	// maxSpooled bounds one file: two bundles in base64, and some addresses.
	maxSpooled = 3*bundle.MaxBytes + 64<<10
	// maxWaiting bounds how many files one flush looks at: a list of --from is no longer.
	maxWaiting = maxListed
	// maxStamps bounds the timestamps of one signature: a signing config with more authorities would be a mistake.
	maxStamps   = 16
	spoolSuffix = ".json"
)

// spooled is one signature that waits.
type spooled struct {
	Version  int    `json:"version"`
	Artifact string `json:"artifact"` // as the user named it
	Digest   string `json:"digest"`   // of the image, or the SHA-256 of the blob
	// Repository is the image's, empty for blobs; Evidence where its bundle is attached, if it is.
	Repository    string `json:"repository,omitempty"`
	Evidence      string `json:"evidence,omitempty"`
	Attached      bool   `json:"attached,omitempty"`
	PredicateType string `json:"predicateType,omitempty"`
	// File is the absolute path of the bundle's file, empty without one.
	File string `json:"file,omitempty"`
	// What the signature was made with.
	PublicKey  []byte       `json:"publicKey"` // PKIX DER
	Algorithm  string       `json:"algorithm"`
	ShortLived bool         `json:"shortLived"`
	Timestamps int          `json:"timestamps"`
	Logs       []spooledLog `json:"logs"`
	Unlogged   []byte       `json:"unlogged"`         // bundle
	Logged     []byte       `json:"logged,omitempty"` // bundle; kept before it is handed out, so that it is handed out once

	made *bundle.Bundle
	path string // of the spool's file
}

// spooledLog is a log that the signature is meant for.
type spooledLog struct {
	URL     string `json:"url"`
	Version uint32 `json:"version"`
}

// deferred says whether signatures are kept for "flush".
func (s *signing) deferred() bool { return s.log.String() == "defer" }

// checkDefer refuses to wait where waiting would make the signature worthless, or there is nothing to wait for.
func (s *signing) checkDefer(c *cli.Call, p *plan) error {
	switch {
	case !s.deferred():
		return nil
	case s.older():
		return cli.Usagef("--log=defer works with Sigstore bundles only").WithHint("leave --format and --new-bundle-format=false out")
	case len(p.logs) == 0:
		return cli.Usagef("--log=defer has no effect: the services that are used name no transparency log").WithHint("say --log=none")
	}
	if err := s.dated(p.logs); err != nil {
		return err
	}
	dir, err := s.spool.path(c)
	if err != nil {
		return err
	}
	// Before anybody is asked for anything, since what cannot be kept would be public and lost.
	return writable(dir)
}

// dated refuses logs that state when they took an entry, where that would be too late.
func (s *signing) dated(logs []trust.Service) error {
	for _, l := range logs {
		if l.MajorAPIVersion == 1 && (s.identified() || s.Certificate != "") {
			return cli.Usagef("--log=defer does not go with a certificate and the log %s: it states when it took an entry, and that would be after the certificate has ended", l.URL).
				WithHint("use a log of version 2, which leaves the time to the timestamp")
		}
	}
	return nil
}

// writable makes sure that files can be put into the spool.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = probe(dir)
	}
	if err != nil {
		return cli.Errorf(cli.ExitIO, "signatures cannot be kept in %s until they are logged: %w", dir, err).WithHint("name another directory with --spool")
	}
	return nil
}

// keep puts a signature into the spool, before anything else hears of it.
func (s *signing) keep(c *cli.Call, o *sign.Options, r *signed, e spooled) error {
	dir, err := s.spool.path(c)
	if err != nil {
		return err
	}
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return err
	}
	e.Version, e.Artifact, e.Digest = spoolVersion, r.Artifact, r.Digest
	e.Algorithm, e.ShortLived, e.Timestamps = alg.Name(), o.ShortLived, len(o.Timestampers)
	if e.PublicKey, err = algorithm.MarshalPublicKey(o.Signer.Public()); err != nil {
		return err
	}
	if e.Unlogged, err = e.made.Encode(); err != nil {
		return err
	}
	for _, l := range s.chosen {
		e.Logs = append(e.Logs, spooledLog{l.URL, l.MajorAPIVersion})
	}
	if e.File != "" {
		if e.File, err = filepath.Abs(e.File); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	e.path = e.in(dir)
	if err := e.write(); err != nil {
		return fmt.Errorf("keeping the signature until it is logged: %w", err)
	}
	r.Deferred = e.path
	s.spool.note(e.path)
	return nil
}

// note counts a signature among those that wait.
func (s *spoolDir) note(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, path)
}

// in is the file in a spool: one for each bundle and place, since one signature may be of several files with equal contents, or
// of an image in several repositories.
func (e *spooled) in(dir string) string {
	place := e.Evidence
	if e.Repository == "" {
		place = e.File
	}
	sum := sha256.Sum256(e.Unlogged)
	sum = sha256.Sum256(append(sum[:], place...))
	return filepath.Join(dir, hex.EncodeToString(sum[:])+spoolSuffix)
}

// awaited looks for an earlier bundle in the spool, where it has no log entry and signatures may wait for theirs. place is the
// image, or the bundle's file. It returns the file in the spool, empty for a bundle that is logged or need not be, and false for
// one that nobody is going to log.
func (s *signing) awaited(c *cli.Call, b *bundle.Bundle, place spooled) (string, bool) {
	if !s.deferred() || len(b.Material.Entries) > 0 {
		return "", true
	}
	dir, err := s.spool.path(c)
	if err == nil {
		place.Unlogged, err = b.Encode()
	}
	if err == nil && place.Repository == "" {
		place.File, err = filepath.Abs(place.File)
	}
	if err == nil {
		_, err = os.Stat(place.in(dir))
	}
	return place.in(dir), err == nil
}

// keptAnyway adds to the error of what came after a signature was put into the spool that it is there: it has the timestamp and
// perhaps the certificate that a second attempt would ask for again, and "flush" puts it where it belongs.
func (r *signed) keptAnyway(err error) error {
	if err == nil || r.Deferred == "" {
		return err
	}
	return cli.Errorf(exitCode(err), "%w; the signature is kept in %s", err, r.Deferred).
		WithHint("\"flush\" logs it and puts it in its place; signing again makes another one")
}

func (e *spooled) write() error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return durable.WriteFile(e.path, data, 0o600)
}

// waiting gives a run that went well the status of its own that says that something is left to do.
func (s *signing) waiting(err error) error {
	n := len(s.spool.waiting)
	if err != nil || n == 0 {
		return err
	}
	return cli.Errorf(exitDeferred, "%s not logged yet: kept in %s", pluralWait(n), filepath.Dir(s.spool.waiting[0])).
		WithHint("\"flush\" logs what waits there")
}

func pluralWait(n int) string {
	if n == 1 {
		return "1 signature is"
	}
	return fmt.Sprintf("%d signatures are", n)
}

// readSpool lists what waits, oldest name first. A directory that is not there holds nothing.
func readSpool(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, spoolSuffix) && !strings.HasPrefix(name, ".") {
			out = append(out, filepath.Join(dir, name))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxWaiting)], nil
}

// parseSpooled reads a file of the spool.
func parseSpooled(data []byte) (*spooled, error) {
	if len(data) > maxSpooled {
		return nil, fmt.Errorf("it has more than %d bytes", maxSpooled)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var e spooled
	if err := dec.Decode(&e); err != nil {
		return nil, err
	}
	switch {
	case e.Version != spoolVersion:
		return nil, fmt.Errorf("it has version %d, and %d is known here", e.Version, spoolVersion)
	case len(e.Logs) == 0:
		return nil, errors.New("it names no log")
	case e.Timestamps < 0 || e.Timestamps > maxStamps:
		return nil, fmt.Errorf("it has %d timestamps", e.Timestamps)
	case e.Repository == "" && e.File == "":
		return nil, errors.New("it names no place for the bundle")
	}
	var err error
	if e.made, err = bundle.Decode(e.Unlogged); err != nil {
		return nil, fmt.Errorf("its bundle: %w", err)
	}
	return &e, nil
}
