package oci

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/doctor"
)

func examine(t *testing.T, c *Client, ref string, write bool) (*doctor.Report, error) {
	t.Helper()
	img, err := c.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return c.Doctor(t.Context(), img, doctor.Options{Write: write})
}

// What a registry can do is found out, whatever that is, and nothing stays behind.
func TestDoctor(t *testing.T) {
	for name, test := range map[string]struct {
		options testenv.RegistryOptions
		want    map[string]string
	}{
		"API": {testenv.RegistryOptions{Referrers: true, OCISubject: true}, map[string]string{
			doctor.ReferrersAPI: doctor.Yes, doctor.RewritableTags: doctor.Yes, doctor.ConditionalWrites: doctor.No, doctor.NamesSubject: doctor.Yes,
			doctor.ListsReferrers: doctor.Yes, doctor.DeletesManifests: doctor.Yes, doctor.DeletesTags: doctor.Yes, doctor.ReadsOwnWrites: doctor.Yes, doctor.EntityTags: doctor.No,
		}},
		"tag": {testenv.RegistryOptions{}, map[string]string{
			doctor.ReferrersAPI: doctor.No, doctor.ListsReferrers: doctor.No, doctor.NamesSubject: doctor.No, doctor.RewritableTags: doctor.Yes,
		}},
		"conditions": {testenv.RegistryOptions{ETag: true}, map[string]string{doctor.EntityTags: doctor.Yes, doctor.ConditionalWrites: doctor.Yes}},
		"conditions ignored": {testenv.RegistryOptions{ETag: true, IgnoreMatch: true}, map[string]string{
			doctor.EntityTags: doctor.Yes, doctor.ConditionalWrites: doctor.No,
		}},
		"weak": {testenv.RegistryOptions{ETag: true, Quirks: testenv.Quirks{WeakETag: true}}, map[string]string{doctor.EntityTags: doctor.No}},
		"immutable": {testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "ecr"}}, map[string]string{
			doctor.RewritableTags: doctor.No, doctor.ConditionalWrites: doctor.NotTried, doctor.DeletesManifests: doctor.Yes,
		}},
		"immutable, as Harbor says it": {testenv.RegistryOptions{Quirks: testenv.Quirks{Immutable: "harbor"}}, map[string]string{doctor.RewritableTags: doctor.No}},
		"lagging":                      {testenv.RegistryOptions{Quirks: testenv.Quirks{StaleFor: time.Minute}}, map[string]string{doctor.ReferrersAPI: doctor.No}},
		"two steps": {testenv.RegistryOptions{User: "me", Password: "secretpw", Bearer: true, Quirks: testenv.Quirks{TwoStepUploads: true}}, map[string]string{
			doctor.RewritableTags: doctor.Yes,
		}},
	} {
		reg := testenv.NewRegistry(t, test.options)
		ref := reg.PushImage(t, "app:v1")
		o := Options{Username: test.options.User, Password: test.options.Password}
		for _, write := range []bool{false, true} {
			reg.Reset()
			report, err := examine(t, newClient(t, o), reg.Host+"/app", write)
			if err != nil || len(report.Left) != 0 {
				t.Errorf("%s: %v, left %v", name, err, report.Left)
			}
			for ability, want := range test.want {
				got := report.State(ability)
				if !write && got == doctor.NotTried && ability != doctor.EntityTags && ability != doctor.ReferrersAPI {
					continue
				}
				if got != want {
					t.Errorf("%s, write %t: %s is %q, want %q\n%s", name, write, ability, got, want, reg.Log())
				}
			}
			if !write && (strings.Contains(reg.Log(), "PUT") || strings.Contains(reg.Log(), "POST") || strings.Contains(reg.Log(), "DELETE")) {
				t.Errorf("%s: something was written:\n%s", name, reg.Log())
			}
			if len(report.Requests) < 3 || len(report.Readers) < 7 || report.Scheme != "http" {
				t.Errorf("%s: %+v", name, report)
			}
			if test.options.User != "" && (report.Challenge != "bearer" || report.Realm != reg.Host || report.Credential != "the user name and password that were given") {
				t.Errorf("%s: %+v", name, report)
			}
		}
		if reg.ReadManifest("app", ref[strings.Index(ref, "@")+1:]) == nil {
			t.Errorf("%s: the image went", name)
		}
		reg.SetQuirks(testenv.Quirks{})
		for _, line := range strings.Split(reg.Log(), "\n") {
			if _, at, ok := strings.Cut(line, "PUT /v2/app/manifests/"); ok && reg.ReadManifest("app", strings.Fields(at)[0]) != nil {
				t.Errorf("%s: %s stayed", name, at)
			}
		}
	}
}

// What the registry does not answer is unknown, and an error; what cannot be removed is named, and an error.
func TestDoctorUnanswered(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	reg.PushImage(t, "app:v1")
	for _, test := range []struct {
		fault   testenv.Fault
		ability string
		state   string
		left    int
		fails   bool
	}{
		{testenv.Fault{Path: "/referrers/", Status: 503}, doctor.ReferrersAPI, doctor.Unknown, 0, true},
		{testenv.Fault{Path: "/referrers/", Status: 200, Body: "<html>"}, doctor.ReferrersAPI, doctor.Unknown, 0, true},
		{testenv.Fault{Path: "/manifests/v1", Status: 429}, doctor.EntityTags, doctor.Unknown, 0, true},
		{testenv.Fault{Method: http.MethodDelete, Status: 405, Code: "UNSUPPORTED"}, doctor.DeletesManifests, doctor.No, 5, true},
		{testenv.Fault{Method: http.MethodPut, Status: 403, Code: "DENIED"}, doctor.RewritableTags, doctor.Unknown, 0, true},
		{testenv.Fault{Path: "/manifests/v1", Status: 200, Header: map[string]string{"RateLimit-Remaining": "76;w=21600"}}, doctor.StatesLimits, doctor.Yes, 0, false},
	} {
		reg.Heal()
		reg.Fail(test.fault)
		report, err := examine(t, newClient(t, Options{}), reg.Host+"/app:v1", true)
		if report.State(test.ability) != test.state || len(report.Left) != test.left || (err != nil) != test.fails || (test.fails && !isUnknown(err)) {
			t.Errorf("%+v: %s is %q, left %v, error %v", test.fault, test.ability, report.State(test.ability), report.Left, err)
		}
		if test.left > 0 && !strings.Contains(report.Left[0], "/app:bulla-doctor-") {
			t.Errorf("left %v", report.Left)
		}
	}
	// Nobody there: the report says so.
	report, err := examine(t, newClient(t, Options{}), "127.0.0.1:1/app", false)
	if !isUnknown(err) || len(report.Requests) != 1 || report.Requests[0].Status != 0 || report.Requests[0].Error == "" || len(report.Readers) != 0 {
		t.Errorf("nobody there: %v, %+v", err, report)
	}
}

// lateWrites is a way to a registry that takes a write of a tag only after who asked for it has gone.
type lateWrites struct {
	skip   int           // writes of the tag that are answered at once
	asked  func()        // called when the late one is asked for
	land   chan struct{} // closed when it takes effect
	landed chan struct{} // closed when it has
}

func (l *lateWrites) RoundTrip(in *http.Request) (*http.Response, error) {
	if in.Method != http.MethodPut || !strings.Contains(in.URL.Path, "/manifests/bulla-doctor-") {
		return http.DefaultTransport.RoundTrip(in)
	}
	if l.skip--; l.skip >= 0 {
		return http.DefaultTransport.RoundTrip(in)
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(l.landed)
		<-l.land
		out := in.Clone(context.Background())
		out.Body = io.NopCloser(bytes.NewReader(body))
		if resp, err := http.DefaultTransport.RoundTrip(out); err == nil {
			_ = resp.Body.Close()
		}
	}()
	l.asked()
	<-in.Context().Done()
	return nil, in.Context().Err()
}

// Who interrupts it finds nothing left behind, also when the registry finishes a write that was interrupted; or is told what
// may yet appear.
func TestDoctorInterrupted(t *testing.T) {
	for skip := range 2 {
		for _, lands := range []bool{true, false} {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
			reg.PushImage(t, "app:v1")
			ctx, cancel := context.WithCancel(t.Context())
			late := &lateWrites{skip: skip, asked: cancel, land: make(chan struct{}), landed: make(chan struct{})}
			looks := 0
			c := newClient(t, Options{Transport: late, Sleep: func(ctx context.Context, _ time.Duration) error {
				if looks++; looks == 2 && lands {
					close(late.land)
					<-late.landed
				}
				return ctx.Err()
			}})
			img, err := c.Parse(reg.Host + "/app:v1")
			if err != nil {
				t.Fatal(err)
			}
			report, err := c.Doctor(ctx, img, doctor.Options{Write: true})
			tag := ""
			for _, q := range report.Requests {
				if strings.Contains(q.URL, "/manifests/bulla-doctor-") {
					tag = q.URL[strings.LastIndex(q.URL, "/")+1:]
				}
			}
			switch {
			case err == nil || tag == "":
				t.Errorf("skip %d, lands %t: error %v, tag %q", skip, lands, err, tag)
			case lands && (len(report.Left) != 0 || looks != 2 || reg.ReadManifest("app", tag) != nil):
				t.Errorf("skip %d: error %v, left %v after %d looks", skip, err, report.Left, looks)
			case !lands && (!slices.Contains(report.Left, reg.Host+"/app:"+tag) || !strings.Contains(err.Error(), tag)):
				t.Errorf("skip %d: error %v, left %v, want %s", skip, err, report.Left, tag)
			case skip == 1 && report.State(doctor.DeletesManifests) != doctor.Yes:
				t.Errorf("%+v", report.Abilities)
			case skip == 0 && !lands && (report.State(doctor.DeletesManifests) != doctor.NotTried || report.State(doctor.DeletesTags) != doctor.NotTried):
				t.Errorf("nothing was there to delete: %+v", report.Abilities)
			}
			cancel()
			if !lands {
				close(late.land)
				<-late.landed
			}
		}
	}
}

// A registry that answers to a deletion that there is nothing, while there is, deletes nothing.
func TestDoctorDisownedDeletion(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	reg.PushImage(t, "app:v1")
	reg.Fail(testenv.Fault{Method: http.MethodDelete, Status: 404, Code: "MANIFEST_UNKNOWN"})
	report, err := examine(t, newClient(t, Options{}), reg.Host+"/app:v1", true)
	if !isUnknown(err) || len(report.Left) != 5 || report.State(doctor.DeletesManifests) != doctor.No || report.State(doctor.DeletesTags) != doctor.No {
		t.Errorf("error %v, left %v, %+v", err, report.Left, report.Abilities)
	}
}

func TestReaders(t *testing.T) {
	report := &doctor.Report{Abilities: []doctor.Ability{{Name: doctor.RewritableTags, State: doctor.No}}}
	list := report.ReadersOf()
	i := slices.IndexFunc(list, func(r doctor.Reader) bool { return r.Name == "cosign 3" })
	if i < 0 || !strings.Contains(list[i].Note, "others see the first entry") {
		t.Errorf("%+v", list)
	}
	report.Abilities = append(report.Abilities, doctor.Ability{Name: doctor.ReferrersAPI, State: doctor.Yes})
	if list = report.ReadersOf(); !strings.Contains(list[i].Note, "others see the first signature") {
		t.Errorf("%+v", list)
	}
}

func TestChallenge(t *testing.T) {
	for header, want := range map[string]challenge{
		`Bearer realm="https://auth.test/token",service="a,b",scope="x"`: {"bearer", "auth.test"},
		`bearer service="s", Realm="https://auth.test:8443/t"`:           {"bearer", "auth.test:8443"},
		`Basic realm="Registry Realm"`:                                   {"basic", ""},
		`Negotiate`:                                                      {"negotiate", ""},
		``:                                                               {"unstated", ""},
		`Bearer realm="https://auth.test`:                                {"bearer", "auth.test"},
	} {
		if got := parseChallenge(header); got != want {
			t.Errorf("%s: got %+v", header, got)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"`)
	f.Add(`Basic realm=x, Bearer realm="y`)
	f.Add("Bearer realm=\"\x1b[31m\"")
	f.Fuzz(func(t *testing.T, header string) {
		c := parseChallenge(header)
		if c.scheme == "" || strings.ContainsAny(c.scheme+c.realm, "\x1b\n\r") {
			t.Errorf("%q: %+v", header, c)
		}
	})
}
