package publicgood_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

func TestRoot(t *testing.T) {
	r, err := publicgood.Root()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(r.Source.SHA256[:]); got != publicgood.SHA256 {
		t.Errorf("SHA-256 of the embedded root is %s, the package says %s", got, publicgood.SHA256)
	}
	date, err := time.Parse(time.DateOnly, publicgood.Date)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Source.Date.Equal(date) || !r.Source.Embedded || r.Source.Name == "" {
		t.Errorf("source = %+v", r.Source)
	}
	// On its date the root must have served for signing, or the date belongs to another file.
	open := func(what string, windows []trust.Window) {
		t.Helper()
		for _, w := range windows {
			if w.Contains(date) {
				return
			}
		}
		t.Errorf("no %s of the embedded root was in use on %s", what, publicgood.Date)
	}
	open("log", logWindows(t, r.Logs))
	open("CT log", logWindows(t, r.CTLogs))
	open("certificate authority", authorityWindows(r.CAs))
	open("timestamp authority", authorityWindows(r.TSAs))

	again, err := publicgood.Root()
	if err != nil || again == r {
		t.Errorf("a second call gives the same value, which the first caller may have changed: %v", err)
	}
}

func logWindows(t *testing.T, logs []trust.Log) []trust.Window {
	t.Helper()
	var all []trust.Window
	for i := range logs {
		if err := logs[i].Usable(); err != nil {
			t.Errorf("embedded log %s: %v", logs[i].BaseURL, err)
		}
		all = append(all, logs[i].Window)
	}
	return all
}

func authorityWindows(authorities []trust.Authority) []trust.Window {
	var all []trust.Window
	for _, a := range authorities {
		all = append(all, a.Window)
	}
	return all
}

func TestTUFRoot(t *testing.T) {
	data := publicgood.TUFRoot()
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != publicgood.TUFRootSHA256 {
		t.Errorf("SHA-256 of the embedded TUF root is %s, the package says %s", got, publicgood.TUFRootSHA256)
	}
	var metadata struct {
		Signed struct {
			Type    string    `json:"_type"`
			Version int       `json:"version"`
			Expires time.Time `json:"expires"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(data, &metadata); err != nil {
		t.Fatal(err)
	}
	if metadata.Signed.Type != "root" || metadata.Signed.Version != publicgood.TUFRootVersion {
		t.Errorf("embedded TUF metadata is %s version %d, the package says %d",
			metadata.Signed.Type, metadata.Signed.Version, publicgood.TUFRootVersion)
	}
	if date, _ := time.Parse(time.DateOnly, publicgood.Date); !date.Before(metadata.Signed.Expires) {
		t.Errorf("the TUF root had expired (%s) on the day it is said to be current, %s", metadata.Signed.Expires, publicgood.Date)
	}
}

// TestMatchesVectors fails when the shared vectors are newer than what is embedded: time to refresh.
func TestMatchesVectors(t *testing.T) {
	want := sha256.Sum256(testenv.ReadVector(t, "trust", "public-good", "trusted_root.json"))
	if got := hex.EncodeToString(want[:]); got != publicgood.SHA256 {
		t.Errorf("the vectors hold the public-good root %s, embedded is %s", got, publicgood.SHA256)
	}
	if !bytes.Equal(testenv.ReadVector(t, "tuf", "root-signing", "metadata", "root.json"), publicgood.TUFRoot()) {
		t.Error("the vectors hold another TUF root than the embedded one")
	}
}
