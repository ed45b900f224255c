package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/revocation"
	"github.com/bulla-sign/bulla/tuf"
)

// PathRevoke publishes a list of revocations: []byte -> Revoked.
const PathRevoke = "/tuf/revocations"

// revocationsName is the list's name, as a target of the TUF repository and beside the trusted root.
const revocationsName = "revocations.v1.json"

// Revoked says what is revoked after a list was published.
type Revoked struct {
	Statements int `json:"statements"`
	New        int `json:"new"`
}

// revoke publishes a list that goes on from the present one, if there is one.
func (in *Instance) revoke(ctx context.Context, data []byte) (Revoked, error) {
	if !in.File.Runs(config.ServiceTUF) {
		return Revoked{}, errNoRepository
	}
	list, _, err := revocation.Decode(data)
	if err != nil {
		return Revoked{}, err
	}
	present, err := readRevocations(in.Dir)
	if err != nil {
		return Revoked{}, err
	}
	out := Revoked{Statements: len(list.Statements), New: len(list.Statements)}
	if present != nil {
		before, _, err := revocation.Decode(present)
		if err != nil {
			return Revoked{}, fmt.Errorf("the list that is published: %w", err)
		}
		if err := extends(list, before); err != nil {
			return Revoked{}, err
		}
		out.New -= len(before.Statements)
	}
	// From here on it is published whatever happens, by this process or the next.
	if err := os.MkdirAll(in.Dir.Path(publicDir), publicDirMode); err != nil {
		return Revoked{}, err
	}
	if err := durable.WriteFile(in.Dir.Path(publicDir, revocationsName), data, publicFileMode); err != nil {
		return Revoked{}, err
	}
	return out, in.publish(ctx)
}

// extends refuses a list that lacks a statement or a key of the one before: what was revoked would be trusted again, and
// nobody would see it.
func extends(list, before *revocation.List) error {
	for i, s := range before.Statements {
		if !slices.ContainsFunc(list.Statements, func(t []byte) bool { return bytes.Equal(s, t) }) {
			return fmt.Errorf("the list lacks statement %d of the one that is published: begin with that one, public/%s", i+1, revocationsName)
		}
	}
	for _, k := range before.Keys {
		if !slices.ContainsFunc(list.Keys, func(o trust.Key) bool { return k.Hint == o.Hint }) {
			return fmt.Errorf("the list lacks the key %s of the one that is published: begin with that one, public/%s", k.Name, revocationsName)
		}
	}
	return nil
}

// readRevocations returns the list that is to be published, nil if there is none.
func readRevocations(dir *state.Dir) ([]byte, error) {
	f, err := os.Open(dir.Path(publicDir, revocationsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, revocation.MaxList+1))
	if err == nil && len(data) > revocation.MaxList {
		err = fmt.Errorf("%s is larger than %d bytes", f.Name(), revocation.MaxList)
	}
	return data, err
}

// revocations is the list as a target; none if nothing was ever revoked. One that clients would refuse is not published:
// they would refuse everything.
func revocations(dir *state.Dir) ([]tuf.Target, error) {
	data, err := readRevocations(dir)
	if err != nil || data == nil {
		return nil, err
	}
	if _, _, err := revocation.Decode(data); err != nil {
		return nil, fmt.Errorf("%s: %w", dir.Path(publicDir, revocationsName), err)
	}
	return []tuf.Target{{Name: revocationsName, Data: data}}, nil
}
