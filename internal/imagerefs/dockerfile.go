package imagerefs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// DockerfileOptions say how a Dockerfile is read.
type DockerfileOptions struct {
	BuildArgs map[string]string           // values of ARGs, as in docker build --build-arg
	Lookup    func(string) (string, bool) // values of variables that no ARG declares; nil: such variables are errors
	BaseOnly  bool                        // only the image that the last stage is made from
}

// stage is one FROM and what follows it.
type stage struct {
	name string
	base string // an image, or "" for scratch or an earlier stage
	from *stage
}

// dockerfile is the state of reading one.
type dockerfile struct {
	o      DockerfileOptions
	args   map[string]string // global ARGs
	stages []*stage
	images list
}

// Dockerfile lists the images that a build takes content from: those in FROM, COPY --from and RUN --mount=from, but for
// scratch and the names and numbers of stages. ARGs before the first FROM, and no others, are known in FROM.
func Dockerfile(data []byte, o DockerfileOptions) ([]string, error) {
	d := &dockerfile{o: o, args: map[string]string{}}
	for _, in := range instructions(string(data)) {
		if err := d.instruction(in); err != nil {
			return nil, fmt.Errorf("line %d: %w", in.line, err)
		}
	}
	if len(d.stages) == 0 {
		return nil, fmt.Errorf("there is no FROM in it")
	}
	if !o.BaseOnly {
		return d.images.names, nil
	}
	last := d.stages[len(d.stages)-1]
	for last.from != nil {
		last = last.from
	}
	if last.base == "" {
		return nil, nil
	}
	return []string{last.base}, nil
}

func (d *dockerfile) instruction(in instruction) error {
	switch in.word {
	case "ARG":
		if len(d.stages) == 0 {
			return d.arg(in.rest)
		}
	case "FROM":
		return d.from(in.rest)
	case "COPY", "ADD", "RUN":
		return d.taken(in)
	case "ONBUILD": // what it says happens in later builds, but the images are named here
		next := split(in.rest, in.line)
		if next.word == "ONBUILD" || next.word == "FROM" {
			return fmt.Errorf("ONBUILD %s is not allowed", next.word)
		}
		return d.instruction(next)
	}
	return nil
}

// arg reads ARG NAME[=VALUE]...; values may use ARGs before.
func (d *dockerfile) arg(rest string) error {
	for _, word := range strings.Fields(rest) {
		name, value, given := strings.Cut(word, "=")
		if v, ok := d.o.BuildArgs[name]; ok {
			d.args[name] = v
			continue
		}
		if !given {
			continue
		}
		// A default that cannot be expanded is an error only where it is used.
		if v, err := expand(unquote(value), d.lookup, ""); err == nil {
			d.args[name] = v
		}
	}
	return nil
}

func (d *dockerfile) lookup(name string) (string, bool) {
	if v, ok := d.args[name]; ok {
		return v, true
	}
	if d.o.Lookup != nil {
		return d.o.Lookup(name)
	}
	return "", false
}

func (d *dockerfile) from(rest string) error {
	words := strings.Fields(rest)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		words = words[1:]
	}
	if len(words) != 1 && (len(words) != 3 || !strings.EqualFold(words[1], "AS")) {
		return fmt.Errorf("FROM %s is not understood", rest)
	}
	name, err := expand(unquote(words[0]), d.lookup, "")
	if err != nil {
		return fmt.Errorf("FROM %s: %w", words[0], err)
	}
	s := &stage{}
	if s.from = d.stage(name, false); s.from == nil && name != "scratch" {
		if err := checkName(name); err != nil {
			return err
		}
		s.base = name
		if err := d.images.add(name); err != nil {
			return err
		}
	}
	if len(words) == 3 {
		s.name = words[2]
	}
	d.stages = append(d.stages, s)
	return nil
}

// stage finds an earlier stage by name, and where that is possible by number.
func (d *dockerfile) stage(name string, numbers bool) *stage {
	for i := len(d.stages) - 1; i >= 0; i-- {
		if d.stages[i].name != "" && strings.EqualFold(d.stages[i].name, name) {
			return d.stages[i]
		}
	}
	if n, err := strconv.Atoi(name); numbers && err == nil && n >= 0 && n < len(d.stages) {
		return d.stages[n]
	}
	return nil
}

// taken reads the flags --from=NAME of COPY and --mount=...,from=NAME,... of RUN.
func (d *dockerfile) taken(in instruction) error {
	for _, word := range strings.Fields(in.rest) {
		if !strings.HasPrefix(word, "--") {
			return nil // the flags are over
		}
		flag, value, _ := strings.Cut(unquote(word), "=")
		var names []string
		switch {
		case in.word == "COPY" && flag == "--from":
			names = []string{value}
		case in.word == "RUN" && flag == "--mount":
			for _, option := range strings.Split(unquote(value), ",") {
				if name, ok := strings.CutPrefix(option, "from="); ok {
					names = append(names, name)
				}
			}
		}
		for _, raw := range names {
			name, err := expand(unquote(raw), d.lookup, "")
			if err != nil {
				return fmt.Errorf("%s %s: %w", in.word, word, err)
			}
			if name == "scratch" || d.stage(name, true) != nil {
				continue
			}
			if err := checkName(name); err != nil {
				return err
			}
			if err := d.images.add(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// instruction is one, with its continued lines joined.
type instruction struct {
	word, rest string // word in upper case
	line       int    // the number of its first line
}

func split(text string, line int) instruction {
	text = strings.TrimSpace(text)
	i := strings.IndexAny(text, " \t")
	if i < 0 {
		i = len(text)
	}
	return instruction{strings.ToUpper(text[:i]), strings.TrimSpace(text[i:]), line}
}

var (
	directive = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`) })
	heredoc   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]*<<(-?)(?:"([^"<]+)"|'([^'<]+)'|([^"'<]+))$`) })
)

// instructions splits a file (Dockerfile reference, "Format" and "Here-Documents").
func instructions(text string) []instruction {
	lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n")
	escape := `\`
	for _, line := range lines { // directives come first
		m := directive().FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			break
		}
		if strings.EqualFold(m[1], "escape") && m[2] == "`" {
			escape = "`"
		}
	}
	var out []instruction
	for i := 0; i < len(lines); i++ {
		first := i + 1
		var whole strings.Builder
		for ; i < len(lines); i++ {
			line := strings.TrimSpace(lines[i])
			// Within a continued instruction comments and empty lines are skipped.
			if strings.HasPrefix(line, "#") || line == "" && whole.Len() > 0 {
				continue
			}
			cut, more := strings.CutSuffix(line, escape)
			if !more || strings.HasSuffix(cut, escape) { // two of them are no continuation
				whole.WriteString(line)
				break
			}
			whole.WriteString(cut)
			whole.WriteByte(' ')
		}
		in := split(whole.String(), first)
		if in.word == "" {
			continue
		}
		out = append(out, in)
		if in.word == "RUN" || in.word == "COPY" || in.word == "ADD" || in.word == "ONBUILD" {
			i = skipHeredocs(lines, i, in.rest)
		}
	}
	return out
}

// skipHeredocs returns the number of the last line of the here-documents that an instruction begins: what is in them is no
// instruction. One that is not closed is none, since otherwise it would hide the rest of the file.
func skipHeredocs(lines []string, i int, rest string) int {
	for _, word := range shellWords(rest) {
		m := heredoc().FindStringSubmatch(word)
		if m == nil {
			continue
		}
		end := m[2] + m[3] + m[4]
		for j := i + 1; j < len(lines); j++ {
			line := lines[j]
			if m[1] == "-" {
				line = strings.TrimLeft(line, "\t")
			}
			if line == end {
				i = j
				break
			}
		}
	}
	return i
}

// shellWords splits at spaces outside quotes, which stay.
func shellWords(text string) []string {
	var words []string
	var quote byte
	start := -1
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == ' ' || c == '\t':
			if start >= 0 {
				words = append(words, text[start:i])
			}
			start = -1
			continue
		case c == '"' || c == '\'':
			quote = c
		}
		if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		words = append(words, text[start:])
	}
	return words
}
