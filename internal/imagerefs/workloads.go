package imagerefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// The limits of what is walked.
const (
	// maxNodes bounds a walk through aliases, which may name the same part often: far above any real file.
	maxNodes = 2_000_000
	// maxDepth is several times that of the deepest custom resources.
	maxDepth = 200
)

// walk is the state of reading YAML.
type walk struct {
	images list
	lookup func(string) (string, bool)
	nodes  int
}

// Workloads lists the images in YAML or JSON: of the containers, initContainers and ephemeralContainers of anything, however
// deep its pod template lies, of volumes made from images, and of the services of a Compose file, in which variables are
// replaced by lookup. All documents of the file are read.
func Workloads(data []byte, lookup func(string) (string, bool)) ([]string, error) {
	w := &walk{lookup: lookup}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return w.images.names, nil
		}
		if err == nil {
			err = w.document(&doc)
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

func (w *walk) document(doc *yaml.Node) error {
	if len(doc.Content) != 1 {
		return nil
	}
	root := resolve(doc.Content[0])
	if value(root, "kind") == nil { // Kubernetes objects have one, Compose files have not
		if services := value(root, "services"); services != nil && services.Kind == yaml.MappingNode {
			if err := w.compose(services); err != nil {
				return err
			}
		}
	}
	return w.node(root, 1)
}

func resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// value returns a member of a mapping, looking into what it merges ("<<"); nil when it has none.
func value(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return resolve(n.Content[i+1])
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "<<" {
			continue
		}
		merged := resolve(n.Content[i+1])
		if merged == nil {
			continue
		}
		sources := []*yaml.Node{merged}
		if merged.Kind == yaml.SequenceNode {
			sources = merged.Content
		}
		for _, source := range sources {
			source = resolve(source)
			if source == nil || source.Kind != yaml.MappingNode {
				continue
			}
			for j := 0; j+1 < len(source.Content); j += 2 {
				if source.Content[j].Value == name {
					return resolve(source.Content[j+1])
				}
			}
		}
	}
	return nil
}

func (w *walk) compose(services *yaml.Node) error {
	for i := 1; i < len(services.Content); i += 2 {
		image := value(resolve(services.Content[i]), "image")
		if image == nil {
			continue // it is built
		}
		name, err := expand(image.Value, w.lookup, "$$")
		if err == nil {
			err = w.add(image, name)
		}
		if err != nil {
			return fmt.Errorf("line %d: service %s: %w", image.Line, services.Content[i-1].Value, err)
		}
	}
	return nil
}

func (w *walk) add(n *yaml.Node, name string) error {
	if n.Kind != yaml.ScalarNode {
		return errors.New("image is not a name")
	}
	if err := checkName(name); err != nil {
		return err
	}
	return w.images.add(name)
}

// node looks for containers at any depth.
func (w *walk) node(n *yaml.Node, depth int) error {
	n = resolve(n)
	if w.nodes++; w.nodes > maxNodes || depth > maxDepth {
		return fmt.Errorf("more than %d nodes, or %d levels", maxNodes, maxDepth)
	}
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			if err := w.node(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i].Value, resolve(n.Content[i+1])
		switch key {
		case "containers", "initContainers", "ephemeralContainers", "volumes":
			if err := w.containers(child, key == "volumes"); err != nil {
				return err
			}
		}
		if err := w.node(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// containers reads a list of containers, or of volumes, whose image is {reference: NAME}.
func (w *walk) containers(n *yaml.Node, volumes bool) error {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	for _, c := range n.Content {
		image := value(resolve(c), "image")
		if volumes {
			image = value(image, "reference")
		}
		if image == nil {
			continue // a volume of another kind, or a container that is completed elsewhere
		}
		if err := w.add(image, image.Value); err != nil {
			return fmt.Errorf("line %d: %w", image.Line, err)
		}
	}
	return nil
}
