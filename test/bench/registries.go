package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/tools/realregistry"
)

// slow is how far away the farther of the two registries is: every request takes so much longer.
const slow = 50 * time.Millisecond

// registryRuns is how often each command of the rows about registries runs for its time; those that fetch a hundred
// signatures from far away take seconds.
const registryRuns = 5

// distance is a proxy before a registry: it counts what is asked and lets it take its time.
type distance struct {
	addr    string // what the programs ask
	forward http.Handler
	server  *http.Server
	delay   atomic.Int64 // nanoseconds
	asked   atomic.Int64 // without the ping of /v2/
}

// front starts a proxy before the registry at a host and port.
func front(addr string) (*distance, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &distance{addr: l.Addr().String(), forward: fault.Forward(&url.URL{Scheme: "http", Host: addr})}
	d.server = &http.Server{Handler: d, ReadHeaderTimeout: time.Minute}
	go func() { _ = d.server.Serve(l) }() // ends with close
	return d, nil
}

func (d *distance) close() { _ = d.server.Close() }

// ServeHTTP sends a request on.
func (d *distance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v2/" {
		d.asked.Add(1)
	}
	time.Sleep(time.Duration(d.delay.Load()))
	d.forward.ServeHTTP(w, r)
}

// evidence is the rows about evidence in registries: requests and time, near and far, beside cosign. The pings of /v2/ are
// not counted; these registries ask for no tokens and lead to no storage.
func (b *bench) evidence() error {
	memory, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api := &http.Server{Handler: registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	go func() { _ = api.Serve(memory) }() // ends with Close
	defer func() { _ = api.Close() }()    // nobody reads from it any more
	dir, err := os.MkdirTemp(b.dir, "registry-")
	if err != nil {
		return err
	}
	real, err := realregistry.Start(dir, os.Stderr)
	if err != nil {
		return err
	}
	defer real.Close()
	for _, kind := range []struct {
		name, addr  string
		verify, all int // requests allowed: to verify one, and beside 2n for n
		sign        int
	}{{"referrers", memory.Addr().String(), 3, 2, 8}, {"fallback tag", real.Addr, 4, 3, 11}} {
		d, err := front(kind.addr)
		if err != nil {
			return err
		}
		e := &registryBench{bench: b, at: d, kind: kind.name}
		err = e.prepare()
		for _, n := range []int{1, 10, 100} {
			if err == nil {
				allowed := kind.verify
				if n > 1 {
					allowed = 2*n + kind.all
				}
				err = e.verify(n, allowed)
			}
		}
		if err == nil {
			err = e.sign(kind.sign)
		}
		if err == nil {
			err = e.copy()
		}
		d.close()
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return nil
}

// registryBench is the rows about one kind of registry.
type registryBench struct {
	*bench
	at     *distance
	kind   string
	dir    string
	images int
}

// key is a file of the rows' keys.
func (e *registryBench) key(name string) string { return filepath.Join(e.dir, name) }

// prepare makes keys, and the files that say that there are no services.
func (e *registryBench) prepare() error {
	var err error
	if e.dir, err = os.MkdirTemp(e.bench.dir, "keys-"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{e.bulla, "generate-key-pair", "--output-key-prefix", e.key("signer")},
		{e.bulla, "generate-key-pair", "--output-key-prefix", e.key("stranger")},
		{e.cosign, "signing-config", "create", "--out", e.key("services.json")},
		{e.cosign, "trusted-root", "create", "--out", e.key("trust.json")},
	} {
		if err := runIn(e.settings(), args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (e *registryBench) settings() []string {
	return append(slices.Clone(e.env), "COSIGN_PASSWORD=pw", "DOCKER_CONFIG="+e.dir)
}

// image pushes an image of its own.
func (e *registryBench) image() (string, error) {
	e.images++
	tag := fmt.Sprintf("%s/bench-%d/app:v1", e.at.addr, e.images)
	return realregistry.PushImage(context.Background(), tag, tag)
}

func (e *registryBench) signing(key string) []string {
	return []string{"sign", "--key", e.key(key + ".key"), "--signing-config", e.key("services.json"), "--trusted-root", e.key("trust.json"), "--yes"}
}

// verify compares the verification of an image with n signatures, the last of which is the one that is wanted.
func (e *registryBench) verify(n, allowed int) error {
	image, err := e.image()
	if err != nil {
		return err
	}
	for i := range n {
		key := "stranger"
		if i == n-1 {
			key = "signer"
		}
		if err := runIn(e.settings(), e.bulla, append(e.signing(key), "-a", fmt.Sprintf("n=%d", i), image)...); err != nil {
			return err
		}
	}
	args := []string{"verify", "--key", e.key("signer.pub"), "--insecure-ignore-tlog", image}
	share := [2]float64{1. / 3, 0.6}
	if n > 1 {
		share[1] = 1. / 5
	}
	return e.compare(comparison{
		what: fmt.Sprintf("verify, %d signed, %s", n, e.kind), allowed: allowed, share: share,
		args: func() ([]string, error) { return args, nil },
	})
}

// sign compares the signing of an image that has no signature.
func (e *registryBench) sign(allowed int) error {
	return e.compare(comparison{what: "sign, " + e.kind, allowed: allowed, share: [2]float64{1. / 3, 1. / 2}, args: func() ([]string, error) {
		image, err := e.image()
		return append(e.signing("signer"), image), err
	}})
}

// copy compares the copying of a signed image within a registry. cosign leaves the bundle behind.
func (e *registryBench) copy() error {
	image, err := e.image()
	if err != nil {
		return err
	}
	if err := runIn(e.settings(), e.bulla, append(e.signing("signer"), image)...); err != nil {
		return err
	}
	return e.compare(comparison{what: "copy, " + e.kind, args: func() ([]string, error) {
		e.images++
		return []string{"copy", image, fmt.Sprintf("%s/bench-%d/copy:v1", e.at.addr, e.images)}, nil
	}})
}

// comparison is what both programs do.
type comparison struct {
	what    string
	args    func() ([]string, error) // of one run
	allowed int                      // requests; 0: no goal
	share   [2]float64               // of cosign's time that bulla may take, near and far; 0: no goal
}

// compare runs both programs in turn, near and far.
func (e *registryBench) compare(c comparison) error {
	for i, delay := range []time.Duration{0, slow} {
		e.at.delay.Store(int64(delay))
		var theirs time.Duration
		for _, p := range []string{e.cosign, e.bulla} {
			asked, all, err := e.take(p, c)
			if err != nil {
				return err
			}
			who, wall := filepath.Base(p), all.wall()
			r := row{what: fmt.Sprintf("%s, %d ms", c.what, delay.Milliseconds()), who: who, time: ms(wall), memory: fmt.Sprintf("%d requests", asked)}
			met := true
			if p == e.cosign {
				theirs = wall
			} else if c.share[i] > 0 {
				r.goal = fmt.Sprintf("<= %d, <= %.2f of cosign's time (%.2f)", c.allowed, c.share[i], float64(wall)/float64(theirs))
				met = asked <= int64(c.allowed) && float64(wall) <= c.share[i]*float64(theirs)
			}
			e.print(r, met)
		}
	}
	e.at.delay.Store(0)
	return nil
}

// take runs one program, after one run that warms up what can be warm, and says what its last run asked.
func (e *registryBench) take(program string, c comparison) (int64, series, error) {
	var all series
	var asked int64
	for i := range registryRuns + 1 {
		args, err := c.args()
		if err != nil {
			return 0, nil, err
		}
		e.at.asked.Store(0)
		s, err := measure(append([]string{program}, args...), e.settings())
		if err != nil {
			return 0, nil, err
		}
		asked = e.at.asked.Load()
		if i > 0 {
			all = append(all, s)
		}
	}
	return asked, all, nil
}
