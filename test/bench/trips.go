package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulla-sign/bulla/internal/testenv/fault"
)

// The fewest requests in which the protocols let an image be signed keylessly.
const (
	// fewestServices: a certificate, a timestamp, a log entry.
	fewestServices = 3
	// fewestAPI, of a registry with the referrers API: the image's manifest; whether a blob is there; the empty configuration and
	// the bundle, each begun and sent; the bundle's manifest; and the list, to read it back. The ping is not counted.
	fewestAPI = 8
	// fewestTag, of one without: the API is asked in vain, and the list under the tag is read, sent and read again.
	fewestTag = 11
)

// counting is a proxy that counts what is asked.
type counting struct {
	*httptest.Server
	asked atomic.Int64
}

func count(address string) (*counting, error) {
	to, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	c, forward := new(counting), fault.Forward(to)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" { // the ping
			c.asked.Add(1)
		}
		forward.ServeHTTP(w, r)
	}))
	return c, nil
}

// trips is the rows of the requests that a keyless signing of an image takes, by kind of registry, beside cosign.
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
	var said struct{ URL, Token, TrustedRoot, SigningConfig string }
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		return fmt.Errorf("bulla-server up: %w", err)
	}
	services, err := count(said.URL)
	if err != nil {
		return err
	}
	defer services.Close()
	config, err := os.ReadFile(said.SigningConfig)
	if err != nil {
		return err
	}
	proxied := filepath.Join(dir, "signing-config.json")
	if err := os.WriteFile(proxied, []byte(strings.ReplaceAll(string(config), said.URL, services.URL)), 0o600); err != nil {
		return err
	}
	token, err := identityToken(said.Token)
	if err != nil {
		return err
	}
	flags := []string{"sign", "--yes", "--signing-config", proxied, "--trusted-root", said.TrustedRoot, "--identity-token", token}
	return b.inRegistries(func(kind registryKind) error {
		front, err := count("http://" + kind.addr)
		if err != nil {
			return err
		}
		defer front.Close()
		for _, p := range []struct{ name, exe string }{{"cosign", b.cosign}, {"bulla", b.bulla}} {
			image, err := pushRandom(strings.TrimPrefix(front.URL, "http://") + "/" + p.name + "/app:v1")
			if err != nil {
				return err
			}
			services.asked.Store(0)
			front.asked.Store(0)
			if err := runIn(b.env, p.exe, append(flags, image)...); err != nil {
				return err
			}
			s, r, goal := services.asked.Load(), front.asked.Load(), ""
			if p.name == "bulla" {
				goal = fmt.Sprintf("<= %d and <= %d", fewestServices, kind.sign)
			}
			b.print(row{"requests, keyless image, " + kind.name, p.name, fmt.Sprintf("%d services", s), fmt.Sprintf("%d registry", r), goal}, s <= fewestServices && r <= kind.sign)
		}
		return nil
	})
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
