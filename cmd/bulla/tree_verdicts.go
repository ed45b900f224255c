package main

import (
	"context"
	"maps"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/verify"
)

// verdict is what verifying said of one piece of evidence in the tree.
type verdict struct {
	Layer    string `json:"layer"` // its digest
	Verified bool   `json:"verified"`
	Signer   string `json:"signer,omitempty"` // of what is verified
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"` // why it is not
}

// mark is a verdict in words.
func (v *verdict) mark() string {
	if v.Verified {
		return "verified, signed by " + describe.Printable(v.Signer)
	}
	return "not verified: " + describe.Printable(v.Reason)
}

// verdicts are those of all evidence attached to an image.
type verdicts struct {
	items  []oci.Item
	report *verify.Report
	places []oci.Place
}

// judge verifies everything that is attached to the image, of every kind, each piece for itself; nil when no trust was given.
func (o *tree) judge(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image) (*verdicts, error) {
	if !o.trust.demanded(c) {
		return nil, nil
	}
	req, err := o.trust.request(ctx, c, verify.Claims{SimpleSigning: true, AnyPredicate: true})
	if err != nil {
		return nil, err
	}
	if req.Artifact, err = imageArtifact(img); err != nil {
		return nil, err
	}
	done := c.Progress("verifying what is attached to %s", c.Args[0])
	defer done()
	found, err := client.Find(ctx, img, oci.FindOptions{Bundles: true, Signatures: true, Attestations: true, Every: true})
	if err != nil {
		return nil, imageError(c, err)
	}
	s := &search{req: *req}
	s.add(found.Items)
	if o.trust.finder != nil {
		o.trust.finder.all = true
	}
	r, err := o.trust.finder.judge(ctx, &s.req)
	if err != nil {
		return nil, err
	}
	return &verdicts{items: s.items, report: r, places: append(found.Places, s.places...)}, nil
}

// of returns the verdicts about a node's layers, in their order; an empty one about what is no evidence.
func (v *verdicts) of(n *oci.Node) []verdict {
	if v == nil {
		return nil
	}
	var out []verdict
	for i, layer := range n.Layers {
		for j := range v.items {
			item := &v.items[j]
			same := item.Digest == n.Digest
			if item.Legacy && i < len(n.LayerAnnotations) && item.Digest == layer {
				same = maps.Equal(item.Annotations, n.LayerAnnotations[i])
			}
			if same {
				out = append(out, verdictOf(layer, &v.report.Candidates[j]))
				break
			}
		}
	}
	return out
}

func verdictOf(layer string, r *verify.CandidateReport) verdict {
	v := verdict{Layer: layer, Verified: r.Verified, Code: string(r.Code), Reason: r.Reason}
	if r.Verified && r.Signer != nil {
		v.Signer = report.Signer(r.Signer)
	}
	return v
}

// marks are the verdicts in words, by the layer's digest.
func marks(list []verdict) map[string][]string {
	out := map[string][]string{}
	for i := range list {
		out[list[i].Layer] = append(out[list[i].Layer], list[i].mark())
	}
	return out
}

// take takes the next mark about a layer, in brackets; empty where there is none.
func take(marks map[string][]string, layer string) string {
	list := marks[layer]
	if len(list) == 0 {
		return ""
	}
	marks[layer] = list[1:]
	return " [" + list[0] + "]"
}
