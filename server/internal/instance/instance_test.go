package instance_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/control"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/testclient"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Everything in one process: all endpoints answer, and a keyless signature verifies.
func TestAllInOne(t *testing.T) {
	d := newDeployment(t)
	f := d.file(d.port, config.Services()...)
	f.Metrics = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	p := d.start(f)
	for _, path := range []string{
		"/healthz", "/readyz", "/api/v2/trustBundle", "/api/v2/configuration", "/api/v1/rootCert", "/checkpoint", "/api/v2/checkpoint",
		"/ct/2026-1/checkpoint", "/ct/2026-1/ct/v1/get-roots", "/api/v1/timestamp/certchain", "/oidc/.well-known/openid-configuration", "/oidc/keys",
	} {
		path = strings.ReplaceAll(path, "2026-1", p.History().Active(state.CTLog).Name)
		if code, body := get(t, d.url+path); code != http.StatusOK {
			t.Errorf("%s: status %d, %s", path, code, body)
		}
	}
	d.firstPage(p.History(), 6, 0)
	_, metrics := get(t, "http://"+f.Metrics+"/metrics")
	for _, want := range []string{
		`bulla_expires_in_seconds{name="ca chain"} 9.4`, `bulla_expires_in_seconds{name="tuf timestamp"} `, `bulla_expires_in_seconds{name="tuf root"} `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	root, services := d.trusted()
	d.mustSign("all in one").Verify(t, root, services.OIDC[0].URL)
	s, err := p.Status(t.Context())
	for end := time.Now().Add(time.Minute); err == nil && s.Logs[0].Size == 0 && time.Now().Before(end); { // nobody waits for the CT log's checkpoints
		time.Sleep(50 * time.Millisecond)
		s, err = p.Status(t.Context())
	}
	if err != nil || !s.Ready || len(s.Logs) != 2 || s.Logs[0].Size != 1 || s.Logs[1].Size != 1 {
		t.Errorf("status %+v, %v", s, err)
	}
}

// Each service in a process of its own: they find each other over HTTP.
func TestApart(t *testing.T) {
	d := newDeployment(t)
	front := make(map[config.Service]int)
	for _, s := range []config.Service{config.ServiceIssuer, config.ServiceCTLog, config.ServiceLog, config.ServiceTSA} {
		front[s] = freePort(t)
		d.start(d.file(front[s], s))
	}
	f := d.file(d.port, config.ServiceCA, config.ServiceWeb, config.ServiceMonitor)
	f.Metrics = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	f.Elsewhere.Log = fmt.Sprintf("http://127.0.0.1:%d", front[config.ServiceLog])
	f.Elsewhere.CTLog = fmt.Sprintf("http://127.0.0.1:%d", front[config.ServiceCTLog])
	f.Elsewhere.Issuer = fmt.Sprintf("http://127.0.0.1:%d", front[config.ServiceIssuer])
	p := d.start(f)
	root, services := d.trusted()
	services.Logs[0].URL = fmt.Sprintf("http://localhost:%d", front[config.ServiceLog])
	services.TSAs[0].URL = fmt.Sprintf("http://localhost:%d/api/v1/timestamp", front[config.ServiceTSA])
	issuer := services.OIDC[0].URL
	services.OIDC[0].URL = fmt.Sprintf("http://localhost:%d/oidc", front[config.ServiceIssuer])
	s, err := testclient.Sign(t.Context(), root, services, "apart")
	if err != nil {
		t.Fatal(err)
	}
	s.Verify(t, root, issuer)
	if code, body := get(t, d.url+"/ui/log"); code != http.StatusOK || !strings.Contains(body, testclient.Email) {
		t.Errorf("the page about a log elsewhere: status %d, without the entry", code)
	}
	d.firstPage(p.History(), 1, 5) // the authority is in this process; nobody runs TUF here
	if code, body := get(t, "http://"+f.Metrics+"/monitor"); code != http.StatusOK || strings.Contains(body, `"alarm":`) {
		t.Errorf("the monitor of logs elsewhere: status %d, %s", code, body)
	}
	if code, body := get(t, d.url+"/monitor"); code != http.StatusNotFound || strings.Contains(body, "logs") {
		t.Errorf("what the monitor found is public: status %d, %s", code, body)
	}
	peers, err := control.Peers(d.dir.Path())
	if err != nil || len(peers) == 0 {
		t.Fatalf("%d processes, %v", len(peers), err)
	}
	watched := 0
	for _, p := range peers {
		var status instance.Status
		if err := p.Call(t.Context(), instance.PathStatus, instance.Nothing{}, &status); err != nil {
			t.Fatal(err)
		}
		watched += len(status.Watched)
	}
	if watched != 2 {
		t.Errorf("status knows of %d logs that are watched", watched)
	}
}

// rotate calls for a rotation, or for its next step.
func rotate(t *testing.T, d *deployment, r instance.Rotate) rotation.Progress {
	t.Helper()
	peers, err := control.Peers(d.dir.Path())
	if err != nil || len(peers) == 0 {
		t.Fatalf("%d processes, %v", len(peers), err)
	}
	var p rotation.Progress
	if err := peers[0].Call(t.Context(), instance.PathRotate, r, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Every key is replaced while signing goes on: no signing fails, and what was signed before and meanwhile verifies.
func TestRotation(t *testing.T) {
	d := newDeployment(t)
	f := d.file(d.port, config.Services()...)
	// As long as the slowest client may go on with the trusted root that it has.
	f.Rotation = config.Rotation{Propagation: config.Duration(4 * time.Second), Close: config.Duration(time.Second)}
	p := d.start(f)
	_, services := d.trusted()
	issuer := services.OIDC[0].URL
	all := []*testclient.Signed{d.mustSign("before")}
	before := p.History()
	stop := d.signing(t)
	for _, kind := range state.Kinds() {
		if got := rotate(t, d, instance.Rotate{Kind: kind}); kind != state.TUF && got.Step != rotation.Switch {
			t.Fatalf("the rotation of %s is at %s, without waiting", kind, got.Step)
		}
	}
	for _, kind := range state.Kinds() {
		for rotate(t, d, instance.Rotate{Kind: kind, Continue: true}).Step != rotation.Done {
			time.Sleep(50 * time.Millisecond)
		}
	}
	all = append(all, stop()...)
	after := p.History()
	root, _ := d.trusted()
	for _, kind := range state.Kinds() {
		old := before.Active(kind).Name
		if after.Active(kind).Name == old || after.Find(kind, old).Phase != state.Closed {
			t.Errorf("the rotation of %s did not come to its end", kind)
		}
	}
	all = append(all, d.mustSign("after"))
	for _, s := range all {
		s.Verify(t, root, issuer)
	}
	d.firstPage(after, 6, 0)
	first, second := after.Instances[state.Log][0].Name, after.Instances[state.Log][1].Name
	d.searchedInBoth(first)
	if code, _ := get(t, d.url+"/log/"+first+"/checkpoint"); code != http.StatusOK {
		t.Errorf("the frozen shard's checkpoint: status %d", code)
	}
	if code, _ := get(t, d.url+"/log/"+second+"/checkpoint"); code != http.StatusNotFound {
		t.Errorf("the active shard is below /log, too: status %d", code)
	}
	resp, err := http.Post(d.url+"/log/"+first+"/api/v2/log/entries", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("an upload to the frozen shard: status %d", resp.StatusCode)
	}
	d.restart(t, p, all, issuer)
}

// restart: what was frozen is so after a restart, and still read.
func (d *deployment) restart(t *testing.T, p *process, all []*testclient.Signed, issuer string) {
	t.Helper()
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	q := d.start(d.file(d.port, config.Services()...))
	for _, kind := range []state.Kind{state.Log, state.CTLog} {
		for _, in := range q.History().Instances[kind] {
			path := "/checkpoint"
			if kind == state.CTLog {
				path = "/ct/" + in.Name + path
			} else if in.Phase == state.Closed {
				path = "/log/" + in.Name + path
			}
			if code, body := get(t, d.url+path); code != http.StatusOK {
				t.Errorf("%s %s: status %d, %s", kind, path, code, body)
			}
		}
	}
	all = append(all, d.mustSign("after a restart"))
	root, _ := d.trusted()
	for _, s := range all {
		s.Verify(t, root, issuer)
	}
}

// signing signs until the function that it returns is called, which returns what was signed. Every client looks at the
// trust anew for each signature, as cosign does, and none may fail.
func (d *deployment) signing(t *testing.T) func() []*testclient.Signed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var out []*testclient.Signed
	var longest time.Duration
	var n atomic.Int64
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for ctx.Err() == nil {
				root, services := d.trusted()
				began := time.Now()
				s, err := testclient.Sign(context.WithoutCancel(ctx), root, services, fmt.Sprintf("meanwhile %d", n.Add(1)))
				if err != nil {
					t.Errorf("signing fails during a rotation: %v", err)
					return
				}
				mu.Lock()
				longest = max(longest, time.Since(began))
				out = append(out, s)
				mu.Unlock()
			}
		})
	}
	for n.Load() < 4 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	return func() []*testclient.Signed {
		for at := n.Load(); n.Load() < at+4 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		cancel()
		wait.Wait()
		t.Logf("%d signatures meanwhile, the slowest in %s", len(out), longest.Round(time.Millisecond))
		return out
	}
}
