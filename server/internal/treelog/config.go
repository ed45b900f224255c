package treelog

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"
)

// Layout says how entries lie in their bundles.
type Layout int

// The layouts there are.
const (
	// Entries is C2SP tlog-tiles: bundles below tile/entries/, the leaf is the hash of the entry's bytes.
	Entries Layout = iota
	// CT is C2SP static-ct-api: bundles below tile/data/, the leaf is an RFC 6962 MerkleTreeLeaf.
	CT
)

// Defaults of [Config], chosen for the time that one caller waits: an entry alone in the log is proven after about two
// dozen synchronous writes.
const (
	defaultCheckpointInterval        = 50 * time.Millisecond
	defaultWitnessCheckpointInterval = time.Second // cosigning is a round trip to others, who ask not to be hurried
	defaultBatchMaxAge               = 10 * time.Millisecond
	defaultBatchMaxSize              = 1024
	defaultPushback                  = 4096
	defaultWitnessTimeout            = 5 * time.Second
)

// Config says what log to open and how. Zero values mean the defaults, where there are some.
type Config struct {
	// Dir is the log's directory; it is made if need be. One process at a time may have it open for writing.
	Dir string
	// Origin is the first line of the checkpoints, and the name of every signer.
	Origin string
	// Layout of the entries.
	Layout Layout

	// Signer signs the checkpoints, and Extra sign beside it (the key before a rotation, for instance). A log opened with
	// Frozen needs none.
	Signer note.Signer
	Extra  []note.Signer
	// Verifier belongs to Signer. What lies in the directory and in the lock store must verify with it.
	Verifier note.Verifier

	// Lock remembers the latest checkpoint elsewhere than in Dir, under LockName (default: Origin). See [LockStore].
	Lock     LockStore
	LockName string
	// AdoptLock lets a lock store that has nothing, or less than the directory, learn the directory's checkpoint. Without
	// it both are refused, because a lock store that forgets cannot tell that the directory was restored from a backup.
	AdoptLock bool

	// Witnesses is a policy (C2SP tlog-policy, as Tessera reads it) of who must cosign a checkpoint before it is published.
	// Empty: nobody. WitnessFailOpen publishes without them if they do not answer within WitnessTimeout.
	Witnesses       []byte
	WitnessFailOpen bool
	WitnessTimeout  time.Duration
	// HTTPClient reaches the witnesses. nil: one that follows no redirects.
	HTTPClient *http.Client

	// CheckpointInterval is the shortest time between two publications.
	CheckpointInterval time.Duration
	// RepublishInterval is the time after which a checkpoint is signed anew although the log has not grown. 0: never.
	RepublishInterval time.Duration
	// BatchMaxAge is how long the first entry of a batch waits for company, BatchMaxSize how much company it gets.
	BatchMaxAge  time.Duration
	BatchMaxSize uint
	// Pushback is the number of entries that may wait to be sequenced; one more is refused with [ErrPushback].
	Pushback uint

	// Frozen opens the log for reading only. A directory that was frozen by [Log.Freeze] is opened so in any case.
	Frozen bool

	// Now is the clock for metrics and messages (nil: the system's). Nothing that is written depends on it.
	Now func() time.Time
	// Log gets events (nil: silent).
	Log *slog.Logger
	// Metrics registers the log's metrics (nil: none). Whoever opens several logs wraps it with a label.
	Metrics prometheus.Registerer
}

// maxBatch bounds a batch: 16 full bundles at once keep a batch's memory to 16 MiB with entries of 64 KiB... of which a
// batch seldom has more than a few.
const maxBatch = 4096

func (c *Config) check() error {
	switch {
	case c.Dir == "":
		return errors.New("tree log: no directory given")
	case c.Origin == "":
		return errors.New("tree log: no origin given")
	case c.Verifier == nil:
		return errors.New("tree log: no verifier given")
	case c.Verifier.Name() != c.Origin:
		return fmt.Errorf("tree log: the verifier's name %q is not the origin %q", c.Verifier.Name(), c.Origin)
	case c.Layout != Entries && c.Layout != CT:
		return fmt.Errorf("tree log: unknown layout %d", c.Layout)
	case c.BatchMaxSize > maxBatch:
		return fmt.Errorf("tree log: batches of %d entries are more than %d", c.BatchMaxSize, maxBatch)
	}
	if !c.Frozen {
		if err := c.checkWriting(); err != nil {
			return err
		}
	}
	c.fill()
	return nil
}

func (c *Config) checkWriting() error {
	if c.Signer == nil {
		return errors.New("tree log: no signer given")
	}
	if c.Lock == nil {
		return errors.New("tree log: no lock store given")
	}
	for _, s := range append([]note.Signer{c.Signer}, c.Extra...) {
		if s.Name() != c.Origin {
			return fmt.Errorf("tree log: a signer's name %q is not the origin %q", s.Name(), c.Origin)
		}
	}
	if c.Signer.KeyHash() != c.Verifier.KeyHash() {
		return errors.New("tree log: the signer and the verifier have different keys")
	}
	return nil
}

func (c *Config) fill() {
	setDefault(&c.LockName, c.Origin)
	setDefault(&c.BatchMaxAge, defaultBatchMaxAge)
	setDefault(&c.BatchMaxSize, defaultBatchMaxSize)
	setDefault(&c.Pushback, defaultPushback)
	setDefault(&c.WitnessTimeout, defaultWitnessTimeout)
	if len(c.Witnesses) > 0 {
		setDefault(&c.CheckpointInterval, defaultWitnessCheckpointInterval)
	}
	setDefault(&c.CheckpointInterval, defaultCheckpointInterval)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
