package oci

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// diagnosis is what doctor must say of a registry with a quirk: that ends in this error, and has these states.
type diagnosis struct {
	unknown string
	states  string // name=state, separated by commas; of those that the quirk is about
}

func diagnoses() map[string]diagnosis {
	const all = "referrers API=yes,lists what was written=yes,reads its own writes=yes,rewritable tags=yes,deletes manifests=yes,deletes tags=yes"
	const bare = "referrers API=no,lists what was written=no,reads its own writes=yes,rewritable tags=yes,deletes manifests=yes,deletes tags=yes"
	const immutable = "rewritable tags=no,conditional writes=not tried,deletes manifests=yes"
	return map[string]diagnosis{
		"none, API":                 {states: all + ",filter of referrers=no,entity tags=no,conditional writes=no"},
		"none, tag":                 {states: bare + ",entity tags=no,conditional writes=no"},
		"the tag is the subject":    {states: bare},
		"the tag stays the subject": {states: bare},
		"the list is throttled behind a redirect": {
			unknown: "429", states: "referrers API=unknown,rewritable tags=yes,deletes manifests=yes",
		},
		"no artifact type, API":            {states: all},
		"no artifact type, tag":            {states: bare},
		"the config's type":                {states: all},
		"no ETag":                          {states: bare + ",entity tags=no,conditional writes=no"},
		"weak ETag":                        {states: bare + ",entity tags=no"},
		"If-Match honoured":                {states: bare + ",entity tags=yes,conditional writes=yes"},
		"If-Match ignored":                 {states: bare + ",entity tags=yes,conditional writes=no"},
		"eventually consistent, API":       {states: "referrers API=yes,rewritable tags=yes,deletes manifests=yes"},
		"eventually consistent, tag":       {states: "referrers API=no,rewritable tags=yes,deletes manifests=yes"},
		"immutable as ECR":                 {states: immutable},
		"immutable as Harbor":              {states: immutable},
		"immutable with conflict and ETag": {states: immutable + ",entity tags=yes"},
		"HTML for what is missing, API":    {states: "referrers API=yes,rewritable tags=yes"},
		"HTML for what is missing, tag":    {states: "referrers API=no,rewritable tags=yes"},
		"endless pages":                    {states: all},
		"lying sizes, API":                 {states: all},
		"lying sizes, tag":                 {states: bare},
		"two-faced, API":                   {states: "referrers API=yes,rewritable tags=yes"},
		"two-faced, tag":                   {states: "referrers API=no,rewritable tags=yes"},
		"throttled, API":                   {states: all},
		"throttled, tag":                   {states: bare},
		"always throttled":                 {unknown: "429", states: "referrers API=unknown,rewritable tags=unknown"},
		"failing now and then, API":        {states: all},
		"failing now and then, tag":        {states: bare},
		"always failing":                   {unknown: "503", states: "referrers API=unknown,rewritable tags=unknown"},
		"blobs elsewhere":                  {states: all},
	}
}

// Doctor says of each quirk what it is, or that it does not know; and leaves nothing behind but what it names.
func TestDoctorQuirks(t *testing.T) {
	left := diagnoses()
	for _, test := range quirkCases() {
		want, ok := left[test.name]
		if !ok {
			t.Errorf("there is no diagnosis for %q", test.name)
		}
		delete(left, test.name)
		t.Run(test.name, func(t *testing.T) { diagnose(t, test, want) })
	}
	if len(left) > 0 {
		t.Errorf("without a quirk: %v", slices.Collect(maps.Keys(left)))
	}
}

func diagnose(t *testing.T, test quirkCase, want diagnosis) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: test.options.Referrers, ETag: test.options.ETag, IgnoreMatch: test.options.IgnoreMatch})
	ref := reg.PushImage(t, "app:v1")
	reg.SetQuirks(test.options.Quirks)
	report, err := examine(t, newClient(t, Options{}), ref, true)
	if unknown := (*UnknownError)(nil); want.unknown == "" && err != nil || want.unknown != "" && (!errors.As(err, &unknown) || !strings.Contains(err.Error(), want.unknown)) {
		t.Errorf("error %v, want %q\n%s", err, want.unknown, reg.Log())
	}
	for _, pair := range strings.Split(want.states, ",") {
		name, state, _ := strings.Cut(pair, "=")
		if got := report.State(name); got != state {
			t.Errorf("%s is %q, want %q\n%s", name, got, state, reg.Log())
		}
	}
	reg.SetQuirks(testenv.Quirks{})
	for _, line := range strings.Split(reg.Log(), "\n") {
		words := strings.Fields(line) // PUT /v2/app/manifests/… 201
		if len(words) != 3 || words[0] != http.MethodPut || words[2] != "201" || !strings.Contains(words[1], "/manifests/") {
			continue
		}
		reference := words[1][strings.LastIndex(words[1], "/")+1:]
		if reg.ReadManifest("app", reference) != nil && !slices.ContainsFunc(report.Left, func(s string) bool { return strings.HasSuffix(s, reference) }) {
			t.Errorf("%s stayed, and is not named: %v", reference, report.Left)
		}
	}
	if reg.ReadManifest("app", ref[strings.Index(ref, "@")+1:]) == nil {
		t.Error("the image went")
	}
}
