package treelog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
)

// The gate does not sign what does not extend the last checkpoint, whoever asks: it is the only way to the key.
func TestGateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		wanted   func(before, now Head) Head // what is to be signed
		expected bool                        // whether the publisher has announced it
		forked   bool                        // whether the log must stop
	}{
		"a smaller tree":        {func(before, _ Head) Head { return before }, true, true},
		"another root":          {func(_, now Head) Head { return Head{Size: now.Size, Root: [32]byte{1}} }, true, true},
		"more than there is":    {func(_, now Head) Head { return Head{Size: now.Size + 1, Root: now.Root} }, true, true},
		"what nobody announced": {func(_, now Head) Head { return now }, false, false},
	} {
		w := newWorld(t)
		l := w.open(t)
		prove(t, l, add(t, l, "before", 3))
		before, _ := l.Head()
		prove(t, l, add(t, l, "after", 2))
		now, _ := l.Head()
		locked, err := l.cfg.Lock.Load(t.Context(), testOrigin)
		if err != nil {
			t.Fatal(err)
		}
		head := c.wanted(before, now)
		if c.expected {
			l.gate.expect(head)
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", testOrigin, head.Size, base64.StdEncoding.EncodeToString(head.Root[:]))
		sig, err := l.gate.Sign([]byte(text))
		if err == nil || sig != nil || errors.Is(err, ErrForked) != c.forked {
			t.Errorf("%s: signed %t, %v", name, sig != nil, err)
		}
		if errors.Is(l.Refusal(), ErrForked) != c.forked {
			t.Errorf("%s: afterwards the log refuses with %v", name, l.Refusal())
		}
		if after, err := l.cfg.Lock.Load(t.Context(), testOrigin); err != nil || !bytes.Equal(after, locked) {
			t.Errorf("%s: the lock store has changed: %v", name, err)
		}
	}
}
