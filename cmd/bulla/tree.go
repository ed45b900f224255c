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
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
)

type tree struct {
	registry  flags.Registry
	mode      flags.ReferrersMode
	oci11     bool
	recursive bool
	output    cli.Choice
	trust     optionalVerification
}

func treeCommand() *cli.Command {
	o := &tree{}
	return &cli.Command{
		Use: "tree [flags] IMAGE", Short: "Show what is attached to an image: signatures, attestations, SBOMs", Group: "Registry", BindEnv: true,
		Long: `Show everything that is attached to an image: its referrers, with the predicate type of those that state one, and the older tags for signatures, attestations and SBOMs.

Nothing is verified, unless flags say whom to trust, as for verify: then each piece of evidence is marked, with its signer or with what is wrong. The marks decide nothing; bulla verify does.

With --recursive, an index for several platforms is followed by each image in it, and what is attached to that: what says something about the image for one platform is not attached to the index.

That nothing is attached is said only when every place has answered so; otherwise the command ends with status 20 after showing what it found.`,
		Example: `bulla tree registry.example.com/app:v1

# of an index, and of the image for each platform
bulla tree --recursive registry.example.com/app:v1

# with marks: which of it is signed by whom
bulla tree --key cosign.pub --log=none registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.registry.Register(fs)
			o.mode.Register(fs)
			cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
				fs.BoolVarP(&o.recursive, "recursive", "r", false, "show what is attached to each image in an index, too")
				cli.Own(fs, "recursive")
				fs.BoolVar(&o.oci11, "experimental-oci11", true, "show the image's referrers, too")
				cli.Deprecate(fs, "experimental-oci11", "referrers are always shown")
			})
			o.trust.registerOptional(fs)
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
	if !o.recursive {
		return o.one(ctx, c, client, img)
	}
	c.JSONLines = true
	if img.Manifest() == nil { // it was named by its digest
		if img, err = client.Resolve(ctx, c.Args[0]); err != nil {
			return imageError(c, err)
		}
	}
	images, err := descend(ctx, client, []*oci.Image{img})
	if err != nil {
		return imageError(c, err)
	}
	var failed error
	for _, img := range once(images) {
		err := o.one(ctx, c, client, img)
		if err != nil {
			c.Infof("%s: %v", report.Clean(img.Name()), err)
		}
		if failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// one shows what is attached to one image.
func (o *tree) one(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image) error {
	done := c.Progress("looking for what is attached to %s", img.Ref)
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
	judged, err := o.judge(ctx, c, client, img)
	if err != nil {
		return err
	}
	if judged != nil && missing == nil {
		missing = unansweredPlace(judged.places)
	}
	if err := o.print(c, shownTree{img, nodes, places, judged, missing != nil}); err != nil {
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

// shownTree is what is printed.
type shownTree struct {
	img        *oci.Image
	nodes      []oci.Node
	places     []oci.Place
	judged     *verdicts // nil: nothing was verified
	incomplete bool
}

func (o *tree) print(c *cli.Call, t shownTree) error {
	switch {
	case o.output.String() == "json":
		return c.PrintJSON(t.document())
	case c.Cosign:
		return t.printCosign(c.Out)
	}
	return t.print(c.Out)
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

func (t *shownTree) print(w io.Writer) error {
	var out strings.Builder
	out.WriteString(t.img.Name())
	if t.img.Platform != "" {
		fmt.Fprintf(&out, " (%s)", describe.Printable(t.img.Platform))
	}
	out.WriteByte('\n')
	if len(t.nodes) == 0 && !t.incomplete {
		fmt.Fprintln(&out, "nothing is attached to this image")
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		marked := marks(t.judged.of(n))
		branch, stem := "├── ", "│   "
		if i == len(t.nodes)-1 {
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
			fmt.Fprintf(&out, "%s%s%s%s\n", stem, leaf, digest, take(marked, digest))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// printCosign writes the lines that cosign writes, in an order that does not change from run to run.
func (t *shownTree) printCosign(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "📦 Supply Chain Security Related artifacts for an image: %s\n", t.img.Ref)
	if len(t.nodes) == 0 && !t.incomplete {
		fmt.Fprintf(&out, "No Supply Chain Security Related Artifacts found for image %s,\n start creating one with simply running$ cosign sign <img>", t.img.Ref)
	}
	for i := range t.nodes {
		n := &t.nodes[i]
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
		marked := marks(t.judged.of(n))
		for j, digest := range n.Layers {
			leaf := "├──"
			if j == len(n.Layers)-1 {
				leaf = "└──"
			}
			fmt.Fprintf(&out, "   %s 🍒 %s%s\n", leaf, digest, take(marked, digest))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// attachedDocument is the JSON of tree.
type attachedDocument struct {
	Image    string         `json:"image"`
	Digest   string         `json:"digest"`
	Platform string         `json:"platform,omitempty"` // of an image in an index
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
	Verdicts     []verdict         `json:"verdicts,omitempty"` // where trust was given: of each layer that is evidence
	Error        string            `json:"error,omitempty"`
}

type askedPlace struct {
	Name      string `json:"name"`
	Reference string `json:"reference"`
	Outcome   string `json:"outcome"`
	Error     string `json:"error,omitempty"`
}

func (t *shownTree) document() attachedDocument {
	doc := attachedDocument{Image: t.img.Ref, Digest: t.img.Digest, Platform: t.img.Platform, Attached: []attachedNode{}}
	for i := range t.nodes {
		n := &t.nodes[i]
		shown := attachedNode{
			Place: n.Place, Reference: n.Ref, Digest: n.Digest, ArtifactType: n.ArtifactType, Kind: n.Kind,
			Layers: n.Layers, Annotations: n.Annotations, Verdicts: t.judged.of(n), Error: errorText(n.Err),
		}
		doc.Attached = append(doc.Attached, shown)
	}
	for i := range t.places {
		p := &t.places[i]
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
