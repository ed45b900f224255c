package main

import (
	"context"
	"crypto"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// maxLookups bounds how many signatures of one artifact are looked for in a log: each costs up to five requests, and whoever
// can write to a registry can put a thousand there.
const maxLookups = 16

// online says whether a log is to be asked for the entries of older signatures that carry none. In cosign's place
// --offline=false, which is what cosign does by itself, has to be said.
func (v *verification) online(c *cli.Call) bool {
	return v.log.String() == "online" || c.Cosign && c.Typed("offline") && !c.Net.Offline() && !v.ignoresLog()
}

// checkOnline refuses a search that cannot be, and the address of a log that is not asked.
func (v *verification) checkOnline(c *cli.Call) error {
	switch {
	case v.log.String() == "online" && (v.IgnoreTlog || v.PrivateInfrastructure):
		return cli.Usagef("--log=online and --insecure-ignore-tlog contradict each other")
	case v.log.String() == "online" && c.Net.Offline():
		return cli.Usagef("--log=online and --offline contradict each other")
	case c.Typed("rekor-url") && !c.Cosign && !v.online(c):
		return cli.Usagef("--rekor-url is not used: log entries are verified offline, with the keys of the trusted root").
			WithHint("leave the flag out, or say --log=online to have the log asked for entries of older signatures that carry none; a private log's key belongs in a trusted root (--trusted-root)")
	}
	return nil
}

// finder looks in a log for the entries of older signatures that carry none.
type finder struct {
	log *client.LogV1
	say func(format string, args ...any)
	all bool // look for the entries of all, also where one signature suffices
}

// newFinder returns nil where no log is to be asked.
func (v *verification) newFinder(c *cli.Call, root *trust.Root) (*finder, error) {
	if !v.online(c) {
		return nil, nil
	}
	address := v.RekorURL
	if !c.Changed("rekor-url") && (root == nil || !slices.ContainsFunc(root.Logs, func(l trust.Log) bool { return l.BaseURL == flags.DefaultRekorURL })) {
		// What is asked for tells the public log what is verified, and it cannot know the entries of another instance.
		return nil, cli.Usagef("nothing says which log to ask: the trusted root does not know the public one").WithHint("name the log with --rekor-url")
	}
	log, err := client.NewLogV1(address, client.Options{
		Root: root, Transport: c.Net.Guard(client.NewTransport(nil)), UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now,
		Notify: func(r client.Retry) { c.Infof("%v; trying again in %s", r.Err, r.Pause.Round(100*time.Millisecond)) },
	})
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	return &finder{log: log, say: c.Infof}, nil
}

// judge verifies, and where that fails looks for entries and verifies again. What a log returns is attached to the signature
// that it is about, and judged as if it had been there. That no answer came is not "not logged".
func (f *finder) judge(ctx context.Context, req *verify.Request) (*verify.Report, error) {
	r := verify.Verify(req)
	if f == nil || r.Verified && !f.all {
		return r, nil
	}
	asked, found := 0, false
	for i := range req.Candidates {
		b := req.Candidates[i].Bundle
		if b == nil || b.Version != bundle.Cosign || len(b.Material.Entries) > 0 || asked == maxLookups {
			continue
		}
		asked++
		with, err := f.find(ctx, req, b)
		if err != nil {
			return nil, cli.Errorf(cli.ExitUnknown, "whether the signature %s is logged is not known: %w", req.Candidates[i].Name, err)
		}
		if with != nil {
			f.say("the log entry of %s was found online, at index %d", req.Candidates[i].Name, with.Material.Entries[0].LogIndex)
			req.Candidates[i].Bundle, found = with, true
		}
	}
	if !found {
		return r, nil
	}
	return verify.Verify(req), nil
}

// find returns the bundle with its entry, nil where the log has none.
func (f *finder) find(ctx context.Context, req *verify.Request, b *bundle.Bundle) (*bundle.Bundle, error) {
	for _, s := range signatures(req, b) {
		e, err := f.log.Find(ctx, s)
		if err != nil {
			return nil, err
		}
		if e != nil {
			with := *b
			with.Material.Entries = append(with.Material.Entries, *e)
			return &with, nil
		}
	}
	return nil, nil
}

// signatures are what a log may know of a signature: by its certificate, or by one of the keys that are accepted, with each
// algorithm that it may have been made with. Those by which it does not verify were not made, and nobody is asked about them.
func signatures(req *verify.Request, b *bundle.Bundle) []*sign.Signature {
	s := sign.Signature{Message: req.Artifact.Message}
	switch {
	case b.Envelope != nil && len(b.Envelope.Signatures) == 1:
		s.Bytes, s.Envelope, s.Message = b.Envelope.Signatures[0].Sig, b.Envelope, algorithm.Bytes(b.Envelope.PAE())
	case b.Message != nil && b.Message.Payload != nil:
		s.Bytes, s.Message = b.Message.Signature, algorithm.Bytes(b.Message.Payload)
	case b.Message != nil && s.Message != nil:
		s.Bytes = b.Message.Signature
	default:
		return nil
	}
	var keys []crypto.PublicKey
	if len(b.Material.Certificates) > 0 {
		cert, err := identity.ParseCertificate(b.Material.Certificates[0])
		if err != nil {
			return nil // the report says so
		}
		s.Certificate, keys = b.Material.Certificates[0], []crypto.PublicKey{cert.X509.PublicKey}
	} else {
		for i := range req.Policy.Keys {
			keys = append(keys, req.Policy.Keys[i].Public)
		}
	}
	var out []*sign.Signature
	for _, key := range keys {
		for _, alg := range algorithm.Alternatives(key) {
			if alg.Verify(key, s.Message, s.Bytes) != nil || alg.Details() == algorithm.Ed25519 && s.Envelope == nil {
				continue
			}
			one := s
			one.Public, one.Algorithm = key, alg
			out = append(out, &one)
			break // a signature is one of one algorithm
		}
	}
	return out
}
