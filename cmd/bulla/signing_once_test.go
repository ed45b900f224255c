package main

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
)

// One of many at the same time makes the bundle, a failure is not kept, and no more are kept than may be.
func TestOnceEach(t *testing.T) {
	var o onceEach
	var made atomic.Int64
	one := func() (fresh, error) {
		made.Add(1)
		return fresh{b: new(bundle.Bundle)}, nil
	}
	if _, err := o.get(&cli.Call{}, "a", func() (fresh, error) { return fresh{}, errors.New("no") }); err == nil {
		t.Error("the error is gone")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if m, err := o.get(&cli.Call{}, "a", one); err != nil || m.b == nil {
				t.Error(m, err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
	for i := range maxOnce {
		if _, err := o.get(&cli.Call{}, strconv.Itoa(i), one); err != nil {
			t.Fatal(err)
		}
	}
	made.Store(0)
	for _, digest := range []string{"a", "0", "more", "more"} {
		if _, err := o.get(&cli.Call{}, digest, one); err != nil {
			t.Fatal(err)
		}
	}
	if made.Load() != 2 || o.kept.Load() != maxOnce {
		t.Errorf("made %d times, %d kept", made.Load(), o.kept.Load())
	}
	if _, err := o.get(&cli.Call{Cosign: true}, "a", one); err != nil || made.Load() != 3 {
		t.Errorf("in cosign's place: %v, made %d times", err, made.Load())
	}
}
