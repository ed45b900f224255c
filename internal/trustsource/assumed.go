package trustsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/tuf"
)

const (
	// askEvery is how often the public-good instance is asked where nobody has set anything up: who has not asked for
	// the network is to wait for it once a day. Its timestamps hold for a week.
	askEvery = 24 * time.Hour
	// askTime bounds that question: there is something to go on with, and where packets vanish nobody waits for long.
	askTime = 10 * time.Second
	// askAgain is how long it is left alone after it has been silent, where there is something to go on with.
	askAgain = 10 * time.Minute
)

// assume returns what the public-good instance says, which nobody has set up. It is asked now and then, and what is built
// in stands in until that went well once. From then on it does only if it is newer: it could be what was withdrawn since.
func (s *Source) assume(ctx context.Context, c *tuf.Client, config tuf.Config) (*tuf.Trust, error) {
	t, problem := c.Cached()
	if problem == nil && (s.Offline || s.within(t.Checked, askEvery)) {
		return t, nil
	}
	standIn, err := builtInIsNewer(config)
	if err != nil {
		return nil, err
	}
	var unheard error
	if !s.Offline {
		fresh, err := s.ask(ctx, c, config, problem == nil || standIn)
		if err == nil {
			return fresh, nil
		}
		if t, problem = c.Cached(); problem == nil {
			t.Problem = err
			return t, nil
		}
		unheard, problem = err, err
	}
	if !standIn {
		return nil, fmt.Errorf("%w; what is built in is older and does not stand in for it, unless it is named (--instance %s)", problem, BuiltInName)
	}
	s.unheard = unheard
	return nil, ctx.Err() // the user's time may be over
}

// builtInIsNewer says that what is built in is newer than what the repository ever said: it said nothing, or the last of it
// had expired by the day of what is built in.
func builtInIsNewer(config tuf.Config) (bool, error) {
	builtIn, err := publicgood.Root()
	if err != nil || !isKept(config, "timestamp.json") {
		return err == nil, err
	}
	name, err := keptFile(config, "timestamp.json")
	if err != nil {
		return false, err
	}
	data, err := readFile(name)
	if err != nil {
		return false, nil // it said something, and nobody can read when
	}
	d, err := tuf.ParseDocument(data)
	return err == nil && d.Expires().Before(builtIn.Source.Date), nil
}

// ask asks the public-good instance, unless there is something to go on with and it has just been silent: where packets
// vanish not every command is to wait for it.
func (s *Source) ask(ctx context.Context, c *tuf.Client, config tuf.Config, patient bool) (*tuf.Trust, error) {
	note := ""
	if name, err := tuf.CacheName(config.Mirror); err == nil && config.Home != "" {
		note = filepath.Join(config.Home, name+".silent")
	}
	if data, err := readFile(note); err == nil && patient {
		if at, err := time.Parse(time.RFC3339, string(data)); err == nil && s.within(at, askAgain) {
			return nil, fmt.Errorf("%s did not answer at %s, and is asked again %s later", config.Mirror, at.Format(time.RFC3339), askAgain)
		}
	}
	t, err := c.Refresh(ctx)
	if errors.Is(err, tuf.ErrNoAnswer) && ctx.Err() == nil && note != "" && os.MkdirAll(config.Home, 0o700) == nil {
		_ = durable.WriteVolatile(note, []byte(s.now().UTC().Format(time.RFC3339)), 0o600) // where it cannot be noted all wait
	}
	return t, err
}

// within says that something was less than so long ago. What lies in the future was not.
func (s *Source) within(at time.Time, d time.Duration) bool {
	age := s.now().Sub(at)
	return age >= 0 && age < d
}

func (s *Source) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// isKept says whether the cache has a file of the mirror.
func isKept(config tuf.Config, file string) bool {
	name, err := keptFile(config, file)
	if err == nil {
		_, err = os.Stat(name)
	}
	return err == nil
}

// keptFile is where the cache has a file of the mirror, if it has it.
func keptFile(config tuf.Config, file string) (string, error) {
	name, err := tuf.CacheName(config.Mirror)
	if err == nil && config.Home == "" {
		err = errors.New("there is no home directory")
	}
	return filepath.Join(config.Home, name, file), err
}

// isRoot says whether a file is a root that is signed as it demands itself.
func isRoot(name string, err error) bool {
	if err != nil {
		return false
	}
	data, err := readFile(name)
	if err != nil {
		return false
	}
	d, err := tuf.ParseDocument(data)
	return err == nil && d.Role() == tuf.RootRole && d.Verify(d) == nil
}
