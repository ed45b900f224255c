package main

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv/world"
)

// The expiry of what is trusted is announced, once a command, and to whom it may concern: to the operator while the mirror
// answers, and to the user while only the cache does.
func TestExpiryIsAnnounced(t *testing.T) {
	w := world.New(t)
	x := newTerminal(t)
	began := x.now
	site := newTUFSite(t, w.RootJSON(t), nil, x.now)
	artifact, bundle := writeEvidence(t, w)
	x.want(0, site.mirror(), "bulla", "trust", "add", "ours", "--mirror", site.mirror(), "--root", site.mirror()+"/root.json")
	verify := verifyAlice(artifact, bundle, "--instance", "ours")
	silent := func(args ...string) {
		t.Helper()
		if out := x.want(0, "", args...); strings.Contains(out, "expires in") {
			t.Errorf("%v says\n%s", args, out)
		}
	}
	silent(verify...)
	x.now = began.AddDate(0, 0, 3)
	silent(verify...)
	x.want(0, "timestamp.json of "+site.mirror()+" expires in 4 days: unless its operator renews it", append(verify, "--trust-expiry-warning", "97h")...)
	silent(append(verify, "--offline")...)

	x.now = began.AddDate(0, 0, 5)
	if out := x.want(0, "expires in 2 days: unless", verify...); strings.Count(out, "expires in 2 days") != 1 {
		t.Errorf("it is said more than once:\n%s", out)
	}
	silent(append(verify, "--trust-expiry-warning", "24h")...)
	silent(append(verify, "--trust-expiry-warning", "0")...)
	x.env["BULLA_TRUST_EXPIRY_WARNING"] = "24h"
	silent(verify...)
	delete(x.env, "BULLA_TRUST_EXPIRY_WARNING")
	x.want(21, "negative", append(verify, "--trust-expiry-warning", "-1h")...)
	out := x.want(0, "(in 2 days)", "bulla", "trust", "show", "ours")
	if !strings.Contains(out, "warning: timestamp.json of "+site.mirror()+" expires in 2 days") {
		t.Errorf("trust show says\n%s", out)
	}
	x.want(21, "negative", "bulla", "trust", "show", "ours", "--trust-expiry-warning", "-1h")

	// From the cache, with its age.
	x.now = began.AddDate(0, 0, 6)
	x.want(0, "was last confirmed 24 hours ago and expires in 24 hours, with timestamp.json: refresh it before", append(verify, "--offline")...)
	site.setDown(true)
	out = x.want(0, "could not be refreshed, and is used as it was 24 hours ago", verify...)
	if !strings.Contains(out, "expires in 24 hours, with timestamp.json") {
		t.Errorf("without the mirror it says\n%s", out)
	}
	site.setDown(false)

	// The root is said, when it is the first.
	x.now = began.AddDate(1, 0, -1)
	site.publish(w.RootJSON(t), nil, x.now)
	x.want(0, "root.json of "+site.mirror()+" expires in 24 hours", verify...)
}
