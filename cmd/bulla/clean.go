package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/repair"
)

type clean struct {
	registry flags.Registry
	kind     cli.Choice
	force    bool
	dryRun   bool
}

func cleanCommand() *cli.Command {
	o := &clean{}
	return &cli.Command{
		Use: "clean [flags] IMAGE", Short: "Remove what is attached to an image", Group: "Registry", BindEnv: true,
		Long: `Remove what is attached to an image: bundles, signatures and SBOMs among its referrers, and the older tags for signatures, attestations and SBOMs. The image stays, and so do referrers that are no evidence of ours. What will go is listed first, and asked about; --dry-run only lists it. It is looked for, and removed, where COSIGN_REPOSITORY and --attachment-tag-prefix say that it is kept.

A registry that refuses to remove something makes the command fail, with what remains.`,
		Example: `bulla clean --dry-run registry.example.com/app:v1
bulla clean --type signature -f registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			cli.ChoiceVar(fs, &o.kind, "type", "what is removed; referrer is every bundle", "all", "signature", "attestation", "referrer", "sbom")
			fs.BoolVarP(&o.force, "force", "f", false, "do not ask")
			fs.BoolVar(&o.dryRun, "dry-run", false, "remove nothing, and list what would be")
			cli.Own(fs, "dry-run")
			o.registry.Register(fs)
		},
		Run: o.run,
	}
}

func (o *clean) run(ctx context.Context, c *cli.Call) error {
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := resolveImage(ctx, c, client, c.Args[0])
	if err != nil {
		return err
	}
	nodes, places, err := client.Tree(ctx, img)
	if err != nil {
		return imageError(c, err)
	}
	// What cannot be listed cannot be removed, and must not look as if it were.
	if missing := unansweredPlace(places); missing != nil {
		return cli.Errorf(cli.ExitUnknown, "what is attached is not known: %w", missing)
	}
	nodes = slices.DeleteFunc(nodes, func(n oci.Node) bool { return !o.wanted(&n) })
	sortNodes(nodes)
	if len(nodes) == 0 {
		c.Infof("nothing of this kind is attached to %s", describe.Printable(img.Name()))
		return nil
	}
	for i := range nodes {
		if _, err := fmt.Fprintf(c.Err, "%s: %s\n", title(&nodes[i]), describe.Printable(nodes[i].Ref)); err != nil {
			return err
		}
	}
	if o.dryRun {
		return nil
	}
	if err := c.Confirm(o.force, "this will remove %d of what is attached to %s", len(nodes), c.Args[0]); err != nil {
		var coded *cli.Error
		if errors.As(err, &coded) && coded.Code == cli.ExitUsage {
			return cli.Errorf(cli.ExitUsage, "%w", coded.Err).WithHint("-f confirms it beforehand")
		}
		return err
	}
	return o.remove(ctx, c, client, img, nodes)
}

// wanted says whether a node is of the kind. A bundle that does not say what it is may be a signature.
func (o *clean) wanted(n *oci.Node) bool {
	kind := o.kind.String()
	switch n.Place {
	case oci.PlaceSignatures:
		return kind == "all" || kind == "signature"
	case oci.PlaceAttestations:
		return kind == "all" || kind == "attestation"
	case oci.PlaceSBOMs:
		return kind == "all" || kind == "sbom"
	}
	bundle := strings.HasPrefix(n.ArtifactType, "application/vnd.dev.sigstore.bundle")
	signature := n.ArtifactType == "application/vnd.dev.cosign.artifact.sig.v1+json"
	predicate := n.Annotations["dev.sigstore.bundle.predicateType"]
	signs := predicate == "https://sigstore.dev/cosign/sign/v1" || n.Annotations["dev.sigstore.bundle.content"] == oci.ContentMessage
	sbom := n.ArtifactType == sbomReferrer
	switch kind {
	case "all":
		return bundle || signature || sbom
	case "sbom":
		return sbom
	case "referrer":
		return bundle
	case "signature":
		return signature || bundle && signs
	case "attestation":
		return bundle && !signs && predicate != ""
	}
	return false
}

// remove deletes what was listed and looks again: an answer alone does not show that it is gone.
func (o *clean) remove(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, nodes []oci.Node) error {
	var failed error
	remove := func(n *oci.Node) {
		err := removeNode(ctx, client, n)
		if err == nil {
			c.Infof("Removed %s from %s", describe.Printable(n.Ref), c.Args[0])
			return
		}
		c.Warnf("%s stays: %v", describe.Printable(n.Ref), err)
		if failed == nil {
			failed = fmt.Errorf("%s was not removed: %w", describe.Printable(n.Ref), err)
		}
	}
	// What continues a tag, under a longer name, goes before it: an interrupted run leaves nothing that the next would not find.
	slices.SortStableFunc(nodes, func(a, b oci.Node) int { return len(b.Ref) - len(a.Ref) })
	listed := false // by the index behind the referrers tag, which would go on naming what is gone
	for i := range nodes {
		n := &nodes[i]
		listed = listed || n.Place != oci.PlaceReferrers && strings.Contains(n.Ref, "@")
		remove(n)
		for _, ref := range n.Before {
			remove(&oci.Node{Ref: ref})
		}
	}
	if failed != nil {
		return registryError(failed)
	}
	if listed {
		if _, err := client.RepairReferrers(ctx, img, repair.Options{Prune: true}); err != nil {
			return cli.Errorf(cli.ExitUnknown, "the list under the referrers tag still names what was removed: %w", err)
		}
	}
	left, places, err := client.Tree(ctx, img)
	if err == nil {
		err = unansweredPlace(places)
	}
	if err != nil {
		return cli.Errorf(cli.ExitUnknown, "whether everything is gone is not known: %w", err)
	}
	for i := range left {
		if n := &left[i]; slices.ContainsFunc(nodes, func(gone oci.Node) bool { return gone.Ref == n.Ref && gone.Digest == n.Digest }) {
			return cli.Errorf(cli.ExitUnknown, "%s was removed, and is still there", describe.Printable(n.Ref))
		}
	}
	return nil
}

// removeNode deletes a tag, or the manifest that a list names.
func removeNode(ctx context.Context, client *oci.Client, n *oci.Node) error {
	i := strings.LastIndexAny(n.Ref, ":@")
	if at := strings.Index(n.Ref, "@"); at >= 0 {
		i = at
	}
	named, err := client.Parse(n.Ref)
	if err != nil {
		return err
	}
	_, err = client.Delete(ctx, named.Repository, n.Ref[i+1:])
	return err
}
