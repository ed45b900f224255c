package access

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// maxRegistries bounds registries.conf. Large sites have some dozen entries.
const maxRegistries = 1 << 20

// Registries are the mirrors and prohibitions of a registries.conf, or what files hosts.toml say.
type Registries struct {
	list  []*Registry
	hosts *hostsDir // nil: list counts
}

// Registry is one [[registry]] of registries.conf(5), or one hosts.toml.
type Registry struct {
	Path     string // the file that says so
	Prefix   string // host[:port][/path…], or *.domain: what it is about
	Insecure bool   // TLS is not checked, and plain HTTP is spoken where HTTPS does not answer
	Blocked  bool   // nothing is read from it
	Mirrors  []Mirror
	Way      *Way // to the registry itself; nil: nothing is said

	location string
}

// Mirror is one [[registry.mirror]], or one host of a hosts.toml.
type Mirror struct {
	Location string // host[:port][/path…] in place of the prefix
	Insecure bool
	Tags     bool // it may say what a tag stands for
	Digests  bool // it may be asked by digest
	Way      *Way // to it; nil: nothing is said

	from string // pull-from-mirror
}

// LoadRegistries reads a registries.conf of version 2. Of its members location (which must equal prefix), prefix, insecure,
// blocked, mirror and mirror-by-digest-only have an effect, and of a mirror's location, insecure and pull-from-mirror. Those
// that are about short names and credential programs are passed over; anything else is an error.
func LoadRegistries(path string) (*Registries, error) {
	data, err := readFile(path, maxRegistries)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &Registries{}
	if err == nil {
		r.list, err = parseRegistries(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, one := range r.list {
		one.Path = path
	}
	return r, nil
}

func parseRegistries(data []byte) ([]*Registry, error) {
	entries, tables, err := parseTOML(data)
	if err != nil {
		return nil, err
	}
	var list []*Registry
	for _, t := range tables {
		switch {
		case t.name == "registry" && t.array:
			list = append(list, &Registry{})
		case t.name == "registry.mirror" && t.array && len(list) > 0:
			r := list[len(list)-1]
			r.Mirrors = append(r.Mirrors, Mirror{from: "all"})
		case t.name == "aliases" && !t.array:
		default:
			return nil, fmt.Errorf("table %s is not read here: want [[registry]] and [[registry.mirror]], in version 2 of the format", plainText(t.name))
		}
	}
	var mirrors []*Mirror
	for _, r := range list {
		for i := range r.Mirrors {
			mirrors = append(mirrors, &r.Mirrors[i])
		}
	}
	digestOnly := map[*Registry]bool{}
	for _, e := range entries {
		switch e.table {
		case "":
			err = topLevel(e)
		case "aliases":
		case "registry":
			err = list[e.turn].set(e, digestOnly)
		case "registry.mirror":
			err = mirrors[e.turn].set(e)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", e.line, err)
		}
	}
	for i, r := range list {
		if err := r.finish(digestOnly[r]); err != nil {
			return nil, fmt.Errorf("registry %d: %w", i+1, err)
		}
	}
	return list, nil
}

// topLevel knows what other programs read.
func topLevel(e tomlEntry) error {
	switch e.key {
	case "unqualified-search-registries", "short-name-mode", "credential-helpers", "additional-layer-store-auth-helper":
		return nil
	}
	return fmt.Errorf("%s is not known", plainText(e.key))
}

func assign[T any](e tomlEntry, to *T) error {
	v, ok := e.value.(T)
	if !ok {
		return fmt.Errorf("%s has a value of another type than expected", e.key)
	}
	*to = v
	return nil
}

func (r *Registry) set(e tomlEntry, digestOnly map[*Registry]bool) error {
	switch e.key {
	case "prefix":
		return assign(e, &r.Prefix)
	case "location":
		return assign(e, &r.location)
	case "insecure":
		return assign(e, &r.Insecure)
	case "blocked":
		return assign(e, &r.Blocked)
	case "mirror-by-digest-only":
		var only bool
		err := assign(e, &only)
		digestOnly[r] = only
		return err
	}
	return fmt.Errorf("%s is not known of a registry", plainText(e.key))
}

func (m *Mirror) set(e tomlEntry) error {
	switch e.key {
	case "location":
		return assign(e, &m.Location)
	case "insecure":
		return assign(e, &m.Insecure)
	case "pull-from-mirror":
		return assign(e, &m.from)
	}
	return fmt.Errorf("%s is not known of a mirror", plainText(e.key))
}

func (r *Registry) finish(digestOnly bool) error {
	if r.Prefix == "" {
		r.Prefix = r.location
	}
	wild := strings.HasPrefix(r.Prefix, "*.")
	switch {
	case !isLocation(strings.TrimPrefix(r.Prefix, "*.")):
		return fmt.Errorf("its prefix %q is no registry, namespace or repository", plainText(r.Prefix))
	case r.location != "" && r.location != r.Prefix:
		return fmt.Errorf("location %q differs from prefix %q, which is not followed here: name the repository by its own address", plainText(r.location), plainText(r.Prefix))
	case wild && len(r.Mirrors) > 0:
		return fmt.Errorf("prefix %q cannot have mirrors", plainText(r.Prefix))
	}
	for i := range r.Mirrors {
		m := &r.Mirrors[i]
		switch m.from {
		case "all":
			m.Tags, m.Digests = !digestOnly, true
		case "digest-only":
			m.Digests = true
		case "tag-only":
			m.Tags = !digestOnly
		default:
			return fmt.Errorf("pull-from-mirror is %q; it may be all, digest-only or tag-only", plainText(m.from))
		}
		if !isLocation(m.Location) {
			return fmt.Errorf("mirror location %q is no registry, namespace or repository", plainText(m.Location))
		}
	}
	return nil
}

// isLocation says whether a text can be the beginning of a repository's name.
func isLocation(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \t@?#\\*\"'%") && !strings.Contains(s, "://") && !strings.HasSuffix(s, "/") &&
		!strings.HasPrefix(s, "/") && !strings.Contains(s, "//") && !strings.Contains(s, "..")
}

// Find returns what is said about a repository: of the prefix that is longest; nil when nothing is. A nil Registries says
// nothing. The error is about a hosts.toml.
func (r *Registries) Find(repository string) (*Registry, error) {
	if r == nil {
		return nil, nil
	}
	name := canonical(repository)
	if r.hosts != nil {
		host, _, _ := strings.Cut(name, "/")
		return r.hosts.find(host)
	}
	var best *Registry
	for _, candidate := range r.list {
		if candidate.matches(name) && (best == nil || len(candidate.Prefix) > len(best.Prefix)) {
			best = candidate
		}
	}
	return best, nil
}

func (r *Registry) matches(name string) bool {
	if domain, wild := strings.CutPrefix(r.Prefix, "*"); wild {
		host, _, _ := strings.Cut(name, "/")
		return strings.HasSuffix(host, domain) && len(host) > len(domain)
	}
	prefix := canonical(r.Prefix)
	return name == prefix || strings.HasPrefix(name, prefix+"/")
}

// In is the name of a repository in a mirror.
func (r *Registry) In(m Mirror, repository string) string {
	return m.Location + strings.TrimPrefix(canonical(repository), canonical(r.Prefix))
}
