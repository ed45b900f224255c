package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/trust"
)

// TestSeveralScript runs every testdata/several/*.txt against services of two operators: a certificate authority of the
// first, logs and timestamp authorities of both. all.json, exact.json and any.json are signing configs that demand so many
// of them, old.json is all.json with logs of version 1, one.json names those of the first alone; root.json is a trusted root that knows both, first.json the first.
func TestSeveralScript(t *testing.T) {
	t.Parallel()
	testenv.Watched(t)
	images := &signingScripts{t: t}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "several"),
		Setup: func(env *testscript.Env) error {
			first, second := services.New(t), services.New(t)
			second.World.V2 = mint.NewLogV2(t, mint.LogOptions{Host: "log.second.test"})
			env.Values[servicesKey{}], env.Values[secondKey{}] = first, second
			for name, value := range map[string]string{
				"SERVICES": first.URL, "SECOND": second.URL, "ISSUER": first.Issuer, "EMAIL": first.Email, "HOME": env.WorkDir, "HTTPS_PROXY": nowhere, "COSIGN_PASSWORD": "pw",
			} {
				env.Setenv(name, value)
			}
			files := map[string][]byte{"root.json": bothRoots(t, first, second), "first.json": first.World.RootJSON(t), "token.jwt": []byte(first.Token(nil))}
			for name, s := range map[string]trust.Selection{
				"all.json": {Selector: trust.SelectAll}, "any.json": {Selector: trust.SelectAny}, "exact.json": {Selector: trust.SelectExact, Count: 2},
				"three.json": {Selector: trust.SelectExact, Count: 3},
			} {
				files[name] = severalConfig(t, s, first, second)
			}
			files["old.json"] = bytes.ReplaceAll(files["all.json"], []byte(`"majorApiVersion":2`), []byte(`"majorApiVersion":1`))
			files["one.json"] = severalConfig(t, trust.Selection{Selector: trust.SelectAll}, first)
			for name, data := range files {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": images.exits, "count": images.count, "keypair": keyPairFiles, "requests": requests, "fault": addFault, "heal": heal,
			"requests2": func(ts *testscript.TestScript, _ bool, args []string) {
				if got := ts.Value(secondKey{}).(*services.Services).Count(args[0], args[1]); strconv.Itoa(got) != args[2] {
					ts.Fatalf("%s %s: %d requests of the second, want %s", args[0], args[1], got, args[2])
				}
			},
			"fault2": func(ts *testscript.TestScript, _ bool, args []string) {
				var f services.Fault
				ts.Check(json.Unmarshal([]byte(args[0]), &f))
				ts.Value(secondKey{}).(*services.Services).Fail(f)
			},
			"heal2": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Value(secondKey{}).(*services.Services).Heal() },
		},
	})
}

type secondKey struct{}

func severalConfig(t *testing.T, s trust.Selection, all ...*services.Services) []byte {
	t.Helper()
	at := func(url, operator string, version uint32) trust.Service {
		return trust.Service{URL: url, MajorAPIVersion: version, Operator: operator, Window: trust.Window{Start: time.Unix(0, 0).UTC()}}
	}
	cfg := trust.SigningConfig{
		CAs: []trust.Service{at(all[0].URL, "first", 1)}, OIDC: []trust.Service{at(all[0].Issuer, "first", 1)}, LogConfig: s, TSAConfig: s,
	}
	for i, services := range all {
		operator := []string{"first", "second"}[i]
		cfg.Logs, cfg.TSAs = append(cfg.Logs, at(services.URL, operator, 2)), append(cfg.TSAs, at(services.TSA, operator, 1))
	}
	made, err := trust.NewSigningConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	data, err := made.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bothRoots is the trusted root of the first with logs and timestamp authorities of the second, which have names of their own.
func bothRoots(t *testing.T, first, second *services.Services) []byte {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal(first.World.RootJSON(t), &a); err != nil {
		t.Fatal(err)
	}
	text := bytes.ReplaceAll(second.World.RootJSON(t), []byte(".bulla.test"), []byte(".second.test"))
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tlogs", "timestampAuthorities"} {
		a[name] = append(a[name].([]any), b[name].([]any)...)
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
