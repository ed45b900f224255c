package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Annotations that the helpers below leave on flags for help, environment binding and checks.
const (
	annotationTopic     = "bulla_topic"
	annotationLowers    = "bulla_lowers_security"
	annotationTrust     = "bulla_changes_trust"
	annotationExclusive = "bulla_exclusive"
	annotationRequired  = "bulla_one_required"
	annotationOwn       = "bulla_own"
)

// Topic registers flags that belong together; help lists them under the topic's title. Topics nest: an inner one wins.
func Topic(fs *pflag.FlagSet, title string, register func(fs *pflag.FlagSet)) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags = false
	own.SetNormalizeFunc(fs.GetNormalizeFunc())
	register(own)
	own.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[annotationTopic] == nil {
			annotate(f, annotationTopic, title)
		}
	})
	fs.AddFlagSet(own)
}

// Deprecate hides a flag and says message on standard error when it is used. The message completes the sentence "Flag
// --x has been deprecated, …".
func Deprecate(fs *pflag.FlagSet, name, message string) {
	must(fs, name)
	if err := fs.MarkDeprecated(name, message); err != nil {
		panic(err)
	}
}

// Hide keeps a flag out of help without calling it deprecated.
func Hide(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		must(fs, name).Hidden = true
	}
}

// LowersSecurity marks flags that turn a check off. When an environment variable changes one of them from its default,
// that is always said on standard error, because nobody sees it on the command line.
func LowersSecurity(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(must(fs, name), annotationLowers, "true")
	}
}

// ChangesTrust marks flags that say who or what is trusted. When environment variables set some of them, that is always
// said on standard error, in one line.
func ChangesTrust(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(must(fs, name), annotationTrust, "true")
	}
}

// Own marks flags that cosign's command of the same name does not have: a variable meant for another of its commands
// must not reach them, so only BULLA_<FLAG> stands in for them.
func Own(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(must(fs, name), annotationOwn, "true")
	}
}

// Exclusive lets only one of the named flags be given.
func Exclusive(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(must(fs, name), annotationExclusive, strings.Join(names, " "))
	}
}

// RequireOne demands that one of the named flags is given.
func RequireOne(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(must(fs, name), annotationRequired, strings.Join(names, " "))
	}
}

// must finds a flag that is known to be registered; that it is not is a mistake in the program.
func must(fs *pflag.FlagSet, name string) *pflag.Flag {
	f := fs.Lookup(name)
	if f == nil {
		panic(fmt.Sprintf("flag --%s is not registered", name))
	}
	return f
}

func annotate(f *pflag.Flag, key, value string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[key] = append(f.Annotations[key], value)
}

// checkGroups enforces what [Exclusive] and [RequireOne] asked for.
func checkGroups(fs *pflag.FlagSet) error {
	var err error
	fs.VisitAll(func(f *pflag.Flag) {
		if err != nil {
			return
		}
		for _, group := range f.Annotations[annotationExclusive] {
			if given := changed(fs, group); len(given) > 1 {
				err = Usagef("%s cannot be given together", list(given))
			}
		}
		for _, group := range f.Annotations[annotationRequired] {
			if names := strings.Fields(group); len(changed(fs, group)) == 0 {
				err = Usagef("one of %s is required", list(names))
				if len(names) == 1 {
					err = Usagef("%s is required", list(names))
				}
			}
		}
	})
	return err
}

func changed(fs *pflag.FlagSet, group string) []string {
	return slices.DeleteFunc(strings.Fields(group), func(name string) bool { return !fs.Changed(name) })
}

func list(names []string) string {
	return "--" + strings.Join(names, " and --")
}

// Choice is a flag that takes one of a few words.
type Choice struct {
	value   string
	allowed []string
}

// ChoiceVar registers a [Choice]. The first of the allowed words is the default; if it is empty, nothing is chosen unless
// the flag is given.
func ChoiceVar(fs *pflag.FlagSet, c *Choice, name, usage string, allowed ...string) {
	*c = newChoice(allowed[0], allowed)
	fs.Var(c, name, usage)
}

// Output registers -o/--output for the kinds of output that a command has.
func Output(fs *pflag.FlagSet, c *Choice, def string, allowed ...string) {
	*c = newChoice(def, allowed)
	fs.VarP(c, "output", "o", "how the result is printed")
}

func newChoice(def string, allowed []string) Choice {
	return Choice{value: def, allowed: slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })}
}

// String returns the chosen word.
func (c *Choice) String() string { return c.value }

// Set chooses a word, as [pflag.Value] has it.
func (c *Choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.allowed, ", "))
	}
	c.value = s
	return nil
}

// Type names the value in help texts.
func (c *Choice) Type() string { return strings.Join(c.allowed, "|") }
