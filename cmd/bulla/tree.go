package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
)

type tree struct {
	registry flags.Registry
	mode     flags.ReferrersMode
	oci11    bool
	output   cli.Choice
}

func treeCommand() *cli.Command {
	o := &tree{}
	return &cli.Command{
		Use: "tree [flags] IMAGE", Short: "Show what is attached to an image: signatures, attestations, SBOMs", Group: "Registry", BindEnv: true,
		Long: `Show everything that is attached to an image: its referrers, with the predicate type of those that state one, and the older tags for signatures, attestations and SBOMs. Nothing is verified.

That nothing is attached is said only when every place has answered so; otherwise the command ends with status 20 after showing what it found.`,
		Example: `bulla tree registry.example.com/app:v1`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.registry.Register(fs)
			o.mode.Register(fs)
			cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
				fs.BoolVar(&o.oci11, "experimental-oci11", true, "show the image's referrers, too")
				cli.Deprecate(fs, "experimental-oci11", "referrers are always shown")
			})
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *tree) run(ctx context.Context, c *cli.Call) error {
	if err := o.check(c); err != nil {
		return err
	}
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := resolveImage(ctx, c, client, c.Args[0])
	if err != nil {
		return err
	}
	done := c.Progress("looking for what is attached to %s", c.Args[0])
	nodes, places, err := client.Tree(ctx, img)
	done()
	if err != nil {
		return imageError(c, err)
	}
	if !o.oci11 {
		nodes, places = olderTags(nodes, places)
	}
	sortNodes(nodes)
	missing := unansweredPlace(places)
	if err := o.print(c, img, nodes, places, missing != nil); err != nil {
		return err
	}
	if missing == nil {
		for i := range nodes {
			if nodes[i].Err != nil {
				missing = fmt.Errorf("%s: %w", nodes[i].Ref, nodes[i].Err)
				break
			}
		}
	}
	if missing == nil {
		return nil
	}
	return cli.Errorf(cli.ExitUnknown, "the list is not complete: %w", missing)
}

// check refuses flags that have no effect here. In cosign's place --experimental-oci11=false hides the referrers.
func (o *tree) check(c *cli.Call) error {
	if c.Cosign {
		o.oci11 = o.oci11 || o.mode.Mode.String() == "oci-1-1"
		return nil
	}
	ignored := []ignoredFlag{{name: "registry-referrers-mode", why: "referrers and older tags are both looked at, always"}}
	if !o.oci11 {
		ignored = append(ignored, ignoredFlag{name: "experimental-oci11", why: "referrers are always shown"})
		o.oci11 = true
	}
	return refuseIgnored(c, ignored...)
}

func olderTags(nodes []oci.Node, places []oci.Place) ([]oci.Node, []oci.Place) {
	referrers := func(place string) bool { return place == oci.PlaceReferrers || place == oci.PlaceFallback }
	return slices.DeleteFunc(nodes, func(n oci.Node) bool { return referrers(n.Place) }),
		slices.DeleteFunc(places, func(p oci.Place) bool { return referrers(p.Name) })
}

// sortNodes puts the older tags first and the referrers by kind and digest: a registry lists those in any order.
func sortNodes(nodes []oci.Node) {
	first := []string{oci.PlaceSBOMs, oci.PlaceAttestations, oci.PlaceSignatures}
	rank := func(place string) int { return -slices.Index(first, place) }
	slices.SortStableFunc(nodes, func(a, b oci.Node) int {
		if d := rank(a.Place) - rank(b.Place); d != 0 {
			return d
		}
		if d := strings.Compare(a.Kind, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Digest, b.Digest)
	})
}

func (o *tree) print(c *cli.Call, img *oci.Image, nodes []oci.Node, places []oci.Place, incomplete bool) error {
	switch {
	case o.output.String() == "json":
		return c.PrintJSON(treeDocument(img, nodes, places))
	case c.Cosign:
		return printCosignTree(c.Out, img, nodes, incomplete)
	}
	return printTree(c.Out, img, nodes, incomplete)
}

// title says what a node is.
func title(n *oci.Node) string {
	switch n.Place {
	case oci.PlaceSignatures:
		return "signatures, older tag"
	case oci.PlaceAttestations:
		return "attestations, older tag"
	case oci.PlaceSBOMs:
		return "SBOMs, older tag"
	}
	if n.Kind == "" {
		return "referrer of unknown kind"
	}
	return describe.Printable(n.Kind)
}

func printTree(w io.Writer, img *oci.Image, nodes []oci.Node, incomplete bool) error {
	var out strings.Builder
	fmt.Fprintln(&out, img.Name())
	if len(nodes) == 0 && !incomplete {
		fmt.Fprintln(&out, "nothing is attached to this image")
	}
	for i := range nodes {
		n := &nodes[i]
		branch, stem := "├── ", "│   "
		if i == len(nodes)-1 {
			branch, stem = "└── ", "    "
		}
		fmt.Fprintf(&out, "%s%s: %s\n", branch, title(n), describe.Printable(n.Ref))
		if n.Err != nil {
			fmt.Fprintf(&out, "%s└── could not be read: %s\n", stem, describe.Printable(n.Err.Error()))
		}
		for j, digest := range n.Layers {
			leaf := "├── "
			if j == len(n.Layers)-1 {
				leaf = "└── "
			}
			fmt.Fprintf(&out, "%s%s%s\n", stem, leaf, digest)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// printCosignTree writes the lines that cosign writes, in an order that does not change from run to run.
func printCosignTree(w io.Writer, img *oci.Image, nodes []oci.Node, incomplete bool) error {
	var out strings.Builder
	fmt.Fprintf(&out, "📦 Supply Chain Security Related artifacts for an image: %s\n", img.Ref)
	if len(nodes) == 0 && !incomplete {
		fmt.Fprintf(&out, "No Supply Chain Security Related Artifacts found for image %s,\n start creating one with simply running$ cosign sign <img>", img.Ref)
	}
	for i := range nodes {
		n := &nodes[i]
		if n.Err != nil {
			continue
		}
		switch n.Place {
		case oci.PlaceSignatures:
			fmt.Fprintf(&out, "└── 🔐 Signatures for an image tag: %s\n", n.Ref)
		case oci.PlaceAttestations:
			fmt.Fprintf(&out, "└── 💾 Attestations for an image tag: %s\n", n.Ref)
		case oci.PlaceSBOMs:
			fmt.Fprintf(&out, "└── 📦 SBOMs for an image tag: %s\n", n.Ref)
		default:
			fmt.Fprintf(&out, "└── 🔗 %s artifacts via OCI referrer: %s\n", describe.Printable(n.Kind), n.Ref)
		}
		for j, digest := range n.Layers {
			leaf := "├──"
			if j == len(n.Layers)-1 {
				leaf = "└──"
			}
			fmt.Fprintf(&out, "   %s 🍒 %s\n", leaf, digest)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// attachedDocument is the JSON of tree.
type attachedDocument struct {
	Image    string         `json:"image"`
	Digest   string         `json:"digest"`
	Attached []attachedNode `json:"attached"`
	Places   []askedPlace   `json:"places"`
}

type attachedNode struct {
	Place        string            `json:"place"`
	Reference    string            `json:"reference"`
	Digest       string            `json:"digest,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Kind         string            `json:"kind,omitempty"`
	Layers       []string          `json:"layers,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Error        string            `json:"error,omitempty"`
}

type askedPlace struct {
	Name      string `json:"name"`
	Reference string `json:"reference"`
	Outcome   string `json:"outcome"`
	Error     string `json:"error,omitempty"`
}

func treeDocument(img *oci.Image, nodes []oci.Node, places []oci.Place) attachedDocument {
	doc := attachedDocument{Image: img.Ref, Digest: img.Digest, Attached: []attachedNode{}}
	for i := range nodes {
		n := &nodes[i]
		shown := attachedNode{
			Place: n.Place, Reference: n.Ref, Digest: n.Digest, ArtifactType: n.ArtifactType, Kind: n.Kind,
			Layers: n.Layers, Annotations: n.Annotations, Error: errorText(n.Err),
		}
		doc.Attached = append(doc.Attached, shown)
	}
	for i := range places {
		p := &places[i]
		doc.Places = append(doc.Places, askedPlace{p.Name, p.Ref, p.Outcome.String(), errorText(p.Err)})
	}
	return doc
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
