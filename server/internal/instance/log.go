package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	translog "github.com/bulla-sign/bulla/server/log"
)

// maxPolicy bounds a witness policy: a witness is a line of some 150 bytes.
const maxPolicy = 1 << 20

// LogDir is the directory of a shard in the state directory, relative, with slashes.
func LogDir(kind state.Kind, name string) string { return string(kind) + "/" + name }

// LogOrigin is the name of a log in its checkpoints.
func LogOrigin(kind state.Kind, of *state.Instance) string {
	if kind == state.CTLog {
		return ctOrigin(of.URL)
	}
	return of.Origin
}

// logs are the active shard at the root of its host, and those that were replaced, each below /log/NAME/.
func (in *Instance) logs(h *state.History) (out []want) {
	for i := range h.Instances[state.Log] {
		of := &h.Instances[state.Log][i]
		switch of.Phase {
		case state.Active:
			out = append(out, want{key: "log/" + of.Name, name: "log " + of.Name, open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
				return in.openLog(ctx, of, "", reg)
			}})
		case state.Retiring, state.Closed:
			out = append(out, in.frozenLog(of))
		}
	}
	return out
}

// frozenLog is a shard that is no longer written to. The one that is being replaced goes on serving under its new path:
// uploads that are in it end, and only then is it frozen.
func (in *Instance) frozenLog(of *state.Instance) want {
	prefix := "/log/" + of.Name
	return want{
		key: "log/" + of.Name + "/frozen", name: "log " + of.Name + ", frozen",
		open: func(ctx context.Context, _ prometheus.Registerer) (service, error) {
			if m := in.mounts["log/"+of.Name]; m != nil {
				return &shard{Log: m.service.(*translog.Log), prefix: prefix}, nil
			}
			l, err := in.openLog(ctx, of, prefix, nil)
			if err != nil {
				return nil, err
			}
			return &shard{Log: l}, nil
		},
		settle: func(ctx context.Context, s service) error { return s.(*shard).Freeze(ctx) },
	}
}

// shard is a log below a path. One that was at the root before still thinks that it is there.
type shard struct {
	*translog.Log
	prefix string // to be cut off; empty if the log knows it
}

// Patterns implements service.
func (s *shard) Patterns() (out []string) {
	for _, p := range s.Log.Patterns() {
		out = append(out, s.prefix+p)
	}
	return out
}

// ServeHTTP implements service.
func (s *shard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.StripPrefix(s.prefix, s.Log).ServeHTTP(w, r)
}

func (in *Instance) openLog(ctx context.Context, of *state.Instance, prefix string, reg prometheus.Registerer) (*translog.Log, error) {
	frozen, err := in.frozen(state.Log, of.Name)
	if err != nil {
		return nil, err
	}
	public, err := of.PublicKey()
	if err != nil {
		return nil, err
	}
	c := in.File.Log
	cfg := translog.Config{
		BaseURL: of.URL, Prefix: prefix, PublicKey: public, Frozen: frozen,
		Dir: in.Dir.Path(LogDir(state.Log, of.Name)), IndexFile: in.Dir.Path(string(state.Log), of.Name+".index"),
		Window: of.Window(), CheckpointInterval: time.Duration(c.CheckpointInterval), AdoptLock: c.AdoptLock,
		Now: in.Now, Log: in.Log.With("service", "log"),
	}
	if reg != nil {
		cfg.Metrics = prometheus.WrapRegistererWith(prometheus.Labels{"log": of.Origin}, reg)
	}
	if cfg.Lock, err = lockStore(c.Lock, in.Dir, state.Log, of.Name); err != nil {
		return nil, err
	}
	if frozen {
		return translog.New(ctx, cfg)
	}
	if cfg.Key, err = in.signer(ctx, of); err != nil {
		return nil, err
	}
	if cfg.Witnesses, err = readPolicy(c.Witnesses); err != nil {
		return nil, err
	}
	return translog.New(ctx, cfg)
}

// frozen says whether a shard's directory is marked as frozen.
func (in *Instance) frozen(kind state.Kind, name string) (bool, error) {
	signed, _ := treelog.StatePaths()
	_, err := os.Stat(in.Dir.Path(LogDir(kind, name), signed[len(signed)-1]))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// lockStore returns the lock store of a shard: a folder of its own, since all shards of a host have one name.
func lockStore(dir string, in *state.Dir, kind state.Kind, name string) (*treelog.FileLock, error) {
	return treelog.NewFileLock(LockDir(dir, in, kind, name))
}

// LockDir is the folder in which a shard's lock is; dir is what the configuration says.
func LockDir(dir string, in *state.Dir, kind state.Kind, name string) string {
	if dir == "" {
		dir = in.Path("lock")
	}
	return filepath.Join(dir, string(kind), name)
}

func readPolicy(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err == nil && len(data) > maxPolicy {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPolicy)
	}
	if err == nil && strings.TrimSpace(string(data)) == "" {
		err = fmt.Errorf("%s is empty: to have no witnesses, leave the key out", path)
	}
	return data, err
}
