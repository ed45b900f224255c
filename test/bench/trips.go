package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// The fewest requests in which the protocols let an image be signed keylessly, and the result be read back. The first contact
// with a registry comes before: the ping, by which it says how it wants to be asked (distribution specification, end-1), and
// the token that it may ask for.
const (
	// fewestServices: a certificate, a timestamp, a log entry.
	fewestServices = 3
	// fewestAPI, of a registry with the referrers API that takes a blob in a single request: the image's manifest; the list of
	// what is attached already, lest the same be signed twice; the empty configuration; the bundle; the manifest of the bundle;
	// and the list, to read it back.
	fewestAPI = 6
	// fewestTag, of one without the API that takes a blob in two requests: two more for the blobs; the API is asked in vain,
	// once; and the list under the tag is read, read again right before it is sent, sent, and read back.
	fewestTag = 11
	// fewestTUF: whether there is a newer root, and the timestamp (TUF specification, 5.3 and 5.4).
	fewestTUF = 2
)

// signatory is services, behind a proxy, and the flags that have an image signed by them.
type signatory struct {
	at    *distance
	flags []string
}

// trips is the rows of the requests and the time that a keyless signing of an image takes, by kind of registry, and of the
// requests by which a command learns what to trust, beside cosign.
func (b *bench) trips() error {
	dir, err := os.MkdirTemp(b.dir, "trips-")
	if err != nil {
		return err
	}
	up := exec.Command(b.server, "up", "--ephemeral", "--output", "json")
	up.Env = append(b.env, "TMPDIR="+dir)
	out, err := up.StdoutPipe()
	if err != nil {
		return err
	}
	if err := up.Start(); err != nil {
		return err
	}
	defer func() {
		_ = up.Process.Signal(os.Interrupt) // already gone is as good
		_ = up.Wait()
	}()
	var said struct{ URL, Token, TrustedRoot, SigningConfig, Root string }
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		return fmt.Errorf("bulla-server up: %w", err)
	}
	services, err := front(strings.TrimPrefix(said.URL, "http://"))
	if err != nil {
		return err
	}
	defer services.close()
	config, err := os.ReadFile(said.SigningConfig)
	if err != nil {
		return err
	}
	proxied := filepath.Join(dir, "signing-config.json")
	if err := os.WriteFile(proxied, []byte(strings.ReplaceAll(string(config), said.URL, "http://"+services.addr)), 0o600); err != nil {
		return err
	}
	token, err := identityToken(said.Token)
	if err != nil {
		return err
	}
	s := &signatory{services, []string{"sign", "--yes", "--signing-config", proxied, "--trusted-root", said.TrustedRoot, "--identity-token", token}}
	in := func(kind registryKind) error { return b.tripsTo(s, kind) }
	if err := b.inRegistries(in); err != nil {
		return err
	}
	addr, end, err := serve(withTokens(inMemory()))
	if err != nil {
		return err
	}
	defer end()
	if err := in(registryKind{name: "tokens", addr: addr, sign: fewestAPI, hello: 2}); err != nil {
		return err
	}
	return b.trustTrips(services, dir, said.Root, token)
}

// tripsTo is the rows of one kind of registry. Near, the requests of one signing are counted; far, it is timed.
func (b *bench) tripsTo(s *signatory, kind registryKind) error {
	at, err := front(kind.addr)
	if err != nil {
		return err
	}
	defer at.close()
	programs := []string{b.cosign, b.bulla}
	for _, p := range programs {
		image, err := pushRandom(fmt.Sprintf("%s/%s/app:v1", at.addr, filepath.Base(p)))
		if err != nil {
			return err
		}
		for _, n := range []*distance{s.at, at} {
			n.asked.Store(0)
			n.greeted.Store(0)
		}
		if err := runIn(b.env, p, append(s.flags, image)...); err != nil {
			return err
		}
		services, asked, greeted, goal := s.at.asked.Load(), at.asked.Load(), at.greeted.Load(), ""
		if p == b.bulla {
			goal = fmt.Sprintf("<= %d and <= %d + %d", fewestServices, kind.sign, kind.hello)
		}
		b.print(row{"requests, keyless image, " + kind.name, filepath.Base(p), fmt.Sprintf("%d services", services), fmt.Sprintf("%d + %d hello", asked, greeted), goal},
			services <= fewestServices && asked <= kind.sign && greeted <= kind.hello)
	}
	s.at.delay.Store(int64(slow))
	at.delay.Store(int64(slow))
	defer s.at.delay.Store(0)
	var took [2]series
	for i := range fewRuns {
		for j, p := range programs {
			image, err := pushRandom(fmt.Sprintf("%s/%s-%d/app:v1", at.addr, filepath.Base(p), i))
			if err != nil {
				return err
			}
			one, err := measure(append([]string{p}, append(s.flags, image)...), b.env)
			if err != nil {
				return err
			}
			took[j] = append(took[j], one)
		}
	}
	for j, p := range programs {
		b.print(row{fmt.Sprintf("keyless image, %s, %d ms", kind.name, slow.Milliseconds()), filepath.Base(p), ms(took[j].wall()), "", ""}, true)
	}
	return nil
}

// trustTrips is the rows of the requests by which a command of somebody who has initialized learns that nothing has changed.
func (b *bench) trustTrips(at *distance, dir, root, token string) error {
	for _, p := range []string{b.cosign, b.bulla} {
		env := append(b.env, "TUF_ROOT="+filepath.Join(dir, "tuf-"+filepath.Base(p)))
		artifact := filepath.Join(dir, "artifact")
		if err := os.WriteFile(artifact, []byte("an artifact\n"), 0o600); err != nil {
			return err
		}
		if err := runIn(env, p, "initialize", "--mirror", "http://"+at.addr+"/tuf", "--root", root); err != nil {
			return err
		}
		at.asked.Store(0)
		// The signing config of the repository names the services themselves: what comes through here is TUF.
		if err := runIn(env, p, "sign-blob", "--yes", "--identity-token", token, "--bundle", artifact+".json", artifact); err != nil {
			return err
		}
		asked, goal := at.asked.Load(), ""
		if p == b.bulla {
			goal = fmt.Sprintf("<= %d", fewestTUF)
		}
		b.print(row{"requests, trust by TUF", filepath.Base(p), "", fmt.Sprintf("%d repository", asked), goal}, asked <= fewestTUF)
	}
	return nil
}

// pushRandom stores a small image and returns its reference by digest.
func pushRandom(tag string) (string, error) {
	ref, err := name.ParseReference(tag)
	if err != nil {
		return "", err
	}
	img, err := random.Image(256, 1)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img); err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), nil
}
