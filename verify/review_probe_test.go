package verify_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// A CA whose chain was put together by hand: intermediate of a stranger, root trusted.
func TestProbeUnlinked(t *testing.T) {
	sc := newScene(t)
	stranger := newPKI(t, nil)
	_, req := stranger.signed(t, sc, roleIntermediate)
	good := sc.root.CAs[0]
	root := *req.Root
	root.CAs = []trust.Authority{{URI: "x", Chain: append(stranger.authority(t, trust.Window{}, roleIntermediate).Chain[:1:1], good.Anchor())}}
	req.Root = &root
	r := verify.Verify(req)
	fmt.Println("UNLINKED", r.Verified, r.Reason)
}

func TestProbeEmptyChain(t *testing.T) {
	defer func() { fmt.Println("EMPTY", recover()) }()
	sc := newScene(t)
	p := newPKI(t, nil)
	_, req := p.signed(t, sc, roleIntermediate)
	root := *req.Root
	root.CAs = append([]trust.Authority{{}}, root.CAs...)
	req.Root = &root
	r := verify.Verify(req)
	fmt.Println("EMPTY", r.Verified, r.Reason)
}

func TestProbeTerminal(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Log: world.LogV1})
	e.bundle.Material.Entries[0].Kind = "x\n\x1b[2JVerified: all is well"
	req := e.request(t, sc.root)
	r := verify.Verify(req)
	report.Text(os.Stdout, r, report.Style{})
	fmt.Printf("%q\n", r.Reason)
}

func TestProbeCosignChain(t *testing.T) {
	sc := newScene(t)
	p := newPKI(t, nil)
	e, req := p.signed(t, sc, roleSub, roleSub)
	e.bundle.Version = bundle.Cosign
	e.bundle.MediaType = ""
	r := verify.Verify(req)
	fmt.Println("COSIGNCHAIN", r.Verified, r.Reason)
}

func TestProbeSPDX(t *testing.T) {
	sc := newScene(t)
	st := world.StatementFor([]byte(world.Artifact), "https://spdx.dev/Document", `"SPDXVersion: SPDX-2.2\n"`)
	e := makeEvidence(t, sc.w, world.Spec{Content: world.Statement, Payload: st})
	r := verify.Verify(e.request(t, sc.root))
	fmt.Println("SPDX", r.Verified, r.Reason)
}
