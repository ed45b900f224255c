//go:build linux

package crash

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestFlushUnderQuirks runs flush against registries that behave as registries do. It ends well, or says that it could not
// find out and keeps what it could not store; without the quirk another run brings all of it there, once.
func TestFlushUnderQuirks(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]testenv.RegistryOptions{
		"GitLab":                         {Quirks: testenv.Quirks{TagIsSubject: true}},
		"the tag stays the subject":      {Quirks: testenv.Quirks{TagIsSubject: true, TagStaysSubject: true}},
		"GHCR":                           {Referrers: true, Quirks: testenv.Quirks{ListThrottled: true}},
		"no artifact type":               {Referrers: true, Quirks: testenv.Quirks{NoArtifactType: true}},
		"no artifact type under the tag": {Quirks: testenv.Quirks{NoArtifactType: true}},
		"the config's type":              {Referrers: true, Quirks: testenv.Quirks{ConfigAsType: true}},
		"weak ETag":                      {ETag: true, Quirks: testenv.Quirks{WeakETag: true}},
		"eventually consistent":          {Quirks: testenv.Quirks{StaleFor: 30 * time.Millisecond}},
		"immutable as ECR":               {Quirks: testenv.Quirks{Immutable: "ecr"}},
		"immutable as Harbor":            {Quirks: testenv.Quirks{Immutable: "harbor"}},
		"immutable with conflict":        {ETag: true, Quirks: testenv.Quirks{Immutable: "conflict"}},
		"HTML 404":                       {Quirks: testenv.Quirks{HTMLNotFound: true}},
		"endless pages":                  {Referrers: true, Quirks: testenv.Quirks{EndlessPages: true}},
		"lying sizes":                    {Referrers: true, Quirks: testenv.Quirks{LyingSizes: true}},
		"two-faced":                      {Referrers: true, Quirks: testenv.Quirks{TwoFaced: true}},
		"throttled":                      {Referrers: true, Quirks: testenv.Quirks{Throttle: 10}},
		"throttled now and then":         {Quirks: testenv.Quirks{Throttle: 3}},
		"failing":                        {Quirks: testenv.Quirks{Unavailable: 10}},
		"failing now and then":           {Quirks: testenv.Quirks{Unavailable: 3}},
		"uploads in two steps":           {Referrers: true, Quirks: testenv.Quirks{TwoStepUploads: true}},
		"blobs elsewhere":                {Referrers: true, Quirks: testenv.Quirks{RedirectBlobs: true}},
	} {
		quirks := o.Quirks
		o.Quirks = testenv.Quirks{}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t, o)
			l := p.write(t)
			p.registry.SetQuirks(quirks)
			cmd := p.command(append([]string{p.exe}, append(p.flush(l), "--timeout=10s", "--patience=0")...)...)
			said, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			p.registry.SetQuirks(testenv.Quirks{})
			code := cmd.ProcessState.ExitCode()
			switch {
			case code != 0 && code != 20:
				t.Errorf("status %d\n%s", code, said)
			case code == 0:
				p.run(t, 0, append(append([]string{"verify"}, p.judges...), l.image)...)
			case strings.TrimSpace(string(said)) == "":
				t.Error("no reason")
			}
			if code == 0 && strings.Contains(string(said), "the bundle without a log entry") {
				return // it may stay, as was said
			}
			p.delivered(t, l, string(said))
		})
	}
}
