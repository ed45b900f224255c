package imagerefs

import (
	"fmt"
	"strings"
)

// maxName bounds the name of an image with its variables, and so how deep defaults within defaults go.
const maxName = 4096

// expand replaces $NAME, ${NAME}, ${NAME:-default}, ${NAME-default} and ${NAME:+other} (Dockerfile reference, "Environment
// replacement"; Compose specification, "Interpolation"). A variable without a value is an error: what would come out is
// another image than the one that is built with. dollar is what stands for a plain "$", if anything.
func expand(text string, lookup func(string) (string, bool), dollar string) (string, error) {
	if len(text) > maxName {
		return "", fmt.Errorf("a name of %d bytes", len(text))
	}
	var out strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:i])
		if dollar != "" && strings.HasPrefix(text[i:], dollar) {
			out.WriteByte('$')
			text = text[i+len(dollar):]
			continue
		}
		value, rest, err := variable(text[i+1:], lookup)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest
	}
	return out.String(), nil
}

// variable reads what follows a dollar sign.
func variable(text string, lookup func(string) (string, bool)) (value, rest string, err error) {
	if !strings.HasPrefix(text, "{") {
		n := nameLength(text)
		if n == 0 {
			return "", "", fmt.Errorf("a dollar sign without a name before %q", text)
		}
		value, ok := lookup(text[:n])
		if !ok || value == "" {
			return "", "", fmt.Errorf("the variable %s has no value", text[:n])
		}
		return value, text[n:], nil
	}
	end := closing(text)
	if end < 0 {
		return "", "", fmt.Errorf("${ without } in %q", text)
	}
	inner, rest := text[1:end], text[end+1:]
	n := nameLength(inner)
	name, how := inner[:n], inner[n:]
	value, ok := lookup(name)
	if !ok {
		value = ""
	}
	switch {
	case n == 0:
		err = fmt.Errorf("${%s} is not understood", inner)
	case how == "" && ok && value != "":
	case how == "":
		err = fmt.Errorf("the variable %s has no value", name)
	case strings.HasPrefix(how, ":-"):
		if value == "" {
			value, err = expand(how[2:], lookup, "")
		}
	case strings.HasPrefix(how, "-"):
		if !ok {
			value, err = expand(how[1:], lookup, "")
		}
	case strings.HasPrefix(how, ":+"):
		if value != "" {
			value, err = expand(how[2:], lookup, "")
		}
	case strings.HasPrefix(how, ":?"), strings.HasPrefix(how, "?"):
		if value == "" {
			err = fmt.Errorf("the variable %s has no value", name)
		}
	default:
		err = fmt.Errorf("${%s} is not understood", inner)
	}
	return value, rest, err
}

func nameLength(text string) int {
	for i := range len(text) {
		c := text[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(text)
}

// closing finds the brace that closes the first.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
