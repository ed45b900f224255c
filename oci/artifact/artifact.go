// Package artifact makes images out of files, each file a layer: what a registry needs to keep an SBOM, a program or a
// WebAssembly module. A [Set] is a source that package carry brings to any target.
//
// The same files make the same images, byte by byte, and the same that cosign makes of them.
package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bulla-sign/bulla/oci/carry"
)

// Media types of what is made (image-spec "media-types").
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
)

// Content is the content of a layer: a file, read when it is needed, or bytes.
type Content struct {
	Digest  string // "sha256:…"
	Size    int64  // bytes
	Sniffed string // media type as its first bytes look (WHATWG "MIME Sniffing"), without parameters

	path string
	data []byte
}

// FromBytes makes content of bytes, which must not change afterwards.
func FromBytes(data []byte) *Content {
	sum := sha256.Sum256(data)
	return &Content{Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(data)), Sniffed: sniff(data), data: data}
}

// FromFile makes content of a file, which is read once here, to know its digest, and once for each time that it is sent.
func FromFile(path string) (*Content, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 512) // as much as is looked at
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	h := sha256.New()
	h.Write(head[:n]) // never fails
	rest, err := io.Copy(h, f)
	if err != nil {
		return nil, err
	}
	return &Content{Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: int64(n) + rest, Sniffed: sniff(head[:n]), path: path}, nil
}

// open refuses what has no content of its own, such as a directory or a pipe: it is read more than once.
func open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

func sniff(head []byte) string {
	mediaType, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return mediaType
}

// Image says what an image of one layer is like.
type Image struct {
	Content     *Content
	MediaType   string // of the layer; empty: as sniffed
	ConfigType  string // media type of the config; empty: that of images
	Annotations map[string]string
	Subject     *carry.Descriptor // what it is attached to
	Platform    Platform          // as the index states it
}

// Platform is the part of image-spec "platform" that a file has.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// Set has the images that were made. It implements [carry.Source].
type Set struct {
	manifests map[string]*carry.Manifest
	blobs     map[string]*Content
	named     map[string][]carry.Descriptor
}

// NewSet makes an empty set.
func NewSet() *Set {
	return &Set{manifests: map[string]*carry.Manifest{}, blobs: map[string]*Content{}, named: map[string][]carry.Descriptor{}}
}

type descriptor struct {
	MediaType    string    `json:"mediaType"`
	Size         int64     `json:"size"`
	Digest       string    `json:"digest"`
	Platform     *Platform `json:"platform,omitzero"`
	ArtifactType string    `json:"artifactType,omitzero"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        *descriptor       `json:"config,omitzero"`
	Layers        []descriptor      `json:"layers,omitzero"`
	Manifests     []descriptor      `json:"manifests,omitzero"`
	Annotations   map[string]string `json:"annotations,omitempty"`
	Subject       *descriptor       `json:"subject,omitzero"`
}

// config is the config of an image whose one layer is diffID. Of what is no image for containers it names no layers.
func config(configType, diffID string) []byte {
	if configType != typeConfig {
		return []byte(`{"architecture":"","created":"0001-01-01T00:00:00Z","os":"","rootfs":{"type":"layers","diff_ids":null},"config":{}}`)
	}
	return []byte(`{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"}],"os":"",` +
		`"rootfs":{"type":"layers","diff_ids":["` + diffID + `"]},"config":{}}`)
}

// Image makes an image of one layer.
func (s *Set) Image(i Image) (*carry.Manifest, error) {
	if i.MediaType == "" {
		i.MediaType = i.Content.Sniffed
	}
	if i.ConfigType == "" {
		i.ConfigType = typeConfig
	}
	c := FromBytes(config(i.ConfigType, i.Content.Digest))
	s.blobs[c.Digest], s.blobs[i.Content.Digest] = c, i.Content
	m := manifest{
		SchemaVersion: 2, MediaType: typeManifest, Annotations: i.Annotations,
		Config: &descriptor{MediaType: i.ConfigType, Size: c.Size, Digest: c.Digest},
		Layers: []descriptor{{MediaType: i.MediaType, Size: i.Content.Size, Digest: i.Content.Digest}},
	}
	if i.Subject != nil {
		m.Subject = &descriptor{MediaType: i.Subject.MediaType, Size: i.Subject.Size, Digest: i.Subject.Digest}
	}
	return s.add(m)
}

// Index makes an index of images for several platforms. An image without a platform has none in the index either.
func (s *Set) Index(images []Image, annotations map[string]string) (*carry.Manifest, error) {
	index := manifest{SchemaVersion: 2, MediaType: typeIndex, Annotations: annotations}
	for _, i := range images {
		made, err := s.Image(i)
		if err != nil {
			return nil, err
		}
		d := descriptor{MediaType: made.MediaType, Size: made.Size, Digest: made.Digest, ArtifactType: i.ConfigType}
		if d.ArtifactType == "" {
			d.ArtifactType = typeConfig
		}
		if i.Platform != (Platform{}) {
			d.Platform = &i.Platform
		}
		index.Manifests = append(index.Manifests, d)
	}
	return s.add(index)
}

func (s *Set) add(m manifest) (*carry.Manifest, error) {
	body, err := json.Marshal(m, json.Deterministic(true), jsontext.EscapeForHTML(true), jsontext.EscapeForJS(true))
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	c := FromBytes(body)
	made := &carry.Manifest{Descriptor: carry.Descriptor{MediaType: m.MediaType, Digest: c.Digest, Size: c.Size}, Body: body}
	s.manifests[c.Digest] = made
	if m.Config != nil {
		var named []carry.Descriptor
		for _, d := range append([]descriptor{*m.Config}, m.Layers...) {
			named = append(named, carry.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
		}
		s.named[c.Digest] = named
	}
	return made, nil
}

// Manifest returns a manifest of the set by its digest.
func (s *Set) Manifest(_ context.Context, reference string) (*carry.Manifest, error) {
	if m := s.manifests[reference]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%s: %w", reference, carry.ErrNotFound)
}

// Named lists the blobs that an image of the set names: its config, then its layer.
func (s *Set) Named(m *carry.Manifest) []carry.Descriptor { return s.named[m.Digest] }

// Attached is always empty: nothing is attached to what was just made.
func (s *Set) Attached(context.Context, *carry.Manifest) ([]carry.Piece, error) { return nil, nil }

// Blob opens what an image of the set names. A file that has changed since it was named fails at its end.
func (s *Set) Blob(_ context.Context, _ *carry.Manifest, d carry.Descriptor) (io.ReadCloser, error) {
	c := s.blobs[d.Digest]
	if c == nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, carry.ErrNotFound)
	}
	if c.path == "" {
		return io.NopCloser(bytes.NewReader(c.data)), nil
	}
	f, err := open(c.path)
	if err != nil {
		return nil, err
	}
	return &unchanged{File: f, want: c, hash: sha256.New()}, nil
}

// unchanged reads a file and fails when it is not what it was.
type unchanged struct {
	*os.File
	want *Content
	hash hash.Hash
	read int64
}

// WriteTo is hidden, so that everything passes through Read.
func (u *unchanged) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{u})
}

func (u *unchanged) Read(p []byte) (int, error) {
	n, err := u.File.Read(p)
	u.hash.Write(p[:n]) // never fails
	u.read += int64(n)
	atEnd := errors.Is(err, io.EOF)
	if u.read > u.want.Size || atEnd && "sha256:"+hex.EncodeToString(u.hash.Sum(nil)) != u.want.Digest {
		return 0, fmt.Errorf("%s has changed while it was sent", u.want.path)
	}
	return n, err
}
