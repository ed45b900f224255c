package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
)

// What was logged is found again; what was not is not; what somebody else logged about the same content is passed over.
func TestFind(t *testing.T) {
	s := services.New(t)
	log, err := client.NewLogV1(s.URL, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for _, details := range []algorithm.Details{algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.ECDSAP521SHA512} {
		for _, envelope := range []bool{false, true} {
			key := signer(t, details)
			made := signed(t, key, envelope)
			if envelope {
				made.Certificate = s.World.CA.Issue(t, mint.LeafOptions{Public: key.Public()})
			}
			if e, err := log.Find(t.Context(), made); e != nil || err != nil {
				t.Errorf("%s, envelope %v: found before it was there: %v", details, envelope, err)
			}
			if _, err := log.Log(t.Context(), signed(t, signer(t, details), envelope)); err != nil {
				t.Fatal(err)
			}
			if e, err := log.Find(t.Context(), made); e != nil || err != nil {
				t.Errorf("%s, envelope %v: another's entry was taken: %v", details, envelope, err)
			}
			logged, err := log.Log(t.Context(), made)
			if err != nil {
				t.Fatal(err)
			}
			e, err := log.Find(t.Context(), made)
			if err != nil || e == nil || e.LogIndex != logged.LogIndex || e.Kind != logged.Kind {
				t.Errorf("%s, envelope %v: %v, %v", details, envelope, e, err)
			}
		}
	}
}

// An envelope that was entered in another spelling is found by its payload's digest.
func TestFindByIndex(t *testing.T) {
	s := services.New(t)
	log, err := client.NewLogV1(s.URL, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	made := signed(t, signer(t, algorithm.ECDSAP256SHA256), true)
	logged, err := log.Log(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	respelled := *made.Envelope
	respelled.Signatures = []bundle.EnvelopeSignature{{Sig: made.Bytes, KeyID: "named"}}
	made.Envelope = &respelled
	e, err := log.Find(t.Context(), made)
	if err != nil || e == nil || e.LogIndex != logged.LogIndex || s.Count("POST", "/api/v1/index/retrieve") != 1 {
		t.Errorf("%v, %v", e, err)
	}
}

// The right entry must be what the log vouches for, and the answers what was asked for.
func TestFindRefuses(t *testing.T) {
	s := services.New(t)
	o := options(t, s)
	o.Patience = -1
	log, err := client.NewLogV1(s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	made := signed(t, signer(t, algorithm.ECDSAP256SHA256), false)
	if _, err := log.Log(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	const retrieve = "/api/v1/log/entries/retrieve"
	for name, f := range map[string]services.Fault{
		"a promise that is not the log's": {Path: retrieve, Edit: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"signedEntryTimestamp":"M`), []byte(`"signedEntryTimestamp":"N`), 1)
		}},
		"a name that is not the body's": {Path: retrieve, Edit: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"body":"e`), []byte(`"body":"f`), 1)
		}},
		"no list":             {Path: retrieve, Status: 200, Body: `{}`},
		"no answer":           {Path: retrieve, Status: 503},
		"another host":        {Path: retrieve, Status: 307, Header: map[string]string{"Location": "https://evil.example/"}},
		"a list that is none": {Path: "/api/v1/index/retrieve", Status: 200, Body: `{}`},
		"names that are none": {Path: "/api/v1/index/retrieve", Status: 200, Body: `["../x"]`},
	} {
		if f.Path != retrieve { // reached where the first search shows nothing
			s.Fail(services.Fault{Path: retrieve, Status: 200, Body: "[]"})
		}
		s.Fail(f)
		e, err := log.Find(t.Context(), made)
		if e != nil || !errors.Is(err, client.ErrAnswer) && !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		s.Heal()
	}
	if e, err := log.Find(t.Context(), made); e == nil || err != nil {
		t.Errorf("healed: %v", err)
	}
}

// Somebody may have entered the same content a thousand times: some of the last are looked at, and no more.
func TestFindAsksForSome(t *testing.T) {
	s := services.New(t)
	log, err := client.NewLogV1(s.URL, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("%064x", i)
	}
	list, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	s.Fail(services.Fault{Path: "/api/v1/index/retrieve", Status: 200, Body: string(list), Times: -1})
	if e, err := log.Find(t.Context(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
	if n := s.Count("POST", "/api/v1/log/entries/retrieve"); n != 1+3 {
		t.Errorf("%d requests: one by content, and three for ten names each", n)
	}
	asked := ""
	for _, r := range s.Requests() {
		asked += string(r.Body)
	}
	if !strings.Contains(asked, names[999]) || !strings.Contains(asked, names[970]) || strings.Contains(asked, names[969]) {
		t.Error("it did not ask for the last thirty")
	}
}
