package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
)

// TestKeylessScript runs every testdata/keyless/*.txt, each against services of its own. There, $SERVICES is the address of
// certificate authority and logs, $TSA and $ISSUER those of timestamp authority and identity provider, $REGISTRY a host of
// images, $TAGS one without the referrers API; v1.json and v2.json are signing configs with a log of that version, notsa.json one without timestamp authority;
// root.json is the trusted root, other.json somebody else's; token.jwt an identity token.
func TestKeylessScript(t *testing.T) {
	t.Parallel()
	testenv.Watched(t)
	images := &signingScripts{
		api:  testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, OCISubject: true}),
		tags: testenv.NewRegistry(t, testenv.RegistryOptions{}), t: t,
	}
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "keyless"),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			s := services.New(t)
			env.Values[servicesKey{}] = s
			for name, value := range map[string]string{
				"SERVICES": s.URL, "TSA": s.TSA, "ISSUER": s.Issuer, "EMAIL": s.Email, "REGISTRY": images.api.Host, "TAGS": images.tags.Host,
				"HOME": env.WorkDir, "HTTPS_PROXY": nowhere, "DOCKER_CONFIG": filepath.Join(env.WorkDir, "docker"), "COSIGN_PASSWORD": "pw",
			} {
				env.Setenv(name, value)
			}
			files := map[string][]byte{
				"root.json": s.World.RootJSON(t), "other.json": world.New(t).RootJSON(t), "token.jwt": []byte(s.Token(nil) + "\n"),
				"expired.jwt":  []byte(s.Token(services.Claims{"exp": 1700000000})),
				"job.jwt":      []byte(s.Token(services.Claims{"email": nil, "sub": "https://ci.example/job"})),
				"doubtful.jwt": []byte(s.Token(services.Claims{"email_verified": false})),
			}
			configs, err := signingConfigFiles(s)
			if err != nil {
				return err
			}
			maps.Copy(files, configs)
			for name, data := range files {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image": images.image, "index": images.index, "exits": images.exits, "count": images.count, "manifest": images.manifest, "keypair": keyPairFiles,
			"fault": addFault, "heal": heal, "requests": requests, "lines": lines, "strip": images.strip,
		},
	})
}

type servicesKey struct{}

func servicesOf(ts *testscript.TestScript) *services.Services {
	return ts.Value(servicesKey{}).(*services.Services)
}

func signingConfigs(s *services.Services) map[string]trust.SigningConfig {
	at := func(url string, version uint32) []trust.Service {
		return []trust.Service{{URL: url, MajorAPIVersion: version, Operator: "bulla.test", Window: trust.Window{Start: time.Unix(0, 0).UTC()}}}
	}
	any := trust.Selection{Selector: trust.SelectAny}
	with := func(version uint32) trust.SigningConfig {
		return trust.SigningConfig{
			CAs: at(s.URL, 1), OIDC: at(s.Issuer, 1), Logs: at(s.URL, version), LogConfig: any, TSAs: at(s.TSA, 1), TSAConfig: any,
		}
	}
	noTSA, noLog := with(2), with(2)
	noTSA.TSAs, noTSA.TSAConfig = nil, trust.Selection{}
	noLog.Logs, noLog.LogConfig = nil, trust.Selection{}
	return map[string]trust.SigningConfig{"v1.json": with(1), "v2.json": with(2), "notsa.json": noTSA, "nolog.json": noLog}
}

// signingConfigFiles are what signing configs are as files, by name.
func signingConfigFiles(s *services.Services) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, cfg := range signingConfigs(s) {
		made, err := trust.NewSigningConfig(cfg)
		if err != nil {
			return nil, err
		}
		if files[name], err = made.Encode(); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addFault, called "fault JSON", adds a fault, such as {"Path":"/api/v2/log","Status":503,"Times":2}.
func addFault(ts *testscript.TestScript, _ bool, args []string) {
	var f services.Fault
	ts.Check(json.Unmarshal([]byte(strings.Join(args, " ")), &f))
	servicesOf(ts).Fail(f)
}

// strip HOST/REPOSITORY TAG takes the log's answers out of the signatures under an older tag, as they were written at first.
func (s *signingScripts) strip(ts *testscript.TestScript, _ bool, args []string) {
	host, repo, _ := strings.Cut(args[0], "/")
	var m struct {
		SchemaVersion int              `json:"schemaVersion"`
		MediaType     string           `json:"mediaType"`
		Config        json.RawMessage  `json:"config"`
		Layers        []map[string]any `json:"layers"`
	}
	ts.Check(json.Unmarshal(s.registry(host).ReadManifest(repo, args[1]), &m))
	for _, layer := range m.Layers {
		annotations := layer["annotations"].(map[string]any)
		delete(annotations, "dev.sigstore.cosign/bundle")
		delete(annotations, "dev.sigstore.cosign/rfc3161timestamp")
	}
	data, err := json.Marshal(m)
	ts.Check(err)
	s.registry(host).PushManifest(s.t, repo, args[1], m.MediaType, data)
}

// lines FILE LINE... writes a file of such lines.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o600))
}

// heal takes all faults away.
func heal(ts *testscript.TestScript, _ bool, _ []string) { servicesOf(ts).Heal() }

// requests METHOD PATH N checks how many requests have arrived since the script began.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if got := servicesOf(ts).Count(args[0], args[1]); strconv.Itoa(got) != args[2] {
		ts.Fatalf("%s %s: %d requests, want %s", args[0], args[1], got, args[2])
	}
}
