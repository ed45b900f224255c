package access

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNesting bounds arrays in arrays; the files that are read have none.
const maxNesting = 4

// tomlEntry is one key with its value, in the order of the file: its table ("registry.mirror"), how often that table was
// begun before, for arrays of tables, and a string, bool, int64 or []any.
type tomlEntry struct {
	table string
	turn  int
	array bool // the table is an element of an array of tables
	key   string
	value any
	line  int
}

// tomlTable is a header line.
type tomlTable struct {
	name  string
	turn  int
	array bool
}

// parseTOML reads the part of TOML 1.0 that registries.conf(5) and hosts.toml are written in: tables and arrays of tables with plain names,
// and keys with strings on one line, booleans, integers and arrays of these. Everything else is an error, not skipped.
func parseTOML(data []byte) (entries []tomlEntry, tables []tomlTable, err error) {
	if !utf8.Valid(data) {
		return nil, nil, fmt.Errorf("it is not UTF-8")
	}
	p := &tomlParser{rest: string(data), line: 1}
	current, turns := tomlTable{}, map[string]int{}
	seen := map[tomlEntry]bool{}
	for {
		p.skip(true)
		if p.rest == "" {
			return entries, tables, nil
		}
		at := p.line
		if strings.HasPrefix(p.rest, "[") {
			current, err = p.header()
			if err == nil && !current.array && turns[current.name] > 0 {
				err = fmt.Errorf("table %s is begun twice", current.name)
			}
			current.turn = turns[current.name]
			turns[current.name]++
			tables = append(tables, current)
		} else {
			e := tomlEntry{table: current.name, turn: current.turn, array: current.array, line: at}
			if e.key, err = p.key(); err == nil {
				this := tomlEntry{table: e.table, turn: e.turn, key: e.key}
				if seen[this] {
					err = fmt.Errorf("%s is given twice", e.key)
				}
				seen[this] = true
			}
			if err == nil {
				e.value, err = p.assigned()
			}
			entries = append(entries, e)
		}
		if err == nil {
			err = p.end()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", at, err)
		}
	}
}

type tomlParser struct {
	rest string
	line int
}

// skip passes over white space and comments, and with lines over ends of lines too.
func (p *tomlParser) skip(lines bool) {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r")
		if strings.HasPrefix(p.rest, "#") {
			if i := strings.IndexByte(p.rest, '\n'); i >= 0 {
				p.rest = p.rest[i:]
			} else {
				p.rest = ""
			}
		}
		if !lines || !strings.HasPrefix(p.rest, "\n") {
			return
		}
		p.rest = p.rest[1:]
		p.line++
	}
}

func (p *tomlParser) end() error {
	p.skip(false)
	if p.rest != "" && p.rest[0] != '\n' {
		return fmt.Errorf("there is more than one thing on the line")
	}
	return nil
}

func (p *tomlParser) bare() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

// name reads a bare or quoted key.
func (p *tomlParser) name() (string, error) {
	if strings.HasPrefix(p.rest, `"`) || strings.HasPrefix(p.rest, "'") {
		return p.text()
	}
	if word := p.bare(); word != "" {
		return word, nil
	}
	return "", fmt.Errorf("a name is missing")
}

func (p *tomlParser) header() (t tomlTable, err error) {
	open, shut := "[", "]"
	if strings.HasPrefix(p.rest, "[[") {
		open, shut, t.array = "[[", "]]", true
	}
	p.rest = p.rest[len(open):]
	for {
		p.skip(false)
		part, err := p.name()
		if err != nil {
			return t, err
		}
		t.name += quotedName(part)
		p.skip(false)
		if strings.HasPrefix(p.rest, shut) {
			p.rest = p.rest[len(shut):]
			return t, nil
		}
		if !strings.HasPrefix(p.rest, ".") {
			return t, fmt.Errorf("a table's name is not closed with %s", shut)
		}
		t.name, p.rest = t.name+".", p.rest[1:]
	}
}

// quotedName is a part of a table's name, which is in quotes when it could be taken for several.
func quotedName(part string) string {
	if part == "" || strings.ContainsFunc(part, notToken) {
		return strconv.Quote(part)
	}
	return part
}

// splitName is the reverse, for a whole name; nil for what is none.
func splitName(name string) (parts []string) {
	for {
		part, rest, more := strings.Cut(name, ".")
		if quoted, err := strconv.QuotedPrefix(name); err == nil {
			rest, more = strings.CutPrefix(name[len(quoted):], ".")
			if !more && rest != "" {
				return nil
			}
			if part, err = strconv.Unquote(quoted); err != nil {
				return nil
			}
		}
		if parts = append(parts, part); !more {
			return parts
		}
		name = rest
	}
}

func (p *tomlParser) key() (string, error) {
	name, err := p.name()
	if err != nil {
		return "", err
	}
	p.skip(false)
	if !strings.HasPrefix(p.rest, "=") {
		return "", fmt.Errorf("%q is not followed by =", plainText(name))
	}
	p.rest = p.rest[1:]
	p.skip(false)
	return name, nil
}

func (p *tomlParser) assigned() (any, error) { return p.value(0) }

func (p *tomlParser) value(depth int) (any, error) {
	switch {
	case strings.HasPrefix(p.rest, `"`), strings.HasPrefix(p.rest, "'"):
		return p.text()
	case strings.HasPrefix(p.rest, "["):
		return p.list(depth + 1)
	}
	word := p.bare()
	switch word {
	case "true", "false":
		return word == "true", nil
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the value is neither a string, true, false, a whole number nor a list of these")
	}
	return n, nil
}

func (p *tomlParser) list(depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("lists are nested too deeply")
	}
	p.rest = p.rest[1:]
	list := []any{}
	for {
		p.skip(true)
		if strings.HasPrefix(p.rest, "]") {
			p.rest = p.rest[1:]
			return list, nil
		}
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.skip(true)
		switch {
		case strings.HasPrefix(p.rest, ","):
			p.rest = p.rest[1:]
		case !strings.HasPrefix(p.rest, "]"):
			return nil, fmt.Errorf("a list is not closed")
		}
	}
}

// text reads a string on one line, with the escapes of TOML in double quotes.
func (p *tomlParser) text() (string, error) {
	quote := p.rest[0]
	if strings.HasPrefix(p.rest, strings.Repeat(string(quote), 3)) {
		return "", fmt.Errorf("strings of several lines are not read here")
	}
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", fmt.Errorf("a string is not closed, or holds a control character")
		case c == '\\' && quote == '"':
			i++
		case c == quote && quote == '\'':
			text := p.rest[1:i]
			p.rest = p.rest[i+1:]
			return text, nil
		case c == quote:
			text, err := strconv.Unquote(p.rest[:i+1]) // knows more escapes than TOML, and the same of those that both have
			if err != nil {
				return "", fmt.Errorf("a string has an escape that is none")
			}
			p.rest = p.rest[i+1:]
			return text, nil
		}
	}
	return "", fmt.Errorf("a string is not closed")
}
