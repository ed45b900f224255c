package tufrepo

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
)

func TestTargets(t *testing.T) {
	root := world.New(t).Root(t)
	config, err := trust.DecodeSigningConfig(testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json"))
	if err != nil {
		t.Fatal(err)
	}
	now := mint.Epoch.Add(time.Hour)
	files, err := Targets(root, config, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Targets(root, config, now)
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string][]byte)
	usage := make(map[string]string)
	for i, f := range files {
		if f.Name != again[i].Name || !bytes.Equal(f.Data, again[i].Data) {
			t.Errorf("%s differs from one call to the next", f.Name)
		}
		named[f.Name] = f.Data
		var c custom
		if f.Custom != nil {
			if err := json.Unmarshal(f.Custom, &c); err != nil {
				t.Fatal(err)
			}
			usage[f.Name] = c.Sigstore.Usage + " " + c.Sigstore.Status
		}
	}
	want := map[string]string{
		"fulcio.crt.pem": "Fulcio Active", "fulcio_intermediate.crt.pem": "Fulcio Active", "rekor.pub": "Rekor Active", "rekor_2.pub": "Rekor Active",
		"ctfe.pub": "CTFE Active", "tsa.certchain.pem": "TSA Active",
	}
	if !maps.Equal(usage, want) {
		t.Errorf("usages %v, want %v", usage, want)
	}
	if got, err := trust.DecodeRoot(named["trusted_root.json"]); err != nil || len(got.CAs) != len(root.CAs) {
		t.Errorf("trusted root: %v", err)
	}
	if _, err := trust.DecodeSigningConfig(named["signing_config.v0.2.json"]); err != nil {
		t.Error(err)
	}
	old, err := trust.DecodeSigningConfig(named["signing_config.json"])
	if err != nil || len(old.CAs) != 1 || len(old.Logs) != 1 || len(old.OIDC) != 1 {
		t.Errorf("older signing config %+v, %v", old, err)
	}
	if n := blocks(named["tsa.certchain.pem"]); n != len(root.TSAs[0].Chain) {
		t.Errorf("%d certificates of the timestamp authority", n)
	}
}

func blocks(data []byte) (n int) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	return n
}

// After rotations the plain names belong to what is in use, and the older ones say that they are not.
func TestTargetsAfterRotation(t *testing.T) {
	a, b := world.New(t).Root(t), world.New(t).Root(t)
	now := mint.Epoch.Add(time.Hour)
	end := mint.Epoch
	parts := trust.Root{CAs: slices.Concat(a.CAs, b.CAs), Logs: slices.Concat(a.Logs, b.Logs), TSAs: slices.Concat(a.TSAs, b.TSAs)}
	parts.CAs[0].Window.End, parts.TSAs[0].Window.End = end, end
	for i := range a.Logs {
		parts.Logs[i].Window.End = end
	}
	root, err := trust.NewRoot(parts)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Targets(root, &trust.SigningConfig{}, now)
	if err != nil {
		t.Fatal(err)
	}
	status := make(map[string]string)
	for _, f := range files {
		var c custom
		if f.Custom != nil && json.Unmarshal(f.Custom, &c) == nil {
			status[f.Name] = c.Sigstore.Status
		}
		if f.Name == "tsa.certchain.pem" && !bytes.Contains(f.Data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.TSAs[0].Chain[0].Raw})) {
			t.Error("the timestamp authority is the one that is over")
		}
	}
	for name, want := range map[string]string{
		"fulcio.crt.pem": "Active", "fulcio_2.crt.pem": "Expired", "rekor.pub": "Active", "rekor_2.pub": "Active", "rekor_3.pub": "Expired",
		"tsa.certchain.pem": "Active", "tsa_2.certchain.pem": "",
	} {
		if status[name] != want {
			t.Errorf("%s is %q, want %q", name, status[name], want)
		}
	}
}
