package ctlog

import (
	"bytes"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// No head is older than an entry in its tree, and each is younger than the one before, whatever the clock does.
func TestHeadTimestamps(t *testing.T) {
	w := newWorld(t)
	var ahead atomic.Bool // for one look at the clock: that of the submission
	s := w.open(t, func(c *Config) {
		c.Now = func() time.Time {
			if ahead.Swap(false) {
				return present.Add(time.Hour)
			}
			return present
		}
	})
	ahead.Store(true)
	leaf := w.ca.leaf(t, func(c *x509.Certificate) { c.NotAfter = present.Add(2 * time.Hour) })
	tls, err := s.AddChain(t.Context(), w.ca.chain(leaf))
	if err != nil {
		t.Fatal(err)
	}
	entry := millis(present.Add(time.Hour))
	if _, err := s.tree.Await(t.Context(), indexOf(t, tls)); err != nil {
		t.Fatal(err)
	}
	if h, err := s.head(); err != nil || h.timestamp < entry {
		t.Errorf("head of %d, entry of %d: %v", h.timestamp, entry, err)
	}
	h := &headSigner{now: func() time.Time { return present }}
	h.observe(entry)
	h.observe(entry - 1)
	if first, second := h.timestamp(), h.timestamp(); first != entry || second != entry+1 {
		t.Errorf("heads of %d and %d, entry of %d", first, second, entry)
	}
}

// Only the text of this log's checkpoints is signed (static-ct-api: no extension lines).
func TestSignRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	hash := strings.Repeat("A", 43) + "="
	good := testOrigin + "\n7\n" + hash + "\n"
	sig, err := s.heads.Sign([]byte(good))
	if err != nil || !s.heads.Verify([]byte(good), sig) {
		t.Fatalf("%v", err)
	}
	for _, text := range []string{
		"", "other\n7\n" + hash + "\n", good + "extension\n", good[:len(good)-1], good + "\n",
		testOrigin + "\n07\n" + hash + "\n", testOrigin + "\n-7\n" + hash + "\n", testOrigin + "\n9223372036854775808\n" + hash + "\n",
		testOrigin + "\n7\n" + hash[:40] + "\n", testOrigin + "\n7\n" + strings.Repeat("A", 42) + "B=\n",
	} {
		if _, err := s.heads.Sign([]byte(text)); err == nil {
			t.Errorf("%q was signed", text)
		}
		if s.heads.Verify([]byte(text), sig) {
			t.Errorf("%q verifies", text)
		}
	}
	for _, bad := range [][]byte{nil, sig[:8], sig[:len(sig)-1], append(bytes.Clone(sig), 0), flip(sig, 7), flip(sig, 8), flip(sig, 9), flip(sig, 11)} {
		if s.heads.Verify([]byte(good), bad) {
			t.Errorf("%x verifies", bad)
		}
	}
}
