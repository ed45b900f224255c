package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/realsigstore"
	"github.com/bulla-sign/bulla/test/bench/load"
)

// How long a server is saturated for a row.
const saturation = 10 * time.Second

// entryLatency is the rows of a log that is not busy: without a witness, and with one, which is asked before anything is
// published.
func (b *bench) entryLatency() error {
	for _, c := range []struct {
		what string
		with settings
		goal string
	}{
		{"log entry to proof, 10/s, p50/p99", settings{}, "<= 70/250 ms"},
		{"with one witness, each second", settings{witnessed: true}, ""},
		{"with one witness, each 50 ms", settings{witnessed: true, checkpoints: 50 * time.Millisecond}, ""},
	} {
		p50, p99, err := b.latency(c.with)
		if err != nil {
			return err
		}
		b.print(row{c.what, "bulla-server", fmt.Sprintf("%.0f/%.0f ms", p50.Seconds()*1e3, p99.Seconds()*1e3), "", c.goal},
			c.goal == "" || p50 <= 70*time.Millisecond && p99 <= 250*time.Millisecond)
	}
	return nil
}

func (b *bench) latency(with settings) (p50, p99 time.Duration, err error) {
	const perSecond, n = 10, 100
	bodies, err := load.Entries(n)
	if err != nil {
		return 0, 0, err
	}
	d, err := b.deploy(with)
	if err != nil {
		return 0, 0, err
	}
	defer d.Kill()
	r := load.Steadily(context.Background(), perSecond, n, load.Log(load.Client(n), d.url, bodies))
	return r.Quantile(0.5), r.Quantile(0.99), r.Err
}

// entries is the rows of a busy log: beside rekor-tiles with its defaults, and at the shortest settings that both have.
func (b *bench) entries() error {
	for _, c := range []struct {
		what     string
		inFlight int
		ours     time.Duration
		theirs   realsigstore.LogSettings
		factor   float64
	}{
		{"log entries/s, defaults, 64 in flight", 64, 0, realsigstore.LogSettings{}, 5},
		{"log entries/s, 1 s, 512 in flight", 512, time.Second, realsigstore.LogSettings{Checkpoints: time.Second, BatchAge: 100 * time.Millisecond}, 1.5},
	} {
		theirs, err := b.theirEntries(c.inFlight, c.theirs)
		if err != nil {
			return err
		}
		ours, err := b.ourEntries(c.inFlight, c.ours)
		if err != nil {
			return err
		}
		b.print(row{c.what, "rekor-tiles", perSecond(theirs), "", ""}, true)
		b.print(row{c.what, "bulla-server", perSecond(ours), "", fmt.Sprintf(">= %g x; %.1f x", c.factor, ours.Rate()/theirs.Rate())}, ours.Rate() >= c.factor*theirs.Rate())
	}
	return nil
}

func perSecond(r *load.Result) string {
	return fmt.Sprintf("%.0f/s (load %.0f%%)", r.Rate(), 100*r.CPU.Seconds()/r.Took.Seconds())
}

// most bounds the uploads made ahead for a row, by a rate that no log here reaches.
func most(d time.Duration) int { return int(d.Seconds()) * 6000 }

func (b *bench) theirEntries(inFlight int, settings realsigstore.LogSettings) (*load.Result, error) {
	dir, err := os.MkdirTemp(b.dir, "rekor-tiles-")
	if err != nil {
		return nil, err
	}
	log, err := realsigstore.TransparencyLog(dir, settings, os.Stderr)
	if err != nil {
		return nil, err
	}
	defer log.Kill()
	return saturateLog(log.URL, inFlight)
}

func (b *bench) ourEntries(inFlight int, checkpoints time.Duration) (*load.Result, error) {
	d, err := b.deploy(settings{checkpoints: checkpoints})
	if err != nil {
		return nil, err
	}
	defer d.Kill()
	return saturateLog(d.url, inFlight)
}

func saturateLog(url string, inFlight int) (*load.Result, error) {
	bodies, err := load.Entries(most(saturation))
	if err != nil {
		return nil, err
	}
	r := load.Saturate(context.Background(), inFlight, saturation, load.Log(load.Client(inFlight), url, bodies))
	return r, r.Err
}

// timestamps is the row of the timestamp authorities.
func (b *bench) timestamps() error {
	theirs, err := realsigstore.TimestampAuthority(os.Stderr)
	if err != nil {
		return err
	}
	const inFlight = 32
	saturate := func(url string) (*load.Result, error) {
		task, err := load.Stamp(load.Client(inFlight), url+"/api/v1/timestamp")
		if err != nil {
			return nil, err
		}
		r := load.Saturate(context.Background(), inFlight, saturation, task)
		return r, r.Err
	}
	their, err := saturate(theirs.URL)
	theirs.Kill()
	if err != nil {
		return err
	}
	d, err := b.deploy(settings{})
	if err != nil {
		return err
	}
	defer d.Kill()
	our, err := saturate(d.url)
	if err != nil {
		return err
	}
	b.print(row{"timestamps/s", "timestamp-authority", perSecond(their), "", ""}, true)
	b.print(row{"timestamps/s", "bulla-server", perSecond(our), "", fmt.Sprintf(">= 1.5 x; %.1f x", our.Rate()/their.Rate())}, our.Rate() >= 1.5*their.Rate())
	return nil
}

// floor is the processor time of the signatures alone that a whole signing needs with an intermediate on P-256, as it was
// measured when the goal was set.
const floor = 380 * time.Microsecond

// signatureFloor measures the processor time of the signatures alone that a whole signing needs, with all processors busy
// with them: a processor that shares its core with a busy one is slower.
func signatureFloor() (time.Duration, error) {
	task, err := load.Signatures()
	if err != nil {
		return 0, err
	}
	r := load.Saturate(context.Background(), runtime.GOMAXPROCS(0), 2*time.Second, task)
	if r.Err != nil {
		return 0, r.Err
	}
	return r.CPU / time.Duration(r.Done), nil
}

// signings is the rows of whole signings, beside Fulcio (without CT log, which spares it a request), rekor-tiles at its
// shortest settings and timestamp-authority. A batch of a log costs the same however many entries it has, so that the cost of
// a signing is shown for two loads: one under which the server is idle a third of the time, and one under which it is not.
func (b *bench) signings() error {
	const some, many = 64, 256 // in flight
	keys := make([]*ecdsa.PrivateKey, many)
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
	}
	d, err := b.deploy(settings{})
	if err != nil {
		return err
	}
	defer d.Kill()
	token, err := identityToken(d.url + "/oidc/dev/token")
	if err != nil {
		return err
	}
	their, err := b.theirSignings(keys[:some], d.url+"/oidc", token)
	if err != nil {
		return err
	}
	here, err := signatureFloor()
	if err != nil {
		return err
	}
	b.print(row{"whole signings/s", "the three", perSecond(their), "", ""}, true)
	for _, inFlight := range []int{some, many} {
		our, each, err := d.signings(keys[:inFlight], token)
		if err != nil {
			return err
		}
		if inFlight == some {
			b.print(row{"whole signings/s", "bulla-server", perSecond(our), "", fmt.Sprintf(">= 3 x; %.1f x", our.Rate()/their.Rate())}, our.Rate() >= 3*their.Rate())
		} else {
			b.print(row{"whole signings/s", "bulla-server", perSecond(our), "", ""}, true)
		}
		goal := fmt.Sprintf("<= 3 x the signatures alone, %.2f ms (in this run %.2f); %.1f x", floor.Seconds()*1e3, here.Seconds()*1e3, float64(each)/float64(floor))
		b.print(row{fmt.Sprintf("server CPU per signing, %d in flight", inFlight), "bulla-server", fmt.Sprintf("%.2f ms", each.Seconds()*1e3), "", goal}, each <= 3*floor)
	}
	return nil
}

// signings has one signer for each key, and returns what a signing costs the server.
func (d *deployment) signings(keys []*ecdsa.PrivateKey, token string) (*load.Result, time.Duration, error) {
	before, err := processorTime(d.PID())
	if err != nil {
		return nil, 0, err
	}
	our := load.Saturate(context.Background(), len(keys), saturation, load.Sign(load.Client(len(keys)), load.Services{
		CA: d.url, TSA: d.url + "/api/v1/timestamp", Log: d.url, Token: token, Email: email,
	}, keys))
	if our.Err != nil {
		return nil, 0, our.Err
	}
	after, err := processorTime(d.PID())
	if err != nil {
		return nil, 0, err
	}
	return our, (after - before) / time.Duration(our.Done), nil
}

func (b *bench) theirSignings(keys []*ecdsa.PrivateKey, issuer, token string) (*load.Result, error) {
	dir, err := os.MkdirTemp(b.dir, "three-")
	if err != nil {
		return nil, err
	}
	ca, err := realsigstore.CertificateAuthority(dir, realsigstore.Authority{Issuer: issuer}, os.Stderr)
	if err != nil {
		return nil, err
	}
	defer ca.Kill()
	tsa, err := realsigstore.TimestampAuthority(os.Stderr)
	if err != nil {
		return nil, err
	}
	defer tsa.Kill()
	log, err := realsigstore.TransparencyLog(dir, realsigstore.LogSettings{Checkpoints: time.Second, BatchAge: 100 * time.Millisecond}, os.Stderr)
	if err != nil {
		return nil, err
	}
	defer log.Kill()
	r := load.Saturate(context.Background(), len(keys), saturation, load.Sign(load.Client(len(keys)), load.Services{
		CA: ca.URL, TSA: tsa.URL + "/api/v1/timestamp", Log: log.URL, Token: token, Email: email,
	}, keys))
	return r, r.Err
}
