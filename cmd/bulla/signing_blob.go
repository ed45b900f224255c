package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
)

// besideSuffix is how the bundle of a file is called when it lies beside it; verify-blob looks for it there.
const besideSuffix = ".sigstore.json"

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
		if name, err = spool(c, ref); err != nil {
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
func spool(c *cli.Call, ref string) (name string, err error) {
	in := c.In
	if ref != "-" {
		f, err := os.Open(ref)
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
