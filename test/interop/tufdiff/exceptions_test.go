package tufdiff

import "regexp"

// exception is a rule by which the clients may differ.
type exception struct {
	name string
	// looser: bulla accepts what go-tuf refuses in words that fit. Otherwise bulla refuses, in words that fit, what go-tuf
	// accepts. It holds for spoils whose names fit too.
	looser      bool
	words, when *regexp.Regexp
	// rule says why the difference is right, clause where that is written.
	rule, clause string
}

func words(s string) *regexp.Regexp { return regexp.MustCompile(s) }

var exceptions = []exception{
	{
		name: "version of the specification", words: words(`spec_version is`), when: words(`spec_version`),
		rule: "go-tuf does not look at it", clause: "TUF specification 1.0.34, 2.1.1 and 4.3: the client checks that it knows the major version; the form is SemVer's",
	},
	{
		name: "versions begin at 1", words: words(`version is -?\d+, below 1`), when: words(`version`),
		rule: "go-tuf takes 0 and negative ones", clause: "TUF specification, 4.3: an integer that is greater than 0",
	},
	{
		name: "lengths", words: words(`length is -1, below 0`), when: words(`length is -1`),
		rule: "go-tuf takes negative ones of files that are not asked for", clause: "TUF specification, 4.6: the length in bytes",
	},
	{
		name: "kept files", words: words(`not the announced content`), when: words(`snapshot.json/version is 1, known before`),
		rule: "a kept snapshot must be the one that the timestamp names, by its hash too; go-tuf compares the version", clause: "TUF specification, 5.5.2",
	},
	{
		name: "integers", words: words(`no integer of at most 15 digits`), when: words(``),
		rule: "larger ones mean different things to different readers of JSON", clause: "RFC 7493, 2.2",
	},
	{
		name: "names once", words: words(`duplicate object member name`), when: words(`twice|other letters`),
		rule: "go-tuf takes the last one, other clients another", clause: "RFC 7493, 2.3",
	},
	{
		name: "no null", words: words(`has null at`), when: words(`null`),
		rule: "nothing of the specification is null, and go-tuf takes it for absent in some places", clause: "TUF specification, 4",
	},
	{
		name: "bounds", words: words(`more than \d+ bytes|the limit is|is nested more than|has more than \d+`), when: words(`huge|thousand|deep|many|1e400`),
		rule: "sizes, depth and counts are bounded further", clause: "TUF specification, 5.1 to 5.6: limits are the application's",
	},
	{
		name: "schemes", words: words(`not signed as demanded`), when: words(`scheme`),
		rule: "a key is used with its scheme alone; go-tuf takes it as its type suggests", clause: "TUF specification, 4.2.2: scheme",
	},
	{
		name: "names of delegated roles", words: words(`has a name that no file is asked for by`), when: words(`a delegated role named`),
		rule: "they become file names, on systems where .x is hidden and Root is root", clause: "TUF specification, 4.5: the name of a role is part of a file name",
	},
	{
		name: "keys of unknown types", looser: true, words: words(`unsupported public key type|not enough signatures`), when: words(`a key of an unknown type`),
		rule: "they count for nothing, so that a repository can have keys for newer clients", clause: "TUF specification, 4.2.2: other key types may be used",
	},
	{
		name: "points in hexadecimal", looser: true, words: words(`PEM decoding failed`), when: words(`hexadecimal`),
		rule: "Sigstore's first four roots have them", clause: "go-tuf 0.7, which made these",
	},
	{
		name: "hash prefixes", looser: true, words: words(`not found`), when: words(`a path hash prefix`),
		rule: "go-tuf compares them with base64", clause: "TUF specification, 4.6: path_hash_prefixes are in hexadecimal",
	},
}

// covering returns the exception for a difference, nil if there is none.
func covering(name string, a, b verdict) *exception {
	for i := range exceptions {
		x := &exceptions[i]
		why := a.why
		if x.looser {
			why = b.why
		}
		if x.looser == a.accepted && x.words.MatchString(why) && x.when.MatchString(name) {
			return x
		}
	}
	return nil
}
