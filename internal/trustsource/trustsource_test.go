package trustsource

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

// noNetwork fails whoever wants to use it.
type noNetwork struct{ t *testing.T }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("the network was used: %s", r.URL)
	return nil, errors.New("there is no network")
}

func source(t *testing.T, env map[string]string) *Source {
	return &Source{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		HTTP:      &http.Client{Transport: noNetwork{t}}, Now: func() time.Time { return time.Date(2026, 8, 25, 0, 0, 0, 0, time.UTC) },
	}
}

// The roots that are built in are roots, signed as they themselves demand.
func TestBuiltInRoots(t *testing.T) {
	for _, mirror := range []string{PublicMirror, StagingMirror} {
		d, err := tuf.ParseDocument(BuiltIn(mirror))
		if err != nil {
			t.Fatal(err)
		}
		if d.Role() != tuf.RootRole || d.Verify(d) != nil {
			t.Errorf("%s: %v", mirror, d.Verify(d))
		}
	}
	if BuiltIn("https://tuf.example") != nil {
		t.Error("there is a root for anybody")
	}
}

// Where nothing is set up and nothing was ever heard, what is built in stands in, without that anybody is asked if it is
// named, or without a network.
func TestNothingSetUp(t *testing.T) {
	for _, env := range []map[string]string{nil, {"HOME": t.TempDir()}, {"TUF_ROOT": t.TempDir()}} {
		s := source(t, env)
		if s.Offline = env["HOME"] != ""; !s.Offline {
			s.Instance = BuiltInName
		}
		got, err := s.Trust(context.Background())
		if got != nil || err != nil || s.Unheard() != nil || !s.Assumed() {
			t.Errorf("%v: %+v, %v", env, got, err)
		}
		if root, err := s.Root(context.Background()); err != nil || !root.Source.Embedded {
			t.Errorf("%v: %v", env, err)
		}
		if config, err := s.SigningConfig(context.Background()); err != nil || len(config.CAs) == 0 {
			t.Errorf("%v: %v", env, err)
		}
	}
}

// Offline, what is set up and not kept is an error: neither the network nor the built-in root stands in.
func TestOffline(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "remote.json"), []byte(`{"mirror":"`+PublicMirror+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{{"TUF_ROOT": home}, {"TUF_MIRROR": StagingMirror}} {
		s := source(t, env)
		s.Offline = true
		for range 2 {
			if got, err := s.Root(context.Background()); err == nil {
				t.Errorf("%v: trusts %s", env, got.Source.Name)
			}
			if _, err := s.SigningConfig(context.Background()); err == nil {
				t.Errorf("%v: has a signing config", env)
			}
		}
	}
}

func TestBadConfigurations(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "remote.json"), []byte(`{"mirror":"ftp://x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, maxRootFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{
		{"TUF_ROOT": home},
		{"TUF_MIRROR": "nonsense"},
		{"TUF_MIRROR": "https://tuf.example"},
		{"TUF_MIRROR": "https://tuf.example", "TUF_ROOT_JSON": "nosuch"},
		{"TUF_MIRROR": "https://tuf.example", "TUF_ROOT_JSON": big},
		{"TUF_MIRROR": "https://tuf.example", "TUF_ROOT_JSON": empty},
	} {
		if got, err := source(t, env).Root(context.Background()); err == nil {
			t.Errorf("%v: trusts %s", env, got.Source.Name)
		}
	}
}
