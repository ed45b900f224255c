package client

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// Answers of the public instance, whose log has several shards, and of the staging instance's v2 log.
func TestRecordedEntries(t *testing.T) {
	read := func(name string) []byte {
		return testenv.ReadVector(t, "sigstore-java", "samples", "rekor-response", "valid", name)
	}
	pub, err := algorithm.ParsePublicKeyPEM(read("rekor.pub"))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := trust.NewLog(trust.LogSpec{URL: "https://rekor.sigstage.dev", Key: pub, Window: trust.Window{Start: time.Unix(0, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	root := &trust.Root{Logs: []trust.Log{instance}}
	e, uuid, err := parseEntryV1(read("entry.json"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := tlog.ParseBody(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := &expected{digests: body.Digests, subject: body.Subject, signature: body.Signatures[0]}
	log := &LogV1{&service{Options: Options{Root: root, Now: time.Now}}}
	if err := log.check(e, want); err != nil {
		t.Errorf("entry %s: %v", uuid, err)
	}
	if e.LogIndex == e.Proof.LogIndex {
		t.Error("the recorded entry is not of a log with several shards")
	}
	want.signature.Signature = []byte("another")
	if err := log.check(e, want); !errors.Is(err, ErrAnswer) {
		t.Errorf("another signature: %v", err)
	}
	if e, _, err = parseEntryV1(read("entry-no-inclusion-proof.json")); err != nil || e.Proof != nil {
		t.Errorf("without proof: %v", err)
	}
	if _, _, err := parseEntryV1(read("entry-v2.json")); err == nil {
		t.Error("a v2 answer was taken for one of v1")
	}
	v2, err := parseEntryV2(read("entry-v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&LogV2{&service{Options: Options{Now: time.Now}}}).check(v2, v2.Body); err != nil {
		t.Error(err)
	}
	jar, err := parseEntryV2(read("jar-entry-v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&LogV2{&service{Options: Options{Now: time.Now}}}).check(jar, v2.Body); !errors.Is(err, ErrAnswer) {
		t.Errorf("an entry of another kind: %v", err)
	}
}

func TestPause(t *testing.T) {
	s := &service{Options: Options{Pause: time.Second}}
	for attempt, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: maxPause, 1 << 40: maxPause} {
		for range 50 {
			if p := s.pause(attempt); p < most/2 || p > most {
				t.Errorf("after %d attempts: %s", attempt, p)
			}
		}
	}
	if text := printable(strings.Repeat("a", 400)); len(text) != maxText+3 {
		t.Errorf("%d characters", len(text))
	}
}
