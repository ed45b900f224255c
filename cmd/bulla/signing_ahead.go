package main

import (
	"context"
	"crypto/ecdsa"
	"sync"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/sign"
)

// registryFor makes the client of a command that signs, and with upload writes what it signed. The first contact is then one
// that may write, so that there is no second; but who leaves out what is signed already may have nothing to write, and need
// not be allowed to.
func (s *imageSigning) registryFor(c *cli.Call, upload bool) (*oci.Client, error) {
	o, err := registryOptions(c, &s.registry)
	if err != nil {
		return nil, err
	}
	o.Writes = upload
	return newRegistryClient(o)
}

// early is the image of a reference that was looked up while the key was opened, and what is attached to it.
type early struct {
	once sync.Once
	img  *oci.Image
	err  error

	finding  sync.Once
	found    *oci.Evidence
	notFound error // why found is not all that there is
}

// ahead is what is looked up early.
type ahead struct {
	must  bool // images that are named by their digest, too
	again bool // what is attached to them
	where oci.FindOptions
}

// maxEarly is how many images are looked up so: as many as are signed at the same time, if nothing else is said.
const maxEarly = defaultJobs

// lookAhead begins to look up the first images, since opening a key file takes as long as several questions to a registry far
// away, and so does learning what an instance trusts. Whoever comes first to need the answer waits for it. It does nothing
// where a person is asked for a password meanwhile. The function that is returned ends it.
func (s *imageSigning) lookAhead(ctx context.Context, c *cli.Call, client *oci.Client, a ahead) func() {
	if s.asksPassword(c) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	s.ahead = map[string]*early{}
	for _, ref := range c.Args[:min(len(c.Args), maxEarly)] {
		if img, err := client.Parse(ref); err != nil || s.ahead[ref] != nil || img.Digest != "" && !a.must {
			continue // which is for resolve to say, or needs no registry
		}
		e := new(early)
		s.ahead[ref] = e
		group.Go(func() { e.lookUp(ctx, client, ref) })
		if a.again {
			group.Go(func() { e.find(ctx, client, ref, a.where) })
		}
	}
	return func() {
		cancel()
		group.Wait()
	}
}

func (e *early) lookUp(ctx context.Context, client *oci.Client, ref string) {
	e.once.Do(func() { e.img, e.err = client.Resolve(ctx, ref) })
}

// find looks at what is attached: at the same time, where the reference has the digest.
func (e *early) find(ctx context.Context, client *oci.Client, ref string, where oci.FindOptions) {
	e.finding.Do(func() {
		img, err := client.Parse(ref)
		if err == nil && img.Digest == "" {
			e.lookUp(ctx, client, ref)
			img, err = e.img, e.err
		}
		if e.notFound = err; err == nil {
			e.found, e.notFound = client.Find(ctx, img, firstPieces(where, func([]oci.Item) bool { return false }))
		}
	})
}

// asksPassword says whether opening the key may ask a person for a password.
func (s *imageSigning) asksPassword(c *cli.Call) bool {
	if s.Key == "" || isPlugIn(s.Key) {
		return false
	}
	for _, name := range []string{"BULLA_PASSWORD", "COSIGN_PASSWORD"} {
		if _, ok := c.LookupEnv(name); ok {
			return false
		}
	}
	return true
}

func isPlugIn(key string) bool {
	ref, err := keys.ParseReference(key)
	return err == nil && ref.Kind == keys.PlugIn
}

// unique says whether a bundle that was just made holds what no earlier one can hold: what a log or an authority said of it,
// or a signature with randomness of its own, as package keys makes them with ECDSA and the pure form of Ed25519. That of a key
// in a store may have none.
func (s *signing) unique(b *bundle.Bundle, o *sign.Options) bool {
	if len(b.Material.Entries) > 0 || len(b.Material.Timestamps) > 0 {
		return true
	}
	alg, err := o.ChosenAlgorithm()
	if err != nil || isPlugIn(s.Key) {
		return false
	}
	_, random := o.Signer.Public().(*ecdsa.PublicKey)
	return random || alg.Details() == algorithm.Ed25519
}
