package instance_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/control"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// policy writes the policy of a witness that is away: what is cosigned does not matter here.
func policy(t *testing.T) string {
	t.Helper()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(away.Close)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := append([]byte{4}, public...)
	id := sha256.Sum256(append([]byte("witness.example.com\n"), key...))
	path := filepath.Join(t.TempDir(), "policy")
	text := fmt.Sprintf("witness w witness.example.com+%x+%s %s\nquorum w\n", id[:4], base64.StdEncoding.EncodeToString(key), away.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A witness knows a log by its name: a new shard of the same name is refused, wherever the log runs, before anything of it
// is made; one of another name is not.
func TestWitnessedRotation(t *testing.T) {
	for _, apart := range []bool{false, true} {
		t.Run(fmt.Sprintf("apart=%v", apart), func(t *testing.T) {
			d := newDeployment(t)
			f := d.file(d.port, config.ServiceTUF, config.ServiceLog)
			f.Log.Witnesses = policy(t)
			if apart {
				f.Services = []config.Service{config.ServiceTUF}
				f.Log.Witnesses = ""
				g := d.file(freePort(t), config.ServiceLog)
				g.Log.Witnesses = policy(t)
				d.start(g)
			}
			p := d.start(f)
			for _, url := range []string{"", "http://localhost:9", "http://LOCALHOST"} {
				err := d.rotation(t, instance.Rotate{Kind: state.Log, URL: url}, nil)
				if err == nil || !strings.Contains(err.Error(), "by the name localhost") || !strings.Contains(err.Error(), "--url https://OTHER-NAME") {
					t.Errorf("a new shard at %q: %v", url, err)
				}
			}
			if n := len(p.History().Instances[state.Log]); n != 1 {
				t.Fatalf("there are %d shards after refusals", n)
			}
			var got rotation.Progress
			if err := d.rotation(t, instance.Rotate{Kind: state.Log, URL: "http://log2.localhost"}, &got); err != nil || got.Step != rotation.Switch {
				t.Fatalf("a shard of another name: %+v, %v", got, err)
			}
			// The rotation that is under way has its name already.
			if err := d.rotation(t, instance.Rotate{Kind: state.Log}, &got); err != nil || got.Step != rotation.Switch {
				t.Errorf("asked for again: %+v, %v", got, err)
			}
			if err := d.rotation(t, instance.Rotate{Kind: state.TSA}, nil); err != nil {
				t.Errorf("another service: %v", err)
			}
		})
	}
}

// rotation asks the process that publishes for a rotation.
func (d *deployment) rotation(t *testing.T, r instance.Rotate, into *rotation.Progress) error {
	t.Helper()
	if into == nil {
		into = new(rotation.Progress)
	}
	peers, err := control.Peers(d.dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		var s instance.Status
		if err := p.Call(t.Context(), instance.PathStatus, instance.Nothing{}, &s); err != nil {
			t.Fatal(err)
		}
		for _, service := range s.Services {
			if service == config.ServiceTUF {
				return p.Call(t.Context(), instance.PathRotate, r, into)
			}
		}
	}
	t.Fatal("no process publishes")
	return nil
}
