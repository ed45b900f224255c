package instance_test

import (
	"net/http"
	"strings"

	"github.com/bulla-sign/bulla/server/internal/state"
)

// firstPage demands that the first page has so many services that are ready in this process, and so many that run elsewhere,
// at the addresses that are in use now, and that its lines for terminals name a root that is served.
func (d *deployment) firstPage(h *state.History, ready, elsewhere int) {
	d.t.Helper()
	code, body := get(d.t, d.url+"/")
	if code != http.StatusOK || strings.Count(body, ">ready<") != ready || strings.Count(body, ">elsewhere<") != elsewhere || strings.Contains(body, ">not ready<") {
		d.t.Errorf("the first page: status %d; not %d services that are ready and %d elsewhere:\n%s", code, ready, elsewhere, body)
	}
	for _, kind := range state.Kinds() {
		if url := h.Active(kind).URL; !strings.Contains(body, "<code>"+url+"</code>") {
			d.t.Errorf("the first page does not have %s of %s:\n%s", url, kind, body)
		}
	}
	for _, program := range []string{"cosign", "bulla"} {
		if !strings.Contains(body, ">"+program+" initialize --mirror "+d.url+"/tuf --root "+d.url+"/tuf/1.root.json --root-checksum ") {
			d.t.Errorf("the first page does not say how to point %s at it:\n%s", program, body)
		}
	}
}
