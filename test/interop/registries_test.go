package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// Who may use the registries that ask.
const registryUser, registryPassword = "alice", "correct horse"

// site is a registry together with what somebody needs who uses it.
type site struct {
	name   string
	start  func(t *testing.T, s *site) // sets addr and starts it
	addr   string
	login  bool // it asks for a user and a password
	secure bool // it speaks TLS, with a certificate of our own authority
	mutual bool // and wants a certificate from whoever comes
	*authority
}

// sites is the table of registries: the software, and the way in. A registry more is a row more.
func sites() []*site {
	distribution := func(debian bool, demand func(t *testing.T, s *site, settings *realregistry.Settings)) func(t *testing.T, s *site) {
		return func(t *testing.T, s *site) {
			settings := realregistry.Settings{Debian: debian}
			if demand != nil {
				demand(t, s, &settings)
			}
			s.distribution(t, settings)
		}
	}
	basic := func(t *testing.T, _ *site, settings *realregistry.Settings) { settings.Htpasswd = htpasswd(t) }
	tokens := func(t *testing.T, s *site, settings *realregistry.Settings) {
		settings.Tokens = startTokens(t, s)
	}
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	return []*site{
		{name: "debian-2.8/tokens", login: true, start: distribution(true, tokens)},
		{name: "distribution-3/basic/tls", login: true, secure: true, start: distribution(false, basic)},
		{name: "distribution-3/tokens/tls", login: true, secure: true, start: distribution(false, tokens)},
		{name: "distribution-3/mutual-tls", secure: true, mutual: true, start: distribution(false, nil)},
		{name: "go-containerregistry/basic", login: true, start: inProcess(registry.New(quiet))},
		{name: "go-containerregistry/referrers/basic/tls", login: true, secure: true, start: inProcess(registry.New(quiet, registry.WithReferrersSupport(true)))},
		{name: "olareg/tls", secure: true, start: startOlareg},
	}
}

// distribution starts the registry of the distribution project, with the site's way in.
func (s *site) distribution(t *testing.T, settings realregistry.Settings) {
	t.Helper()
	if s.secure {
		settings.Cert, settings.Key, settings.TLS = s.cert, s.key, s.client()
	}
	if s.mutual {
		settings.ClientCAs = s.ca
	}
	if settings.Debian {
		if _, err := toolcache.DebianPath("docker-registry", os.Stderr); err != nil {
			needsDebian(t, "registry of old", "docker-registry", err)
		}
	}
	server, err := realregistry.StartWith(t.TempDir(), settings, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s.addr = server.Addr
}

// startOlareg starts a registry that has the referrers API and is strict about what it is given.
func startOlareg(t *testing.T, s *site) {
	server := olareg.New(config.Config{Log: slog.New(slog.DiscardHandler), Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	t.Cleanup(func() { _ = server.Close() })
	s.listen(t, server)
}

// inProcess serves a registry that knows no users, and asks in its place.
func inProcess(handler http.Handler) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		s.listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); s.login && (user != registryUser || password != registryPassword) {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who is there"}]}`, http.StatusUnauthorized)
				return
			}
			handler.ServeHTTP(w, r)
		}))
	}
}

// listen is for registries of this process.
func (s *site) listen(t *testing.T, handler http.Handler) {
	t.Helper()
	_, s.addr, _ = strings.Cut(serve(t, s, handler), "://")
}

// flags are what every command needs to reach the registry; cosign knows the same.
func (s *site) flags() []string {
	var all []string
	if s.secure {
		all = append(all, "--registry-cacert", s.ca)
	}
	if s.mutual {
		all = append(all, "--registry-client-cert", s.cert, "--registry-client-key", s.key)
	}
	return all
}

// as is the program with the credentials for the registry, as Docker keeps them.
func (s *site) as(t *testing.T, p *program) *program {
	t.Helper()
	env := []string{"SSL_CERT_FILE=" + s.ca} // crane has no flag for that
	if s.login {
		env = append(env, "DOCKER_CONFIG="+dockerConfig(t, s.addr, registryPassword))
	}
	return p.with(env...)
}

func (s *site) push(t *testing.T, tag string) string {
	t.Helper()
	ref, err := name.ParseReference(s.addr + "/" + tag)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(256, 2)
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithTransport(&http.Transport{TLSClientConfig: s.client()})}
	if s.login {
		options = append(options, remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword}))
	}
	if err := remote.Write(ref, image, options...); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(digest.String()).String()
}

// TestRegistries signs, attests, lists, copies and verifies with bulla and cosign in each of the registries, each of what
// the other wrote, and has crane read all of it. Without credentials, or without the authority of the certificate, the
// answer is that nothing is known; never that nothing is signed.
func TestRegistries(t *testing.T) {
	crane, err := toolcache.Path("crane", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sites() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.authority = newAuthority(t)
			s.start(t, s)
			r := &round{dir: t.TempDir(), alg: algorithms()[0], image: s.push(t, "team/app:v1"), other: s.push(t, "team/app:v2")}
			if err := os.WriteFile(r.file("predicate.json"), []byte(`{"built":true}`), 0o600); err != nil {
				t.Fatal(err)
			}
			s.bothSign(t, r)
			digests := s.listed(t, r)
			s.refused(t, r)
			s.copied(t, r)
			if !s.mutual { // crane cannot show a certificate
				crane := s.as(t, &program{name: "crane", exe: crane, world: theWorld})
				s.read(t, crane, r, digests)
				s.repaired(t, crane, r)
			}
		})
	}
}

// bothSign has each program write each of its formats, and the other verify it.
func (s *site) bothSign(t *testing.T, r *round) {
	t.Helper()
	for _, d := range []direction{{"", theWorld.bulla, theWorld.cosign}, {"", theWorld.cosign, theWorld.bulla}} {
		for _, f := range imageFlows() {
			r.key = theWorld.key(t, d.signer, r.alg, d.signer.name) // a key for each, or each would find its own signature
			s.as(t, d.signer).run(append(f.sign(r), s.flags()...)...).wantOK(t)
			s.as(t, d.verifier).run(append(f.verify(r), s.flags()...)...).wantOK(t)
		}
	}
}

// refused asks for what must not be taken.
func (s *site) refused(t *testing.T, r *round) {
	t.Helper()
	f := imageFlows()[0]
	swapped := *r
	swapped.image = r.other
	s.as(t, theWorld.bulla).run(append(f.verify(&swapped), s.flags()...)...).wantRefused(t).wantStatus(t, theWorld.bulla, f, 10)
	unknown := func(what string, got result) {
		if got.code != 20 {
			t.Errorf("%s: should end with 20: %s", what, got)
		}
	}
	if s.login {
		unknown("nobody", theWorld.bulla.run(append(f.verify(r), s.flags()...)...))
		mallory := theWorld.bulla.with("DOCKER_CONFIG=" + dockerConfig(t, s.addr, "guessed"))
		unknown("a wrong password", mallory.run(append(f.verify(r), s.flags()...)...))
	}
	if s.secure {
		stranger := newAuthority(t)
		unknown("a certificate of nobody's", s.as(t, theWorld.bulla).with("SSL_CERT_FILE=").run(f.verify(r)...))
		unknown("a certificate of somebody else's", s.as(t, theWorld.bulla).run(append(f.verify(r), "--registry-cacert", stranger.ca)...))
	}
}

// listed has both programs list what is attached: four pieces by each program, of which the older formats share a tag.
func (s *site) listed(t *testing.T, r *round) []string {
	t.Helper()
	s.as(t, theWorld.cosign).run(join([]string{"tree"}, s.flags(), []string{r.image})...).wantOK(t)
	tree := s.as(t, theWorld.bulla).run(join([]string{"tree", "--output", "json"}, s.flags(), []string{r.image})...)
	tree.wantOK(t)
	digests := treeDigests(t, tree.stdout)
	if len(digests) != 6 { // two bundles by each, and the two older tags that they share
		t.Fatalf("%d pieces are attached: %s", len(digests), tree)
	}
	return digests
}

// copied carries all of it to a registry of the other kind, where cosign verifies what bulla wrote, and back to another
// repository, where bulla verifies what cosign wrote.
func (s *site) copied(t *testing.T, r *round) {
	t.Helper()
	away := fmt.Sprintf("%s/away-%08x/app:v1", theWorld.referrers, random32(t))
	home := s.addr + "/elsewhere/app:v1"
	for _, way := range []struct {
		from, to         string
		signer, verifier *program
	}{{r.image, away, theWorld.bulla, theWorld.cosign}, {away, home, theWorld.cosign, theWorld.bulla}} {
		s.as(t, theWorld.bulla).run(join([]string{"copy"}, s.flags(), []string{way.from, way.to})...).wantOK(t)
		arrived := at(r, way.to)
		arrived.key = theWorld.key(t, way.verifier, r.alg, way.signer.name)
		for _, f := range imageFlows() {
			s.as(t, way.verifier).run(append(f.verify(arrived), s.flags()...)...).wantOK(t)
		}
	}
}

// read has crane fetch the image and each piece that is attached to it, by digest.
func (s *site) read(t *testing.T, crane *program, r *round, digests []string) {
	t.Helper()
	repository := strings.SplitN(r.image, "@", 2)[0]
	got := crane.run("digest", repository+":v1")
	got.wantOK(t)
	if strings.TrimSpace(got.stdout) != digestPart(r.image) {
		t.Errorf("the image is %s", got)
	}
	for _, digest := range digests {
		crane.run("manifest", repository+"@"+digest).wantOK(t)
	}
	crane.run("copy", r.image, s.addr+"/cranes/app:v1").wantOK(t)
}

// repaired has a repository in which the older tag is gone and its continuation is left, as where tags are written once:
// nobody finds what was signed, until it is repaired, and then cosign does too.
func (s *site) repaired(t *testing.T, crane *program, r *round) {
	t.Helper()
	from, to := strings.SplitN(r.image, "@", 2)[0], s.addr+"/lost/app"
	stem := strings.Replace(digestPart(r.image), ":", "-", 1)
	crane.run("copy", r.image, to+":v1").wantOK(t)
	crane.run("copy", from+":"+stem+".sig", to+":"+stem+".1.sig").wantOK(t)
	lost := at(r, to)
	for _, f := range imageFlows() {
		if f.name != "image/legacy" {
			continue
		}
		for _, d := range []direction{{"", theWorld.bulla, theWorld.cosign}, {"", theWorld.cosign, theWorld.bulla}} {
			lost.key = theWorld.key(t, d.verifier, r.alg, d.signer.name)
			if d.signer == theWorld.bulla {
				s.as(t, theWorld.bulla).run(append(f.verify(lost), s.flags()...)...).wantRefused(t)
				s.as(t, theWorld.bulla).run(join([]string{"repair"}, s.flags(), []string{lost.image})...).wantOK(t)
			}
			s.as(t, d.verifier).run(append(f.verify(lost), s.flags()...)...).wantOK(t)
		}
		return
	}
	t.Error("there is no flow of older signatures of images")
}

func dockerConfig(t *testing.T, addr, password string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, addr, registryUser, password)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// treeDigests are the digests of what bulla's list has.
func treeDigests(t *testing.T, text string) []string {
	t.Helper()
	var list struct{ Attached []struct{ Digest string } }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var digests []string
	for _, piece := range list.Attached {
		digests = append(digests, piece.Digest)
	}
	return digests
}
