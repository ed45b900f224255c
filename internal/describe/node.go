// Package describe says in words what a file of evidence holds, without trusting any of it: bundles, envelopes,
// certificates, keys, timestamps, trusted roots and whatever else travels with a signature. Nothing here verifies
// anything; the output is for people who look at evidence, and as JSON for programs that show it to people.
//
// All text in a description may come from whoever made the file. [Node.Text] and [Document.Text] escape what a terminal
// would obey.
package describe

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Node is a line of a description, and what belongs below it.
type Node struct {
	Label string  `json:"label"`
	Value string  `json:"value,omitempty"`
	Items []*Node `json:"items,omitempty"`
}

// add appends a line below n and returns it.
func (n *Node) add(label, value string) *Node {
	below := &Node{Label: label, Value: value}
	n.Items = append(n.Items, below)
	return below
}

// addf is add with a formatted value.
func (n *Node) addf(label, format string, args ...any) *Node {
	return n.add(label, fmt.Sprintf(format, args...))
}

// some is add for a value that may be absent.
func (n *Node) some(label, value string) {
	if value != "" {
		n.add(label, value)
	}
}

// problem notes what is wrong with the thing that n describes.
func (n *Node) problem(err error) { n.add("Problem", err.Error()) }

// Document is what one file, or one line of a JSON Lines file, holds.
type Document struct {
	// Format is what it was recognised as: a bundle.Format, or "checkpoint".
	Format string `json:"format"`
	// Items say what is in it, in the order in which a person wants to know it.
	Items []*Node `json:"items,omitempty"`
	// Documents are those of a JSON Lines file.
	Documents []*Document `json:"documents,omitempty"`

	malformed error
}

// Malformed returns why the file, or the first of its lines that is not, could not be read as what it was recognised as;
// nil for one that could be. A problem with a part of it, or a rule of its format that is broken, is not an error here.
func (d *Document) Malformed() error { return d.malformed }

// Text writes the document as an indented tree.
func (d *Document) Text(w io.Writer) error { return d.text(w, 0) }

func (d *Document) text(w io.Writer, depth int) error {
	for _, n := range d.Items {
		if err := n.Text(w, depth); err != nil {
			return err
		}
	}
	for i, below := range d.Documents {
		if _, err := fmt.Fprintf(w, "%sDocument %d: %s\n", indent(depth), i+1, below.Format); err != nil {
			return err
		}
		if err := below.text(w, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Text writes the line and those below it, indented by two spaces for each step of depth.
func (n *Node) Text(w io.Writer, depth int) error {
	line := indent(depth) + Printable(n.Label)
	if n.Value != "" {
		line += ": " + Printable(n.Value)
	}
	if _, err := io.WriteString(w, line+"\n"); err != nil {
		return err
	}
	for _, below := range n.Items {
		if err := below.Text(w, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// maxShown bounds a value in bytes: longer ones, such as a predicate in a name, would hide everything else.
const maxShown = 2000

// Printable makes foreign text safe for a terminal: what is not a printable character (control and formatting characters,
// invalid UTF-8) is written as an escape, and overlong text is cut with a note of its length.
func Printable(s string) string {
	cut := ""
	if len(s) > maxShown {
		cut = fmt.Sprintf("... (%d bytes)", len(s))
		s = s[:maxShown]
	}
	clean := true
	for i, r := range s {
		if !strconv.IsPrint(r) || (r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD")) {
			clean = false
			break
		}
	}
	if clean {
		return s + cut
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`) + cut
}
