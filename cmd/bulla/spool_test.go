package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
)

// waitingBundle is a bundle without a log entry, as the spool holds it.
func waitingBundle(t testing.TB) []byte {
	hint := "k"
	b := &bundle.Bundle{
		Version: bundle.V03, MediaType: bundle.MediaType, Material: bundle.Material{KeyHint: &hint},
		Envelope: &bundle.Envelope{Payload: []byte("{}"), PayloadType: bundle.StatementPayloadType, Signatures: []bundle.EnvelopeSignature{{Sig: []byte("s")}}},
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseSpooled(t *testing.T) {
	good := spooled{Version: 1, Artifact: "a", File: "/a", Logs: []spooledLog{{"https://log.test", 2}}, Unlogged: waitingBundle(t)}
	encode := func(change func(e *spooled)) []byte {
		e := good
		change(&e)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if _, err := parseSpooled(encode(func(*spooled) {})); err != nil {
		t.Fatal(err)
	}
	for want, data := range map[string][]byte{
		"it has version 2":        encode(func(e *spooled) { e.Version = 2 }),
		"it names no log":         encode(func(e *spooled) { e.Logs = nil }),
		"it has 17 timestamps":    encode(func(e *spooled) { e.Timestamps = maxStamps + 1 }),
		"it has -1 timestamps":    encode(func(e *spooled) { e.Timestamps = -1 }),
		"no place for the bundle": encode(func(e *spooled) { e.File = "" }),
		"its bundle:":             encode(func(e *spooled) { e.Unlogged = []byte("{}") }),
		`unknown field "x"`:       []byte(`{"x":1}`),
		"EOF":                     nil,
		"it has more than":        make([]byte, maxSpooled+1),
	} {
		if _, err := parseSpooled(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzParseSpooled(f *testing.F) {
	data, err := json.Marshal(spooled{Version: 1, Repository: "r", Logs: []spooledLog{{"https://log.test", 2}}, Unlogged: waitingBundle(f)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseSpooled(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseSpooled(again)
		if err != nil {
			t.Fatal(err)
		}
		e.made, back.made = nil, nil
		if !reflect.DeepEqual(e, back) && len(e.Logged)+len(back.Logged) > 0 {
			t.Errorf("%+v became %+v", e, back)
		}
	})
}

// Two runs do not flush one spool at the same time, and the second says what it waits for.
func TestLockSpool(t *testing.T) {
	dir := t.TempDir()
	first, err := lockSpool(t.Context(), batchCall(new(bytes.Buffer), false), dir)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	waits := sync.OnceFunc(first)
	c := batchCall(&said, false)
	c.Err = writerFunc(func(p []byte) (int, error) { // the message is why the first one ends
		defer waits()
		return said.Write(p)
	})
	second, err := lockSpool(t.Context(), c, dir)
	if err != nil || !strings.Contains(said.String(), "another flush is at work in "+dir) {
		t.Fatalf("%v, said %q", err, said.String())
	}
	second()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	third, err := lockSpool(t.Context(), c, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer third()
	if _, err := lockSpool(gone, c, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }
