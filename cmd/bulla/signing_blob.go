package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/sign"
)

// besideSuffix is how the bundle of a file is called when it lies beside it; verify-blob looks for it there.
const besideSuffix = ".sigstore.json"

// blobSigning is what the commands have in common that sign something about files: many at a time, each with a bundle.
type blobSigning struct {
	*signing
	batch
	bundleDir string
}

func registerBundleDir(fs *pflag.FlagSet, dir *string) {
	fs.StringVar(dir, "bundle-dir", "", "write the bundles of files into `DIR`, each named after its file or digest")
	cli.Own(fs, "bundle-dir")
	cli.Exclusive(fs, "bundle", "bundle-dir")
}

// bundlePaths says where each bundle goes. Two to one file are refused, and a file that is named twice is signed once.
func (o *blobSigning) bundlePaths(c *cli.Call) ([]string, error) {
	if o.legacy() {
		return make([]string, len(c.Args)), nil
	}
	if o.bundleDir != "" { // before anything is signed that could then not be kept
		if _, err := os.ReadDir(o.bundleDir); err != nil {
			return nil, inputError(err)
		}
	}
	var paths, names []string
	whose := map[string]string{}
	for _, ref := range c.Args {
		path, err := o.pathFor(c, ref)
		if err != nil {
			return nil, err
		}
		switch other, there := whose[path]; {
		case there && other == ref:
			continue
		case there:
			return nil, cli.Usagef("the bundles of %s and %s would both go to %s", artifactName(other), artifactName(ref), path)
		}
		whose[path] = ref
		if o.both() {
			if err := o.olderFree(c, path, whose); err != nil {
				return nil, err
			}
		}
		paths, names = append(paths, path), append(names, ref)
	}
	c.JSONLines = c.JSONLines || len(c.Args) > 1
	c.Args = names
	return paths, nil
}

func (o *blobSigning) pathFor(c *cli.Call, ref string) (string, error) {
	if o.bundleDir == "" {
		return o.bundlePath(c, ref, o.skipSigned)
	}
	if ref == "-" {
		return "", cli.Usagef("standard input has no name for a file in --bundle-dir").WithHint("say where its bundle goes with --bundle FILE")
	}
	name := ref
	if u, err := url.Parse(ref); err == nil && u.Host != "" {
		name = u.Path // without what opens it
	}
	name = strings.ReplaceAll(filepath.Base(name), ":", "-")
	if name == "." || name == string(filepath.Separator) {
		return "", cli.Usagef("%s has no name for a file in --bundle-dir", artifactName(ref))
	}
	path := filepath.Join(o.bundleDir, name+besideSuffix)
	if !o.skipSigned {
		_, err := confirmOverwrite(c, o.Yes, path)
		return path, err
	}
	return path, nil
}

// olderFree makes sure that cosign's own bundle, which goes to a file that no flag names, replaces nothing unasked.
func (o *blobSigning) olderFree(c *cli.Call, path string, whose map[string]string) error {
	old := olderPath(path)
	if other, there := whose[old]; there {
		return cli.Usagef("the bundles of %s and %s would both go to %s", artifactName(other), artifactName(whose[path]), old)
	}
	whose[old] = whose[path]
	if o.skipSigned {
		return nil
	}
	_, err := confirmOverwrite(c, o.Yes, old)
	return err
}

// bundlePath says where the bundle of a file goes. Called bulla, the place beside the file is the default, and nothing
// that lies there already is replaced unasked, since no flag named it.
// keep leaves it to the caller what to do about that.
func (s *signing) bundlePath(c *cli.Call, artifact string, keep bool) (string, error) {
	switch {
	case s.Bundle != "":
		return s.Bundle, nil
	case c.Cosign:
		return "", cli.Usagef("must specify --bundle with --new-bundle-format")
	case artifact == "":
		return "", cli.Usagef("there is no file beside which the bundle could be written").WithHint("say where it goes with --bundle FILE")
	}
	info, err := os.Stat(artifact)
	if artifact == "-" || strings.Contains(artifact, ":") && errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return "", cli.Usagef("the bundle cannot be written beside %s: that is not a file", artifactName(artifact)).
			WithHint("say where it goes with --bundle FILE")
	}
	path := artifact + besideSuffix
	if keep {
		return path, nil
	}
	_, err = confirmOverwrite(c, s.Yes, path)
	return path, err
}

func artifactName(ref string) string {
	if ref == "" || ref == "-" {
		return "standard input"
	}
	return blob.DisplayName(ref)
}

// openArtifact opens what is to be signed and hashes it once. What can be read only once and must be read again for the
// signature is first copied to a temporary file, which the returned function removes.
func openArtifact(ctx context.Context, c *cli.Call, ref string, o *sign.Options) (*blob.Blob, func(), error) {
	needs, rereads, err := o.Needs()
	if err != nil {
		return nil, nil, inputError(err)
	}
	name, remove := ref, func() {}
	if rereads && readOnce(ref) {
		if name, err = spool(ctx, c, ref); err != nil {
			return nil, nil, inputError(err)
		}
		remove = func() { os.Remove(name) }
	}
	b, err := openBlob(ctx, c, name)
	if err == nil {
		var digests []blob.Need
		for _, n := range needs {
			digests = append(digests, blob.Need{Hash: n.Hash, Prefix: n.Prefix})
		}
		err = inputError(b.Hash(digests...))
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	b.Name = artifactName(ref)
	return b, remove, nil
}

// readOnce says whether ref is standard input, a pipe or a device.
func readOnce(ref string) bool {
	info, err := os.Stat(ref)
	return ref == "-" || (err == nil && !info.Mode().IsRegular() && !info.IsDir())
}

// spool copies a stream to a temporary file and returns its name.
func spool(ctx context.Context, c *cli.Call, ref string) (name string, err error) {
	in := pipe.Reader(pipe.Patience(ctx), c.In)
	if ref != "-" {
		f, err := pipe.Open(pipe.Patience(ctx), ref)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	out, err := os.CreateTemp("", "bulla-artifact-")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(out.Name())
		return "", err
	}
	return out.Name(), nil
}

// sha256Of is the artifact's digest as statements and reports have it.
func sha256Of(b *blob.Blob) (string, error) {
	sum, err := b.Digest(crypto.SHA256, nil)
	if err != nil {
		return "", inputError(err)
	}
	return hex.EncodeToString(sum), nil
}

// writeFile writes evidence to a file and says so in cosign's words.
func writeFile(c *cli.Call, path string, data []byte, message string) error {
	if err := replaceFile(path, data); err != nil {
		return err
	}
	c.Infof(message, path)
	return nil
}

// noCertificate refuses --output-certificate where there is none.
func (s *signing) noCertificate(c *cli.Call) error {
	if s.Certificate != "" || s.identified() {
		return nil
	}
	return refuseIgnored(c, ignoredFlag{"output-certificate", "a signature with a key has no certificate", "verify with the public key (\"public-key\" prints it)"})
}
