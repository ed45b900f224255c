package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
	"github.com/bulla-sign/bulla/oci/doctor"
)

// examined is a registry that doctor is called to, and what is known of it beforehand: that neither the probe of this test
// nor doctor is blind on an eye that the other is blind on as well.
type examined struct {
	*site
	referrers, conditions, tagsGo, manifestsGo string
	challenge                                  string
}

func examinedSites() []examined {
	distribution := func(settings realregistry.Settings) func(t *testing.T, s *site) {
		return func(t *testing.T, s *site) { s.distribution(t, settings) }
	}
	olaregWith := func(api config.ConfigAPI) func(t *testing.T, s *site) {
		return func(t *testing.T, s *site) {
			server := olareg.New(config.Config{Log: slog.New(slog.DiscardHandler), Storage: config.ConfigStorage{StoreType: config.StoreMem}, API: api})
			t.Cleanup(func() { _ = server.Close() })
			s.listen(t, server)
		}
	}
	yes, no := true, false
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	const y, n = doctor.Yes, doctor.No
	list := []examined{
		{&site{name: "distribution-3", start: distribution(realregistry.Settings{})}, n, n, y, y, "none"},
		{&site{name: "distribution-3/no-deletion", start: distribution(realregistry.Settings{KeepAll: true})}, n, n, n, n, "none"},
		{&site{name: "debian-2.8", start: distribution(realregistry.Settings{Debian: true})}, n, n, n, y, "none"},
		{&site{name: "olareg", start: olaregWith(config.ConfigAPI{DeleteEnabled: &yes})}, y, n, y, y, "none"},
		{&site{name: "olareg/no-deletion", start: olaregWith(config.ConfigAPI{})}, y, n, n, n, "none"},
		{&site{name: "olareg/no-referrers", start: olaregWith(config.ConfigAPI{DeleteEnabled: &yes, Referrer: config.ConfigAPIReferrer{Enabled: &no}})}, n, n, y, y, "none"},
		{&site{name: "go-containerregistry", start: inProcess(registry.New(quiet))}, n, n, y, y, "none"},
		{&site{name: "go-containerregistry/referrers", start: inProcess(registry.New(quiet, registry.WithReferrersSupport(true)))}, y, n, y, y, "none"},
	}
	for _, s := range sites() { // ways in
		switch s.name {
		case "debian-2.8/tokens":
			list = append(list, examined{s, n, n, n, y, "bearer"})
		case "distribution-3/basic/tls":
			list = append(list, examined{s, n, n, y, y, "basic"})
		case "distribution-3/tokens/tls":
			list = append(list, examined{s, n, n, y, y, "bearer"})
		case "distribution-3/mutual-tls":
			list = append(list, examined{s, n, n, y, y, "none"})
		}
	}
	return list
}

// TestDoctor compares what bulla doctor says of a registry with what the registry does when it is asked by other means, and
// with what is known of it; and looks whether doctor leaves it as it was.
func TestDoctor(t *testing.T) {
	for _, e := range examinedSites() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			e.authority = newAuthority(t)
			e.start(t, e.site)
			image := e.push(t, "team/app:v1")
			probe := e.probe(t)
			facts := probe.facts(t)
			for ability, want := range map[string]string{
				doctor.ReferrersAPI: e.referrers, doctor.ConditionalWrites: e.conditions, doctor.DeletesTags: e.tagsGo, doctor.DeletesManifests: e.manifestsGo,
			} {
				if facts[ability] != want {
					t.Errorf("%s: the probe finds %q, known is %q", ability, facts[ability], want)
				}
			}
			e.readOnly(t, probe, image, facts)
			e.written(t, probe, image, facts)
		})
	}
}

// readOnly calls doctor without --write.
func (e *examined) readOnly(t *testing.T, p *probe, image string, facts map[string]string) {
	t.Helper()
	before := p.tags(t)
	report, r := e.doctor(t, image)
	r.wantOK(t)
	for _, a := range report.Abilities {
		if a.State != doctor.NotTried && a.Name != doctor.StatesLimits && a.State != facts[a.Name] {
			t.Errorf("without writing: %s is %q, the registry says %q", a.Name, a.State, facts[a.Name])
		}
	}
	if report.State(doctor.ReferrersAPI) != facts[doctor.ReferrersAPI] || report.State(doctor.DeletesTags) != doctor.NotTried {
		t.Errorf("without writing: %+v", report.Abilities)
	}
	if after := p.tags(t); after != before {
		t.Errorf("tags before %s, after %s", before, after)
	}
	e.way(t, report)
}

// way compares what doctor says about the way in.
func (e *examined) way(t *testing.T, report *doctor.Report) {
	t.Helper()
	scheme, credential := "http", strings.HasPrefix(report.Credential, "no credential")
	if e.secure {
		scheme = "https"
	}
	if e.login {
		credential = strings.Contains(report.Credential, "config.json") && !strings.Contains(report.Credential, registryPassword)
	}
	if report.Scheme != scheme || report.Challenge != e.challenge || !credential || (report.Realm != "") != (e.challenge == "bearer") {
		t.Errorf("scheme %q, challenge %q, realm %q, credential %q", report.Scheme, report.Challenge, report.Realm, report.Credential)
	}
}

// written calls doctor with --write.
func (e *examined) written(t *testing.T, p *probe, image string, facts map[string]string) {
	t.Helper()
	before := p.tags(t)
	report, r := e.doctor(t, image, "--write")
	for name, fact := range facts {
		if got := report.State(name); got != fact {
			t.Errorf("%s is %q, the registry says %q", name, got, fact)
		}
	}
	var made []string
	for _, q := range report.Requests {
		if _, digest, ok := strings.Cut(q.URL, "/manifests/sha256:"); ok && q.Method == http.MethodDelete {
			made = append(made, "sha256:"+digest)
		}
	}
	if len(made) != 4 {
		t.Fatalf("%d manifests were written: %s", len(made), r)
	}
	var stayed []string
	for _, digest := range made {
		if p.do(t, http.MethodGet, "manifests/"+digest, nil, nil).status != http.StatusNotFound {
			stayed = append(stayed, digest)
		}
		if got := p.do(t, http.MethodGet, "manifests/"+strings.Replace(digest, ":", "-", 1), nil, nil).status; got != http.StatusNotFound {
			t.Errorf("a list of what is attached to %s: status %d", digest, got)
		}
	}
	tag := regexp.MustCompile(`bulla-doctor-[0-9a-f]+`).FindString(p.tags(t))
	if facts[doctor.DeletesManifests] == doctor.Yes {
		r.wantOK(t)
		if p.tags(t) != before || len(stayed) > 0 || len(report.Left) > 0 {
			t.Errorf("left behind: %v, tags %s; said was %v", stayed, p.tags(t), report.Left)
		}
	} else {
		left := strings.Join(report.Left, " ")
		if r.code != 20 || tag == "" || !strings.Contains(left, ":"+tag) || !strings.Contains(r.stderr, tag) {
			t.Errorf("left behind %s: %s", tag, r)
		}
		for _, digest := range stayed {
			if !strings.Contains(left, digest) {
				t.Errorf("left behind, and not named: %s", digest)
			}
		}
	}
	if got := p.do(t, http.MethodGet, "manifests/"+digestPart(image), nil, nil); got.status != http.StatusOK || digestOf(got.body) != digestPart(image) {
		t.Errorf("the image is gone: %d", got.status)
	}
}

func (e *examined) doctor(t *testing.T, image string, more ...string) (*doctor.Report, result) {
	t.Helper()
	r := e.as(t, theWorld.bulla).run(join([]string{"doctor", "--output", "json"}, more, e.flags(), []string{image})...)
	report := new(doctor.Report)
	if err := json.Unmarshal([]byte(r.stdout), report); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	return report, r
}

// probe asks a registry by plain HTTP requests. It shares nothing with bulla but the language.
type probe struct {
	client *http.Client
	base   string // URL of the repository, with a slash
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// probe is authenticated by go-containerregistry.
func (s *site) probe(t *testing.T) *probe {
	t.Helper()
	repository, err := name.NewRepository(s.addr + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	auth, scheme := authn.Anonymous, "http"
	if s.login {
		auth = &authn.Basic{Username: registryUser, Password: registryPassword}
	}
	if s.secure {
		scheme = "https"
	}
	scopes := []string{repository.Scope(transport.PushScope), repository.Scope(transport.DeleteScope)}
	way, err := transport.NewWithContext(context.Background(), repository.Registry, auth, &http.Transport{TLSClientConfig: s.client()}, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return &probe{&http.Client{Transport: way}, fmt.Sprintf("%s://%s/v2/team/app/", scheme, s.addr)}
}

func (p *probe) do(t *testing.T, method, path string, body []byte, header map[string]string) reply {
	t.Helper()
	address := path
	if !strings.Contains(path, "://") {
		address = p.base + path
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*")
	for key, value := range header {
		req.Header.Set(key, value)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, content}
}

// tags are those of the repository, as the registry lists them.
func (p *probe) tags(t *testing.T) string {
	t.Helper()
	return string(p.do(t, http.MethodGet, "tags/list", nil, nil).body)
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// facts is what the registry does with a tag of the probe's own. Its traces stay; doctor must not touch them.
func (p *probe) facts(t *testing.T) map[string]string {
	t.Helper()
	fact := func(yes bool) string {
		if yes {
			return doctor.Yes
		}
		return doctor.No
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	empty := `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + digestOf([]byte("{}")) + `","size":2}`
	manifest := func(n int, more string) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"test/probe","config":%s,"layers":[%s]%s,"annotations":{"n":"%d"}}`, kind, empty, empty, more, n)
	}
	put := func(reference string, content []byte, condition, value string) reply {
		header := map[string]string{"Content-Type": kind}
		if condition != "" {
			header[condition] = value
		}
		return p.do(t, http.MethodPut, "manifests/"+reference, content, header)
	}
	p.upload(t, []byte("{}"))
	first, second, third := manifest(1, ""), manifest(2, ""), manifest(3, "")
	if got := put("probe", first, "", ""); got.status != http.StatusCreated {
		t.Fatalf("the probe's first write: %d %s", got.status, got.body)
	}
	read := p.do(t, http.MethodGet, "manifests/probe", nil, nil)
	tag := read.header.Get("ETag")
	facts := map[string]string{
		doctor.ReadsOwnWrites: fact(bytes.Equal(read.body, first)),
		doctor.EntityTags:     fact(tag != "" && !strings.HasPrefix(tag, "W/")),
		doctor.RewritableTags: fact(put("probe", second, "", "").status == http.StatusCreated),
		doctor.ConditionalWrites: fact(put("probe", third, "If-None-Match", "*").status == http.StatusPreconditionFailed &&
			put("probe", third, "If-Match", `"sha256:00"`).status == http.StatusPreconditionFailed),
	}
	about := manifest(4, fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":%d}`, kind, digestOf(first), len(first)))
	facts[doctor.NamesSubject] = fact(put(digestOf(about), about, "", "").header.Get("OCI-Subject") == digestOf(first))
	list := p.do(t, http.MethodGet, "referrers/"+digestOf(first), nil, nil)
	facts[doctor.ReferrersAPI] = fact(list.status == http.StatusOK)
	facts[doctor.ListsReferrers] = fact(list.status == http.StatusOK && strings.Contains(string(list.body), digestOf(about)))
	filtered := p.do(t, http.MethodGet, "referrers/"+digestOf(first)+"?artifactType=none", nil, nil)
	facts[doctor.ReferrersFilter] = fact(filtered.status == http.StatusOK && !strings.Contains(string(filtered.body), digestOf(about)))
	gone := func(reference string) string {
		p.do(t, http.MethodDelete, "manifests/"+reference, nil, nil)
		return fact(p.do(t, http.MethodGet, "manifests/"+reference, nil, nil).status == http.StatusNotFound)
	}
	facts[doctor.DeletesTags] = gone("probe")
	facts[doctor.DeletesManifests] = gone(digestOf(about))
	for _, left := range [][]byte{first, second, third} {
		gone(digestOf(left))
	}
	return facts
}

// upload stores a blob in two steps, as every registry can.
func (p *probe) upload(t *testing.T, content []byte) {
	t.Helper()
	begun := p.do(t, http.MethodPost, "blobs/uploads/", nil, nil)
	at := begun.header.Get("Location")
	if strings.HasPrefix(at, "/") {
		at = p.base[:strings.Index(p.base, "/v2/")] + at
	}
	mark := "?"
	if strings.Contains(at, "?") {
		mark = "&"
	}
	done := p.do(t, http.MethodPut, at+mark+"digest="+digestOf(content), content, map[string]string{"Content-Type": "application/octet-stream"})
	if done.status != http.StatusCreated {
		t.Fatalf("the probe's upload: %d, then %d %s", begun.status, done.status, done.body)
	}
}
