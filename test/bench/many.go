package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Sizes of the rows about one session. cosign signs with a certificate for each artifact, so fewer of them tell its rate. It
// is run once for each, one after another and as many at a time as bulla signs.
const (
	manyDigests   = 1000
	cosignDigests = 64
	manyJobs      = 16
	// certificateLife is what a certificate of bulla-server can be used for: ten minutes, less the margin that package sign
	// keeps.
	certificateLife = 8 * time.Minute
)

// many is the rows of many digests in one session, beside cosign at the same services.
func (b *bench) many() error {
	dir, err := os.MkdirTemp(b.dir, "many-")
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
	var said struct{ Mirror, Root, Token string }
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		return fmt.Errorf("bulla-server up: %w", err)
	}
	env := append(b.env, "TUF_ROOT="+filepath.Join(dir, "tuf"))
	if err := runIn(env, b.bulla, "initialize", "--mirror", said.Mirror, "--root", said.Root); err != nil {
		return err
	}
	token, err := identityToken(said.Token)
	if err != nil {
		return err
	}
	ours, err := b.manyOurs(env, dir, token)
	if err != nil {
		return err
	}
	certificates, err := certificatesIn(filepath.Join(dir, "bundles"))
	if err != nil {
		return err
	}
	if token, err = identityToken(said.Token); err != nil {
		return err
	}
	best := 0.
	for _, jobs := range []int{1, manyJobs} {
		theirs, err := b.manyTheirs(env, dir, token, jobs)
		if err != nil {
			return err
		}
		their := cosignDigests / theirs.Seconds()
		best = max(best, their)
		b.print(row{fmt.Sprintf("digests signed/s, %d at a time", jobs), "cosign", fmt.Sprintf("%.1f/s", their), "", ""}, true)
	}
	our, allowed := manyDigests/ours.Seconds(), 1+int(ours/certificateLife)
	b.print(row{fmt.Sprintf("digests signed/s, %d at a time", manyJobs), "bulla", fmt.Sprintf("%.1f/s", our), "", fmt.Sprintf(">= 5 x; %.1f x", our/best)}, our >= 5*best)
	b.print(row{fmt.Sprintf("certificates for %d digests", manyDigests), "bulla", fmt.Sprint(certificates), "", fmt.Sprintf("<= %d", allowed)}, certificates <= allowed)
	return nil
}

func digest(i int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Appendf(nil, "digest %d", i)))
}

func (b *bench) manyOurs(env []string, dir, token string) (time.Duration, error) {
	var list strings.Builder
	for i := range manyDigests {
		fmt.Fprintln(&list, digest(i))
	}
	from := filepath.Join(dir, "list")
	if err := os.WriteFile(from, []byte(list.String()), 0o600); err != nil {
		return 0, err
	}
	bundles := filepath.Join(dir, "bundles")
	if err := os.Mkdir(bundles, 0o700); err != nil {
		return 0, err
	}
	start := time.Now()
	err := runIn(env, b.bulla, "sign-blob", "--yes", "--identity-token", token, "--jobs", strconv.Itoa(manyJobs), "--from", from, "--bundle-dir", bundles)
	return time.Since(start), err
}

// manyTheirs has so many processes of cosign sign at a time.
func (b *bench) manyTheirs(env []string, dir, token string, jobs int) (time.Duration, error) {
	files := make(chan string, cosignDigests)
	for i := range cosignDigests {
		file := filepath.Join(dir, fmt.Sprintf("artifact-%d-%d", jobs, i))
		if err := os.WriteFile(file, []byte(file), 0o600); err != nil {
			return 0, err
		}
		files <- file
	}
	close(files)
	failed := make(chan error, jobs)
	start := time.Now()
	for range jobs {
		go func() {
			for file := range files {
				if err := runIn(env, b.cosign, "sign-blob", "--yes", "--identity-token", token, "--bundle", file+".sigstore.json", file); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range jobs {
		if err := <-failed; err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

func runIn(env []string, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), args[0], err, out[max(0, len(out)-2000):])
	}
	return nil
}

// certificatesIn counts the different certificates in a folder of bundles, which must be complete.
func certificatesIn(dir string) (int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return 0, err
	}
	if len(files) != manyDigests {
		return 0, fmt.Errorf("%d bundles were written, not %d", len(files), manyDigests)
	}
	seen := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		var b struct {
			VerificationMaterial struct {
				Certificate struct{ RawBytes string }
			}
		}
		if err := json.Unmarshal(data, &b); err != nil {
			return 0, err
		}
		if b.VerificationMaterial.Certificate.RawBytes == "" {
			return 0, errors.New(file + " holds no certificate")
		}
		seen[b.VerificationMaterial.Certificate.RawBytes] = true
	}
	return len(seen), nil
}
