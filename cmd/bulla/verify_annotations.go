package main

import (
	"encoding/csv"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
)

// parseAnnotations reads -a NAME=VALUE. A comma separates two of them, as in cosign, where another NAME= follows it;
// otherwise it belongs to the value. An argument that begins with a quotation mark is read as a line of CSV, as cosign
// reads them all, which is how a value can hold ",NAME=".
func parseAnnotations(args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, arg := range args {
		pieces, err := annotationPieces(arg)
		if err != nil {
			return nil, err
		}
		for _, piece := range pieces {
			name, value, ok := strings.Cut(piece, "=")
			if !ok || name == "" {
				return nil, cli.Usagef("unable to parse annotation: %q is not NAME=VALUE", arg)
			}
			if before, twice := out[name]; twice && before != value {
				return nil, cli.Usagef("the annotation %s is demanded to be %q and %q: it can only be one of them", name, before, value)
			}
			out[name] = value
		}
	}
	return out, nil
}

// annotationPieces splits one argument into NAME=VALUE pieces.
func annotationPieces(arg string) ([]string, error) {
	if strings.HasPrefix(arg, `"`) {
		pieces, err := csv.NewReader(strings.NewReader(arg)).Read()
		if err != nil {
			return nil, cli.Usagef("unable to parse annotation %q: %w", arg, err)
		}
		return pieces, nil
	}
	var out []string
	for piece := range strings.SplitSeq(arg, ",") {
		if name, _, ok := strings.Cut(piece, "="); (!ok || name == "") && len(out) > 0 {
			out[len(out)-1] += "," + piece
			continue
		}
		out = append(out, piece)
	}
	return out, nil
}
