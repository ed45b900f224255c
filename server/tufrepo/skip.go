package tufrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/tuf"
)

// skip is how many versions are passed over: more than a repository publishes between two backups, one a minute for a
// year, and of no other consequence.
const skip = 1_000_000

// Skip tells a repository, before it is opened, that it was brought back from a backup: clients may have seen later versions
// than there are in it, and refuse what has a lower one as a rollback. The repository is signed anew when it is opened, with
// versions far above. Roots have no gaps: a root that was published after the backup was made is lost, and so are the
// clients that have followed it, until it is put back. The directory may be missing; there is nothing to do then.
func Skip(dir string) error {
	r := &repository{cfg: Config{Dir: dir}}
	c, err := r.load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = r.readSkipped()
	}
	highest := r.skipped
	for _, role := range []string{tuf.TargetsRole, tuf.SnapshotRole} {
		if err == nil {
			var all []int64
			if all, err = r.versions(role); len(all) > 0 {
				highest = max(highest, all[len(all)-1])
			}
		}
	}
	if err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	if c.timestamp != nil {
		highest = max(highest, c.timestamp.Version())
	}
	return durable.WriteFile(r.path(skipName), strconv.AppendInt(nil, highest+skip, 10), 0o644)
}

// readSkipped reads what Skip has left.
func (r *repository) readSkipped() error {
	name := r.path(skipName)
	data, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.skipped, err = strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err != nil || r.skipped < 0 {
		return fmt.Errorf("%s holds no version: %w", name, errors.Join(err, os.ErrInvalid))
	}
	return nil
}

// behind says that clients may know a later version of a document.
func (r *repository) behind(d *tuf.Document) bool {
	return d.Role() != tuf.RootRole && d.Version() <= r.skipped
}
