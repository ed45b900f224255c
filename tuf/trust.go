package tuf

import (
	"errors"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/revocation"
)

// ErrNoSigningConfig says that a repository publishes no signing config of a version that is known here.
var ErrNoSigningConfig = errors.New("the repository has no " + signingConfigFile)

// Role is the state of one metadata file.
type Role struct {
	Name    string // "root", "timestamp", "snapshot", "targets", or that of a delegated role
	Version int64
	Expires time.Time
}

// Trust is what a repository says, verified. It holds until the first of its roles expires.
type Trust struct {
	Mirror string
	Root   *trust.Root // its source names the mirror
	Roles  []Role      // root, timestamp, snapshot, targets, and the delegated ones that were searched
	// Checked is when the mirror last confirmed it; zero when that is not known.
	Checked time.Time
	// Cached says that the mirror was not asked just now, or that its answer was not used: Problem then says why.
	Cached  bool
	Problem error
	// Unsaved says why what was fetched could not be kept on the disk, nil if it was or was not to be. It is no obstacle.
	Unsaved error

	files map[string][]byte
}

// SigningConfig decodes the signing config. The error is [ErrNoSigningConfig] if there is none.
func (t *Trust) SigningConfig() (*trust.SigningConfig, error) {
	data, ok := t.files[signingConfigFile]
	if !ok {
		return nil, fmt.Errorf("%s: %w", t.Mirror, ErrNoSigningConfig)
	}
	c, err := trust.DecodeSigningConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", t.Mirror, signingConfigFile, err)
	}
	return c, nil
}

// Revocations returns the list of revocations as it was published, nil if there is none.
func (t *Trust) Revocations() []byte { return t.files[revocationsFile] }

// Expires returns the role that expires first, and with it the whole.
func (t *Trust) Expires() Role {
	first := t.Roles[0]
	for _, r := range t.Roles[1:] {
		if r.Expires.Before(first.Expires) {
			first = r
		}
	}
	return first
}

// Version returns the version of a role's metadata, 0 for an unknown role.
func (t *Trust) Version(role string) int64 {
	for _, r := range t.Roles {
		if r.Name == role {
			return r.Version
		}
	}
	return 0
}

// trust turns a finished workflow into its result.
func (w *workflow) trust(mirror string) (*Trust, error) {
	data, ok := w.next.files[trustedRootFile]
	if !ok {
		return nil, fmt.Errorf("%s publishes no %s", mirror, trustedRootFile)
	}
	root, err := trust.DecodeRoot(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", mirror, trustedRootFile, err)
	}
	root.Source.Name = "TUF, " + mirror
	if data, ok := w.next.files[revocationsFile]; ok {
		// What is revoked and cannot be read leaves nothing that could be trusted.
		if _, root.Revocations, err = revocation.Decode(data); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", mirror, revocationsFile, err)
		}
		root.Revocable = true
	}
	roles := []Role{w.root.asRole(RootRole), w.timestamp.asRole(TimestampRole), w.snapshot.asRole(SnapshotRole), w.targets.asRole(TargetsRole)}
	for _, name := range w.order {
		roles = append(roles, w.delegated[name].asRole(name))
	}
	return &Trust{Mirror: mirror, Root: root, files: w.next.files, Roles: roles}, nil
}

func (d *Document) asRole(name string) Role { return Role{name, d.version, d.expires} }
