package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/control"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// waitInterval is how often --wait asks.
const waitInterval = time.Second

type rotate struct {
	deployment
	now, wait, goOn bool
	keys            []string
	url, chain      string
	output          cli.Choice
}

func rotateCommand() *cli.Command {
	o := &rotate{}
	return &cli.Command{
		Use: "rotate [flags] ca|ctlog|log|tsa|issuer|tuf", Short: "Replace the key of a service, in the order that breaks nobody", Group: "Keys", NoTimeout: true,
		Long: `Replace the key of a service. A new key is made and published in the trusted root; after the time that clients need to fetch it (rotation.propagation), the service switches to it, and the signing config says so; some time after that (rotation.close) the old key's window gets its end. Signatures made under the old key verify for ever.

The command does what can be done now and says what comes when. The running server goes on by itself; --continue asks it to do so now, and --wait ends when the rotation does. Both may be killed at any point.

Rotating a log begins a new shard: uploads go to it from one moment to the next, and the old shard is frozen and stays readable below /log/NAME/.

--now does not wait. Who fetched the trusted root before, and does not look again, cannot verify what is signed then: for tests, and for keys that somebody else may have.`,
		Example: `bulla-server rotate log
bulla-server rotate ca --key ca-root=/media/stick/ca-root.key
bulla-server rotate ca --key ca=keys/ca-2026-2.key --chain ca-chain.pem`,
		Args: cobra.ExactArgs(1),
		Flags: allFlags(o.register, func(fs *pflag.FlagSet) {
			fs.BoolVar(&o.now, "now", false, "do not wait for clients to learn of the new key, nor to close the old one's window")
			fs.BoolVar(&o.wait, "wait", false, "end when the rotation has")
			fs.BoolVar(&o.goOn, "continue", false, "go on with the rotation under way, and do not begin another")
			fs.StringArrayVar(&o.keys, "key", nil, "use a key that exists, as `ROLE=REFERENCE`; repeatable")
			fs.StringVar(&o.chain, "chain", "", "put the new ca or tsa below a root that exists, with the signed chain in `FILE` (see csr)")
			fs.StringVar(&o.url, "url", "", "the new instance's public `ADDRESS`, where it is not that of the old one")
			cli.Output(fs, &o.output, "text", "text", "json")
		}),
		Run: o.run,
	}
}

func (o *rotate) run(ctx context.Context, c *cli.Call) error {
	request := instance.Rotate{Kind: state.Kind(c.Args[0]), Hurry: o.now, URL: o.url, Continue: o.goOn}
	if !slices.Contains(state.Kinds(), request.Kind) {
		return cli.Usagef("%q cannot be rotated: it is one of %v", c.Args[0], state.Kinds())
	}
	var err error
	if request.Keys, err = parseKeys(o.keys); err != nil {
		return err
	}
	if o.chain != "" {
		if err := chainKind(request.Kind); err != nil || o.goOn {
			return cli.Usagef("%w", cmp.Or(err, errors.New("--chain begins a rotation, and --continue begins none")))
		}
		if request.Chain, err = readChain(o.chain); err != nil {
			return err
		}
	}
	if err := o.open(c); err != nil {
		return err
	}
	var progress rotation.Progress
	peer, err := publisher(ctx, o.dir.Path())
	if err != nil {
		return err
	}
	for {
		if err := peer.Call(ctx, instance.PathRotate, request, &progress); err != nil {
			return err
		}
		if !o.wait || progress.Step == rotation.Done {
			break
		}
		request.Continue, request.Chain = true, ""
		select {
		case <-ctx.Done():
			return ctx.Err() // the server goes on
		case <-time.After(waitInterval):
		}
	}
	if o.output.String() == "json" {
		return c.PrintJSON(&progress)
	}
	_, err = fmt.Fprintln(c.Out, describeProgress(&progress))
	return err
}

// publisher returns the running process that publishes the trusted root, which is the one that rotates.
func publisher(ctx context.Context, dir string) (*control.Peer, error) {
	peers, err := control.Peers(dir)
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		var s instance.Status
		if err := p.Call(ctx, instance.PathStatus, instance.Nothing{}, &s); err != nil {
			return nil, cli.Errorf(cli.ExitUnknown, "%w", err)
		}
		if slices.Contains(s.Services, config.ServiceTUF) {
			return p, nil
		}
	}
	return nil, cli.Errorf(cli.ExitUnknown, "no process runs on this state that publishes the trusted root").
		WithHint("start the server that runs the service tuf: clients must be able to fetch the new key before it is used")
}

func parseKeys(all []string) (map[founding.Role]string, error) {
	if len(all) == 0 {
		return nil, nil
	}
	out := make(map[founding.Role]string)
	for _, s := range all {
		role, ref, err := founding.ParseKey(s)
		if err != nil {
			return nil, cli.Usagef("--key: %w", err)
		}
		out[role] = ref
	}
	return out, nil
}
