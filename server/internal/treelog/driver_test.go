package treelog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestDriver: the size that Tessera is told is that in the directory, whenever nothing is being written.
func TestDriver(t *testing.T) {
	w := newWorld(t)
	var want uint64
	for _, n := range []int{3, 0, 300} { // the second time what the first one left is read
		l := w.open(t)
		entries := add(t, l, fmt.Sprint("size ", n), n)
		prove(t, l, entries)
		want += uint64(n)
		data, err := os.ReadFile(filepath.Join(w.dir, stateDir, "treeState"))
		if err != nil {
			t.Fatal(err)
		}
		var disk struct{ Size uint64 }
		if err := json.Unmarshal(data, &disk); err != nil {
			t.Fatal(err)
		}
		told := sized{log: l}
		size, err := told.IntegratedSize(t.Context())
		if err != nil || size != want || disk.Size != want {
			t.Errorf("%d entries, Tessera is told %d, the directory has %d (%v)", want, size, disk.Size, err)
		}
		if next, err := told.NextIndex(t.Context()); err != nil || next != size {
			t.Errorf("the next index is %d of %d (%v)", next, size, err)
		}
		closeLog(t, l)
	}
	if _, _, err := (driver{Driver: struct{}{}}).Appender(t.Context(), nil); err == nil {
		t.Error("a driver that cannot append was taken")
	}
}
