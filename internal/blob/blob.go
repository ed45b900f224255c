// Package blob reads the artifacts that blob commands sign and verify: files, standard input, URLs, environment
// variables and bare digests. Whatever its size, an artifact is hashed as it flows by and never held in memory.
package blob

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/pipe"
)

// Need is one digest to compute: Hash over Prefix followed by the artifact.
type Need struct {
	Hash   crypto.Hash
	Prefix []byte
}

// Blob is an artifact as far as it was asked for. It implements [algorithm.Opener].
type Blob struct {
	// Name is what the user typed, as [DisplayName] shows it.
	Name string
	// open starts the artifact from its beginning; nil when it can be read only once, or is known by digest only.
	open func() (io.ReadCloser, error)
	// once reads the artifact the only time that it can be read; nil when open is set or nothing can be read.
	once    io.Reader
	ctx     context.Context // ends the reading when it is cancelled; nil: nothing does
	digests map[string][]byte
	known   []string // what a bare digest was given in, for messages
}

// Sources say where artifacts that are not files come from.
type Sources struct {
	Stdin     io.Reader
	LookupEnv func(string) (string, bool)
	HTTP      *http.Client
}

// Open finds the artifact that ref names: "-" is standard input, "sha256:HEX" (sha384, sha512) a bare digest,
// "http://", "https://" and "env://" what they say, and anything else a file. A file that has such a name wins.
func Open(ctx context.Context, ref string, src Sources) (*Blob, error) {
	b := &Blob{Name: DisplayName(ref), ctx: ctx, digests: map[string][]byte{}}
	if ref == "-" {
		b.Name, b.once = "standard input", pipe.Reader(pipe.Patience(ctx), src.Stdin)
		return b, nil
	}
	info, err := os.Stat(ref)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory; give a file", ref)
	case err == nil && info.Mode().IsRegular():
		b.open = func() (io.ReadCloser, error) { return os.Open(ref) }
		return b, nil
	case err == nil:
		// A pipe or a device: it can be read once only.
		f, err := pipe.Open(pipe.Patience(ctx), ref)
		b.once = f
		return b, err
	}
	if known, derr := b.digest(ref); known {
		return b, derr
	}
	switch scheme, rest, ok := strings.Cut(ref, "://"); {
	case ok && scheme == "env":
		value, found := src.LookupEnv(rest)
		if !found {
			return nil, fmt.Errorf("%s: the environment variable is not set: %w", ref, fs.ErrNotExist)
		}
		b.open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(value)), nil }
		return b, nil
	case ok && (scheme == "http" || scheme == "https"):
		b.open = func() (io.ReadCloser, error) { return get(ctx, src.HTTP, ref) }
		return b, nil
	}
	return nil, err
}

// DisplayName shows where an artifact or a key comes from. Of a URL that is where it leads: the user in front of the host,
// the query and the fragment may be secrets that open it, and messages and reports end up in logs that others read.
func DisplayName(ref string) string {
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok || (scheme != "http" && scheme != "https") {
		return ref
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	host, path, slash := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:]
	if slash {
		host += "/"
	}
	return scheme + "://" + host + path
}

// digest recognises "sha256:HEX" and its siblings.
func (b *Blob) digest(ref string) (bool, error) {
	name, value, ok := strings.Cut(ref, ":")
	h, known := algorithm.Hash(name)
	if !ok || !known {
		return false, nil
	}
	sum, err := hex.DecodeString(value)
	if err != nil || len(sum) != h.Size() || value != strings.ToLower(value) {
		return true, fmt.Errorf("%s is not a %s digest: it needs %d lower-case hexadecimal digits after the colon", ref, name, 2*h.Size())
	}
	b.AddDigest(h, sum)
	return true, nil
}

// FromDigest is an artifact of which only a digest is known.
func FromDigest(name string, h crypto.Hash, sum []byte) *Blob {
	b := &Blob{Name: DisplayName(name), digests: map[string][]byte{}}
	b.AddDigest(h, sum)
	return b
}

// AddDigest states a digest that is known without reading.
func (b *Blob) AddDigest(h crypto.Hash, sum []byte) {
	b.digests[key(h, nil)] = sum
	b.known = append(b.known, algorithm.HashName(h))
}

// get starts a download of the bytes as they are served: a file that is compressed already must not be taken apart on the
// way, or its digest would be another than that of what everybody else downloads.
func get(ctx context.Context, client *http.Client, address string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: it is not a valid URL", DisplayName(address))
	}
	req.Header.Set("Accept-Encoding", "identity")
	careful := *client
	careful.CheckRedirect = noDowngrade
	resp, err := careful.Do(req)
	if err != nil {
		// net/http says the URL again, and those that it was redirected to, with whatever secret is in them.
		var told *url.Error
		if errors.As(err, &told) {
			err = told.Err
		}
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: it answered HTTP %d", ErrNoAnswer, resp.StatusCode)
	}
	return download{resp.Body}, nil
}

// noDowngrade keeps an artifact that was asked for over TLS, maybe to be signed, from arriving without it.
func noDowngrade(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirected from https to %s", req.URL.Scheme)
	}
	return nil
}

// ErrNoAnswer says that a server did not deliver the artifact, or not all of it.
var ErrNoAnswer = errors.New("the server did not deliver it")

// download marks errors in the middle of a download as the server's.
type download struct{ io.ReadCloser }

func (d download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return n, err
}

// Hash computes all of the needs in one pass. For an artifact that can be read only once, it must be called before
// [Blob.Digest], with everything that will be asked for.
func (b *Blob) Hash(needs ...Need) error {
	var missing []Need
	for _, n := range needs {
		if _, ok := b.digests[key(n.Hash, n.Prefix)]; !ok {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	r, err := b.reader()
	if errors.Is(err, ErrNoAnswer) {
		return fmt.Errorf("reading %s: %w", b.Name, err)
	}
	if err != nil {
		return err
	}
	hashes := make([]hash.Hash, len(missing))
	writers := make([]io.Writer, len(missing))
	for i, n := range missing {
		if !n.Hash.Available() {
			return fmt.Errorf("%s: hash %v is not available", b.Name, n.Hash)
		}
		hashes[i] = n.Hash.New()
		hashes[i].Write(n.Prefix)
		writers[i] = hashes[i]
	}
	_, err = io.CopyBuffer(writerOnly{io.MultiWriter(writers...)}, interruptible{b.ctx, r}, make([]byte, bufferSize))
	err = errors.Join(err, r.Close())
	if err != nil {
		return fmt.Errorf("reading %s: %w", b.Name, err)
	}
	for i, n := range missing {
		b.digests[key(n.Hash, n.Prefix)] = hashes[i].Sum(nil)
	}
	return nil
}

// bufferSize is how much is read at once: large enough that system calls do not show beside hashing.
const bufferSize = 256 << 10

// interruptible ends when the user gives up. It does not end when time runs out: how long a file takes to read is its size,
// and downloads are bounded by their context.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	if r.ctx != nil && errors.Is(r.ctx.Err(), context.Canceled) {
		return 0, r.ctx.Err()
	}
	return r.Reader.Read(p)
}

// writerOnly keeps io.CopyBuffer to the buffer it was given.
type writerOnly struct{ io.Writer }

func (b *Blob) reader() (io.ReadCloser, error) {
	if b.open != nil {
		return b.open()
	}
	if b.once != nil {
		r := b.once
		b.once = nil
		return io.NopCloser(r), nil
	}
	if len(b.known) > 0 {
		return nil, fmt.Errorf("%s: only its %s digest is known: %w", b.Name, strings.Join(b.known, " and "), algorithm.ErrDigestUnavailable)
	}
	return nil, fmt.Errorf("%s was read already and cannot be read again: %w", b.Name, algorithm.ErrDigestUnavailable)
}

// Readable says whether the artifact can be read from its beginning any number of times.
func (b *Blob) Readable() bool { return b.open != nil }

// Open implements [algorithm.Opener]: it starts the artifact from its beginning, a download once more.
func (b *Blob) Open() (io.ReadCloser, error) {
	if b.open == nil {
		return nil, fmt.Errorf("%s cannot be read again: %w", b.Name, errors.ErrUnsupported)
	}
	r, err := b.open()
	if errors.Is(err, ErrNoAnswer) {
		return nil, fmt.Errorf("reading %s: %w", b.Name, err)
	}
	return r, err
}

// Digest implements [algorithm.Message]: h over prefix and artifact, computed now unless [Blob.Hash] did so before.
func (b *Blob) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	if sum, ok := b.digests[key(h, prefix)]; ok {
		return sum, nil
	}
	if err := b.Hash(Need{h, prefix}); err != nil {
		return nil, err
	}
	return b.digests[key(h, prefix)], nil
}

func key(h crypto.Hash, prefix []byte) string { return fmt.Sprintf("%d:%s", h, prefix) }
