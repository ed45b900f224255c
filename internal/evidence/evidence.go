// Package evidence reads signatures from files, in whatever form they are, as candidates for verification.
package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/verify"
)

// maxFile bounds an evidence file: a bundle with the largest attestation that is read, as JSON Lines a few of them.
const maxFile = 128 << 20

// Files names the files of the evidence about one artifact. Empty names were not given.
type Files struct {
	Artifact string
	// Bundle is a Sigstore bundle, several as JSON Lines, or cosign's older blob bundle.
	Bundle string
	// Signature is a file with a detached signature, or the signature itself in base64.
	Signature string
	// Certificate, Timestamp and SCT go with a detached signature or with an older bundle.
	Certificate, Timestamp, SCT string
	// Payload is what a detached signature is over when that is not the artifact.
	Payload string
	// Keyless says that a certificate is demanded: only then is one looked for beside the artifact.
	Keyless bool
}

// Found is the evidence that was read.
type Found struct {
	Candidates []verify.Candidate
	// Names are the files that it was read from; Beside says that they were found beside the artifact, not named.
	Names  []string
	Beside bool
}

// Load reads the evidence that was named, or else what lies beside the artifact. A pipe is waited for until ctx ends.
func (f Files) Load(ctx context.Context) (*Found, error) {
	switch {
	case f.Bundle != "" && f.Signature != "":
		return nil, errors.New("a bundle holds the signature: give --bundle or --signature, not both")
	case f.Bundle != "":
		return f.bundle(ctx, f.Bundle)
	case f.Signature != "":
		return f.detached(ctx, f.Signature)
	}
	return f.beside(ctx)
}

// beside looks for the names under which signatures are published.
func (f Files) beside(ctx context.Context) (*Found, error) {
	if info, err := os.Stat(f.Artifact); f.Artifact == "" || f.Artifact == "-" || err != nil || !info.Mode().IsRegular() {
		return nil, missing("no signature was named, and the artifact is no file to look beside: give --bundle FILE")
	}
	suffixes := []string{".sigstore.json", ".sigstore", ".bundle", ".sig"}
	for _, suffix := range suffixes {
		name := f.Artifact + suffix
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		load := f.bundle
		if suffix == ".sig" {
			load = f.withCertificateBeside().detached
		}
		found, err := load(ctx, name)
		if found != nil {
			found.Beside = true
		}
		return found, err
	}
	return nil, missing(fmt.Sprintf("no signature was named, and there is none beside the artifact: looked for %s followed by %s; give --bundle FILE",
		f.Artifact, strings.Join(suffixes, ", ")))
}

// missing is an [fs.ErrNotExist] in words of its own.
type missing string

func (m missing) Error() string { return string(m) }

// Is makes [errors.Is] find [fs.ErrNotExist].
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

func (f Files) withCertificateBeside() Files {
	for _, suffix := range []string{".pem", ".crt"} {
		if name := f.Artifact + suffix; f.Keyless && f.Certificate == "" {
			if _, err := os.Stat(name); err == nil {
				f.Certificate = name
			}
		}
	}
	return f
}

// bundle reads a file of bundles. A file that cannot be decoded is a candidate too: the report says what is wrong with it.
func (f Files) bundle(ctx context.Context, name string) (*Found, error) {
	data, err := Read(ctx, name)
	if err != nil {
		return nil, err
	}
	beside, err := f.Beside(ctx)
	if err != nil {
		return nil, err
	}
	docs, err := documents(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	found := &Found{Names: []string{name}}
	for i, doc := range docs {
		title := name
		if len(docs) > 1 {
			title = fmt.Sprintf("%s, document %d", name, i+1)
		}
		b, err := beside.decode(doc)
		found.Candidates = append(found.Candidates, verify.Candidate{Name: title, Bundle: b, Err: err})
	}
	return found, nil
}

// detached reads a signature that stands alone. The name may be the signature itself, in base64.
func (f Files) detached(ctx context.Context, name string) (*Found, error) {
	beside, err := f.Beside(ctx)
	if err != nil {
		return nil, err
	}
	found := &Found{Names: []string{name}}
	if f.Certificate != "" {
		found.Names = append(found.Names, f.Certificate)
	}
	parts := beside.parts
	parts.Signature, err = Read(ctx, name)
	if err != nil && looksBase64(name) {
		parts.Signature, err = []byte(name), nil
		found.Names[0] = "the given signature"
	}
	if err != nil {
		return nil, err
	}
	b, err := bundle.FromDetached(parts)
	found.Candidates = []verify.Candidate{{Name: found.Names[0], Bundle: b, Err: err}}
	return found, nil
}

// looksBase64 says whether a name that is no file may be a signature: the shortest, an Ed25519 one, has 88 characters.
func looksBase64(s string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
	return len(s) >= 80 && strings.Trim(s, alphabet) == ""
}

// documents splits JSON Lines. Anything else is one document.
func documents(data []byte) ([][]byte, error) {
	var out [][]byte
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line[0] != '{' || line[len(line)-1] != '}' {
			return [][]byte{data}, nil
		}
		if len(out) == verify.MaxCandidates {
			return nil, fmt.Errorf("it has more than %d documents, too many to look at", verify.MaxCandidates)
		}
		out = append(out, line)
	}
	if len(out) == 0 {
		return [][]byte{data}, nil
	}
	return out, nil
}

// Read reads an evidence file up to its limit; a pipe, until ctx ends.
func Read(ctx context.Context, name string) ([]byte, error) {
	f, err := pipe.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tooLarge := fmt.Errorf("%s has more than %d bytes, too many for a signature", name, maxFile)
	if info, err := os.Stat(name); err == nil && info.Size() > maxFile {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, tooLarge
	}
	return data, err
}
