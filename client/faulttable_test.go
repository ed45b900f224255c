package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/oidc"
	"github.com/bulla-sign/bulla/sign"
)

// actors are the services that a signer calls, and their requests that fail.
var actors = []fault.Service{
	{Name: "certificate authority", Method: "POST", Path: "/api/v2/signingCert"},
	{Name: "log v1", Method: "POST", Path: "/api/v1/log/entries"},
	{Name: "log v2", Method: "POST", Path: "/api/v2/log/entries"},
	{Name: "timestamp authority", Method: "POST", Path: "/api/v1/timestamp"},
	{Name: "identity provider", Method: "POST", Path: "/oidc/token"},
}

// sideways are requests besides: of what a provider says about itself, and of an entry that a log has already.
var sideways = []fault.Service{
	{Name: "identity provider", Method: "GET", Path: "/oidc/.well-known/openid-configuration"},
	{Name: "log v1, read", Method: "GET", Path: "/api/v1/log/entries/"},
	{Name: "log v2, read", Method: "GET", Path: "/api/v2/checkpoint"},
	{Name: "log v2, read", Method: "GET", Path: "/api/v2/tile/"},
}

// theater is the services that a signer calls, each a host of its own, in a time of their own.
type theater struct {
	*services.Services
	wire     fault.Wire
	ends     map[string]*fault.End // by the service's name
	impostor *services.Services
	log      string // the log that signatures go to
}

func newTheater(t *testing.T, of fault.Service) *theater {
	t.Helper()
	th := &theater{Services: services.New(t), ends: map[string]*fault.End{}, log: "log v2"}
	if strings.HasPrefix(of.Name, "log v1") {
		th.log = "log v1"
	}
	th.Conflict = strings.HasSuffix(of.Name, "read")
	for _, a := range actors {
		th.ends[a.Name] = th.wire.Host(strings.ReplaceAll(a.Name, " ", "-")+".example", th.Services)
	}
	th.Issuer = th.ends["identity provider"].URL + "/oidc"
	if slices.Contains(actors[:4], of) { // the authority judges the provider's tokens, and an impostor has not the same entries
		th.impostor = th.Impostor()
	}
	return th
}

// end is the host that a service's requests go to.
func (th *theater) end(of fault.Service) *fault.End {
	name, _, _ := strings.Cut(of.Name, ",")
	return th.ends[name]
}

// fails has a service fail; where that is in reading an entry that a log has already, it has the entry before it is sent.
func (th *theater) fails(of fault.Service, faults ...fault.Fault) {
	if strings.HasSuffix(of.Name, "read") {
		th.end(of).Fail(fault.Fault{Method: "POST", Path: "/api/" + th.log[len("log "):] + "/log/entries", Else: http.HandlerFunc(th.twice)})
	}
	th.end(of).Fail(faults...)
}

// twice does what it is asked for, and answers as when it is asked again.
func (th *theater) twice(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the signer is gone
	}
	for _, w := range []http.ResponseWriter{httptest.NewRecorder(), w} {
		r.Body = io.NopCloser(bytes.NewReader(body))
		th.ServeHTTP(w, r)
	}
}

// begin sets the clocks in a bubble, whose time begins anew.
func (th *theater) begin() {
	here, there := time.Now(), time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	th.Now = func() time.Time { return there.Add(time.Since(here)) }
	if th.impostor != nil {
		th.impostor.Now = th.Now
	}
}

// content is something that is signed with an identity.
type content struct {
	name string
	sign func(ctx context.Context, o sign.Options) (*bundle.Bundle, error)
}

func contents() []content {
	about := algorithm.Bytes(artifact)
	return []content{
		{"blob", func(ctx context.Context, o sign.Options) (*bundle.Bundle, error) { return sign.Blob(ctx, about, o) }},
		{"statement", func(ctx context.Context, o sign.Options) (*bundle.Bundle, error) {
			return sign.Statement(ctx, world.StatementFor(artifact, world.PredicateType, "{}"), about, o)
		}},
		{"older format", func(ctx context.Context, o sign.Options) (*bundle.Bundle, error) {
			return sign.SimpleSigning(ctx, simpleSigning(artifact), about, o)
		}},
	}
}

// sign signs with everything new: a token, a certificate, a timestamp, an entry. said is what the signer was told.
func (th *theater) sign(ctx context.Context, t *testing.T, c content, patience time.Duration) (b *bundle.Bundle, said string, err error) {
	t.Helper()
	var told []string
	o := client.Options{
		Root: th.World.Root(t), Transport: &th.wire, Patience: patience, Now: th.Now,
		Notify: func(r client.Retry) { told = append(told, fmt.Sprintf("%v; trying again in %s", r.Err, r.Pause)) },
	}
	ca, err := client.NewCA(th.ends["certificate authority"].URL, o)
	if err != nil {
		t.Fatal(err)
	}
	tsa, err := client.NewTSA(th.ends["timestamp authority"].URL+"/api/v1/timestamp", o)
	if err != nil {
		t.Fatal(err)
	}
	log := openLog(t, th.log, th.ends[th.log].URL, o)
	login := &oidc.Login{Issuer: th.Issuer, ClientID: "secretive", ClientSecret: services.Secret, Transport: &th.wire, Patience: patience, Now: th.Now}
	login.Notify = func(err error, pause time.Duration) {
		told = append(told, fmt.Sprintf("%v; trying again in %s", err, pause))
	}
	session := &sign.Session{Authority: ca, Now: th.Now, Identity: func(ctx context.Context) (sign.Identity, error) {
		token, err := login.ClientCredentials(ctx)
		if err != nil {
			return sign.Identity{}, err
		}
		challenge, err := token.Challenge()
		return sign.Identity{Token: token.Raw, Challenge: challenge}, err
	}}
	with := sign.Options{Root: o.Root, Clock: th.Now, Timestampers: []sign.Timestamper{tsa}, Loggers: []sign.Logger{log}}
	if err = session.Use(ctx, &with); err == nil {
		b, err = c.sign(ctx, with)
	}
	if err != nil {
		told = append(told, err.Error())
	}
	return b, strings.Join(told, "\n"), err
}

func openLog(t *testing.T, name, url string, o client.Options) sign.Logger {
	t.Helper()
	var log sign.Logger
	var err error
	if name == "log v1" {
		log, err = client.NewLogV1(url, o)
	} else {
		log, err = client.NewLogV2(url, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// logged is how many entries the logs hold.
func (th *theater) logged() int { return len(th.World.V1.Leaves()) + len(th.World.V2.Leaves()) }

// statusOf says what kind of failure an error is, as the program's exit statuses do.
func statusOf(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrAnswer), errors.Is(err, oidc.ErrUnavailable):
		return 20
	case errors.Is(err, client.ErrRefused):
		return 1
	}
	return 22 // nothing to identify with
}

// play signs while a service fails, and holds what comes of it against the table.
func (th *theater) play(t *testing.T, c content, of fault.Service, way fault.Way) {
	t.Helper()
	ctx, patience := t.Context(), way.Patience
	if way.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, way.Timeout)
		defer cancel()
	}
	if patience == 0 {
		patience = -1
	}
	want, before := fault.Wanted(of.Name, way.Name), th.logged()
	b, said, err := th.sign(ctx, t, c, patience)
	if got := statusOf(err); got != want.Status || !regexp.MustCompile(want.Says).MatchString(said) {
		t.Errorf("ended as status %d, want %d and %q:\n%s", got, want.Status, want.Says, said)
	}
	entries := th.logged() - before
	switch {
	case err == nil && (b == nil || entries != 1 || len(b.Material.Entries) != 1 || len(b.Material.Timestamps) != 1):
		t.Errorf("it succeeded, with %d log entries and %+v", entries, b)
	case err != nil && (b != nil || entries > 1):
		t.Errorf("it failed, and left %d log entries and %+v", entries, b)
	}
}

// tokenHeader is how the provider's tokens begin: {"alg": in base64url.
const tokenHeader = "eyJhbGci"

// secrets sees that nothing went to a host that nobody named, and each secret to its owner alone: the token to the
// certificate authority, the client's own to the identity provider.
func (th *theater) secrets(t *testing.T) {
	t.Helper()
	if n := th.wire.Strays(); n != 0 {
		t.Errorf("other hosts got %d requests", n)
	}
	for name, end := range th.ends {
		for _, r := range end.Requests() {
			bearer := strings.HasPrefix(r.Authorization, "Bearer ") || strings.Contains(string(r.Body), tokenHeader)
			basic := strings.HasPrefix(r.Authorization, "Basic ") || strings.Contains(string(r.Body), services.Secret)
			if bearer && name != "certificate authority" || basic && name != "identity provider" {
				t.Errorf("the %s was shown a credential: %s %s", name, r.Method, r.Path)
			}
		}
	}
}

// TestFaultTable plays every fault of every service against the library, see docs/design/faults.md: for each kind of
// content, since the logs enter each in its own way.
func TestFaultTable(t *testing.T) {
	testenv.Unwatched(t)
	for _, of := range slices.Concat(actors, sideways) {
		for _, c := range contents() {
			t.Run(of.Name+" "+strings.ReplaceAll(of.Path, "/", " ")+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				th := newTheater(t, of)
				stage := fault.NewStage(t, nil)
				if th.impostor != nil {
					stage.Impostor = th.impostor
				}
				th.fails(of, fault.Fault{Method: of.Method, Path: of.Path, Edit: stage.Keep})
				synctest.Test(t, func(t *testing.T) { // an answer to keep, and proof that it works at all
					th.begin()
					if _, said, err := th.sign(t.Context(), t, c, time.Minute); err != nil {
						t.Fatal(said)
					}
				})
				for _, way := range fault.Ways() {
					faults := way.Make(of, stage)
					if faults == nil {
						continue
					}
					th.fails(of, faults...)
					t.Run(way.Name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { th.begin(); th.play(t, c, of, way) })
					})
					th.end(of).Heal()
				}
				th.secrets(t)
			})
		}
	}
}

// TestMinuteOfFailures: what is away for a minute is waited for, without being told to, and not asked more often than a
// service that has troubles can bear; what stays away is given up after a minute and a half.
func TestMinuteOfFailures(t *testing.T) {
	testenv.Unwatched(t)
	const most = 20 // requests of one signature in a minute and a half, with the shortest of pauses
	for _, of := range actors[:4] {
		for name, f := range map[string]fault.Fault{
			"500": {Status: 500}, "502": {Status: 502}, "503": {Status: 503}, "504": {Status: 504}, "429": {Status: 429}, "408": {Status: 408},
			"425": {Status: 425}, "closed": {Refuse: true}, "dropped": {Drop: true}, "cut": {Cut: 20},
		} {
			t.Run(of.Name+"/"+name, func(t *testing.T) {
				th := newTheater(t, of)
				end := th.ends[of.Name]
				f.Method, f.Path, f.Times = of.Method, of.Path, -1
				synctest.Test(t, func(t *testing.T) {
					th.begin()
					end.Fail(f)
					before := th.logged()
					heal := time.AfterFunc(time.Minute, end.Heal)
					defer heal.Stop()
					start := time.Now()
					if _, said, err := th.sign(t.Context(), t, contents()[1], 0); err != nil || time.Since(start) < time.Minute {
						t.Errorf("after %s: %s", time.Since(start), said)
					}
					if asked, entries := end.Count(of.Method, of.Path), th.logged()-before; asked > most || entries != 1 {
						t.Errorf("asked %d times, %d entries", asked, entries)
					}
				})
				synctest.Test(t, func(t *testing.T) {
					th.begin()
					end.Fail(f)
					start, asked := time.Now(), end.Count(of.Method, of.Path)
					_, said, err := th.sign(t.Context(), t, contents()[1], 0)
					if took := time.Since(start); !errors.Is(err, client.ErrUnavailable) || took < 90*time.Second || took > 91*time.Second {
						t.Errorf("after %s: %s", took, said)
					}
					if asked = end.Count(of.Method, of.Path) - asked; asked > most || asked < 5 || !strings.Contains(said, fmt.Sprintf("(tried %d times in 1m30s)", asked)) {
						t.Errorf("asked %d times: %s", asked, lastOf(said))
					}
				})
			})
		}
	}
}

func lastOf(lines string) string { return lines[strings.LastIndex(lines, "\n")+1:] }

// TestStatusesThatAreFinal are not asked for twice.
func TestStatusesThatAreFinal(t *testing.T) {
	for _, of := range actors[:4] {
		th := newTheater(t, of)
		end := th.ends[of.Name]
		for _, status := range []int{400, 401, 403, 404, 413, 422, 501, 505} {
			end.Fail(fault.Fault{Method: of.Method, Path: of.Path, Status: status, Times: -1})
			synctest.Test(t, func(t *testing.T) {
				th.begin()
				start, asked := time.Now(), end.Count(of.Method, of.Path)
				_, said, err := th.sign(t.Context(), t, contents()[0], 0)
				kind := client.ErrRefused
				if status >= 500 {
					kind = client.ErrUnavailable
				}
				if !errors.Is(err, kind) || !strings.Contains(said, fmt.Sprint("HTTP ", status)) || time.Since(start) != 0 || end.Count(of.Method, of.Path) != asked+1 {
					t.Errorf("%s, %d: %v", of.Name, status, said)
				}
			})
			end.Heal()
		}
	}
}

// TestCheckpointThatStays: a log that says that it has an entry, and publishes nothing that has it, is waited for as long as
// that can take; and whoever goes away meanwhile is told that.
func TestCheckpointThatStays(t *testing.T) {
	of := sideways[2]
	for name, c := range map[string]struct {
		within time.Duration // of the caller's patience
		took   time.Duration
		kind   error
	}{
		"waited for": {time.Hour, 30 * time.Second, client.ErrUnavailable}, "gone away": {7 * time.Second, 7 * time.Second, context.DeadlineExceeded},
	} {
		th := newTheater(t, of)
		th.fails(of, fault.Fault{Method: of.Method, Path: of.Path, Else: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			text := fmt.Sprintf("%s\n%d\n%s=\n", th.World.V2.Origin(), len(th.World.V2.Leaves())-1, strings.Repeat("A", 43)) // all but the entry
			_, _ = w.Write([]byte(th.World.V2.SignCheckpoint(t, text, th.Now())))                                            // a recorder does not fail
		}), Times: -1})
		synctest.Test(t, func(t *testing.T) {
			th.begin()
			ctx, cancel := context.WithTimeout(t.Context(), c.within)
			defer cancel()
			start := time.Now()
			_, said, err := th.sign(ctx, t, contents()[0], 0)
			if took := time.Since(start); !errors.Is(err, c.kind) || took != c.took || c.within == time.Hour && !strings.Contains(said, "entries, and not yet the entry at index") {
				t.Errorf("%s: after %s: %s", name, took, said)
			}
		})
	}
}
