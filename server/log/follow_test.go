package log

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An index that fell behind through a failure catches up when that is over, without a restart.
func TestIndexGoesOnAfterAFailure(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t)
	s := ecdsaSigner(t)
	for _, message := range []string{"one", "two"} {
		if status, _, body := post(t, srv, s.upload(t, message)); status != 201 {
			t.Fatalf("%d: %s", status, body)
		}
	}
	settle(t, l)
	if err := l.index.reset(); err != nil {
		t.Fatal(err)
	}
	bundles := filepath.Join(l.cfg.Dir, "tile", "entries")
	if err := os.Rename(bundles, bundles+".away"); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go l.follow.keep(t.Context(), time.Millisecond, func(err error) {
		select {
		case failed <- err:
		default:
		}
	})
	if err := <-failed; err == nil {
		t.Error("a log that cannot be read is no failure")
	}
	if err := os.Rename(bundles+".away", bundles); err != nil {
		t.Fatal(err)
	}
	settle(t, l)
}
