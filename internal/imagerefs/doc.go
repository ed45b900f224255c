// Package imagerefs reads which images a file names: a Dockerfile, or YAML documents of workloads for Kubernetes or Compose.
// What cannot be resolved to the name of an image is an error, never left out: an image that is overlooked is one that is
// not verified.
package imagerefs

import (
	"fmt"
	"strings"
)

// The limits of what is read.
const (
	// MaxFile is far above any Dockerfile, and takes the output of large Helm charts.
	MaxFile = 16 << 20
	// maxImages bounds the images of one file: each costs requests.
	maxImages = 1000
)

// list collects images, each once, in the order of the file.
type list struct {
	names []string
	seen  map[string]bool
}

func (l *list) add(name string) error {
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	if l.seen[name] {
		return nil
	}
	if len(l.names) == maxImages {
		return fmt.Errorf("more than %d images", maxImages)
	}
	l.seen[name] = true
	l.names = append(l.names, name)
	return nil
}

// checkName refuses what no image is called, such as the placeholder of a template.
func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, "{}$ \t\n\"'`\\<>") {
		return fmt.Errorf("%q is not the name of an image; render templates first", name)
	}
	return nil
}
