package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Edit opens a layout in a directory to add to it. What is there keeps its bytes; what was added is listed once [Layout.Save]
// is called, and before that is found by its subject only. An archive cannot be edited.
func Edit(dir string) (*Layout, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is an archive, and nothing can be added to it where it lies", dir)
	}
	l, err := Open(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"sha256", "sha512"} {
		if err := os.MkdirAll(filepath.Join(dir, "blobs", sub), 0o755); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	l.dir = dir
	return l, nil
}

// openIndex is index.json with everything in it that we do not know.
type openIndex struct {
	SchemaVersion int                       `json:"schemaVersion"`
	MediaType     string                    `json:"mediaType,omitzero"`
	Manifests     []jsontext.Value          `json:"manifests"`
	Rest          map[string]jsontext.Value `json:",embed"`
}

// Save lists in index.json what was added since [Edit]: older tags, by their names, and referrers. It reads the file anew,
// keeps what is there in its order, and replaces the entry of a tag that holds something else now.
func (l *Layout) Save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := readFile(l.files, "index.json")
	if err != nil {
		return err
	}
	listed, err := parseIndex(data)
	if err != nil {
		return err
	}
	var doc openIndex
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("index.json: %s", printable(err.Error()))
	}
	var added []descriptor
	for tag, d := range l.tags {
		i := slices.IndexFunc(listed, func(d descriptor) bool { return d.Annotations[annotationRef] == tag })
		switch {
		case i < 0 && isLegacyTag(tag):
			d.Annotations = map[string]string{annotationRef: tag}
			added = append(added, d)
		case i >= 0 && listed[i].Digest != d.Digest:
			d.Annotations = listed[i].Annotations
			if doc.Manifests[i], err = json.Marshal(d, json.Deterministic(true)); err != nil {
				return err
			}
		}
	}
	for _, list := range l.subject {
		for _, d := range list {
			if !slices.ContainsFunc(listed, func(o descriptor) bool { return o.Digest == d.Digest }) {
				added = append(added, d)
			}
		}
	}
	slices.SortFunc(added, func(a, b descriptor) int { return strings.Compare(a.Digest, b.Digest) })
	for _, d := range added {
		raw, err := json.Marshal(d, json.Deterministic(true))
		if err != nil {
			return err
		}
		doc.Manifests = append(doc.Manifests, raw)
	}
	out, err := json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	if len(out) > maxIndex {
		return fmt.Errorf("index.json would have %d bytes, the limit is %d", len(out), maxIndex)
	}
	return writeFile(filepath.Join(l.dir, "index.json"), append(out, '\n'))
}
