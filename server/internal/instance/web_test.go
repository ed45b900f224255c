package instance_test

import (
	"net/http"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/testclient"
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

// searchedInBoth demands that the pages find what was signed in the log in use and in the frozen one.
func (d *deployment) searchedInBoth(frozen string) {
	d.t.Helper()
	for _, shard := range []string{"", frozen} {
		var body string
		for range 100 { // the index follows the log
			if _, body = get(d.t, d.url+"/ui/log?by=email&q="+testclient.Email+"&shard="+shard); strings.Contains(body, `<td><a href="/ui/log/0`) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !strings.Contains(body, `<td><a href="/ui/log/0`) || !strings.Contains(body, "shard="+frozen+`"`) {
			d.t.Errorf("the search in shard %q does not find %s:\n%s", shard, testclient.Email, body)
		}
	}
	if code, body := get(d.t, d.url+"/ui/log/0?shard="+frozen); code != http.StatusOK || !strings.Contains(body, "In the tree") {
		d.t.Errorf("an entry of the frozen shard: status %d\n%s", code, body)
	}
}
