package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
)

// Audience is whom tokens are for unless a deployment says otherwise: the client ID of the public instance, which private
// ones keep.
const Audience = "sigstore"

// Environment is what sources look at. Zero fields other than LookupEnv have defaults.
type Environment struct {
	LookupEnv func(name string) (string, bool)
	Transport http.RoundTripper
	UserAgent string
	// Audience is whom the token is to be for; [Audience] when empty.
	Audience string
	// GoogleIAM stands in for Google's service of impersonation, for tests.
	GoogleIAM string
	// Root is put before the paths of files that are looked at, for tests.
	Root string
}

func (e *Environment) env(name string) string {
	v, _ := e.LookupEnv(name)
	return v
}

func (e *Environment) audience() string {
	if e.Audience != "" {
		return e.Audience
	}
	return Audience
}

func (e *Environment) fetch() *fetcher { return newFetcher(e.Transport, e.UserAgent) }

// source is a place where a token may be at hand.
type source struct {
	name    string
	aliases []string
	// look says what it looks for, and whether that is there. It costs nothing: no request is made.
	look func(e *Environment) (what string, found bool)
	get  func(ctx context.Context, e *Environment) (string, error)
}

// sources in the order in which they are asked, which is cosign's: what was put there on purpose goes before what the
// surroundings offer to everybody.
func sources() []source {
	return []source{
		{"filesystem", []string{"kubernetes"}, lookFile, getFile},
		{"envvar", []string{"gitlab"}, lookVariable, getVariable},
		{"github-actions", nil, lookGitHub, getGitHub},
		{"buildkite-agent", []string{"buildkite"}, lookBuildkite, getBuildkite},
		{"circleci", nil, lookCircleCI, getCircleCI},
		{"spiffe", nil, lookSPIFFE, getSPIFFE},
		{"google-impersonate", nil, lookImpersonation, getImpersonation},
		{"google-workload-identity", []string{"google"}, lookGoogle, getGoogle},
	}
}

// Names returns the names of the sources, in the order in which they are asked.
func Names() []string {
	var out []string
	for _, s := range sources() {
		out = append(out, s.name)
	}
	return out
}

// Finding is what a source looked for, and whether it was there.
type Finding struct {
	Name, Looked string
	Found        bool
}

// Look says of every source, in order, what it looks for and whether that is there.
func Look(e *Environment) []Finding {
	var out []Finding
	for _, s := range sources() {
		what, found := s.look(e)
		out = append(out, Finding{s.name, what, found})
	}
	return out
}

// ErrNone says that no source has a token.
var ErrNone = errors.New("no identity token is at hand")

// Ambient gets a token from the source with the given name, or with "" from the first that has what it looks for. One that
// has it and yields no token is an error: going on to the next could make somebody else the signer. Without any, the error
// wraps [ErrNone].
func Ambient(ctx context.Context, e *Environment, name string) (*Token, string, error) {
	var looked []string
	for _, s := range sources() {
		if name != "" && name != s.name && !contains(s.aliases, name) {
			continue
		}
		what, found := s.look(e)
		if !found {
			if name != "" {
				return nil, s.name, fmt.Errorf("%w: %s needs %s, which is not there", ErrNone, s.name, what)
			}
			looked = append(looked, what)
			continue
		}
		raw, err := s.get(ctx, e)
		if err != nil {
			return nil, s.name, fmt.Errorf("identity token from %s: %w", s.name, err)
		}
		t, err := Parse(strings.TrimSpace(raw))
		if err != nil {
			return nil, s.name, fmt.Errorf("%s: %w", s.name, err)
		}
		return t, s.name, nil
	}
	if name != "" {
		return nil, "", fmt.Errorf("there is no provider called %q; there are %s", clean(name), strings.Join(Names(), ", "))
	}
	return nil, "", fmt.Errorf("%w: neither %s", ErrNone, strings.Join(looked, " nor "))
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// FromFlag reads what --identity-token was given: a token, whatever it is signed with, or the path of a file with one.
func FromFlag(value string) (*Token, error) {
	if strings.Count(value, ".") == 2 && strings.HasPrefix(value, "eyJ") {
		// All tokens begin so ({" in base64url). A file of that name is not looked for: it could be anybody's.
		return Parse(value)
	}
	text, err := readToken(value)
	if err != nil {
		return nil, fmt.Errorf("identity token: %w", err)
	}
	t, err := Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clean(value), err)
	}
	return t, nil
}

// readToken reads a file. A name that is none, such as a token that was cut off, is not repeated.
func readToken(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) && len(name) > 200 {
			return "", errors.New("it is neither a token nor the path of a file with one")
		}
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxToken+2))
	if err != nil {
		return "", err
	}
	if len(data) > MaxToken+1 {
		return "", fmt.Errorf("%s has more than %d bytes", name, MaxToken)
	}
	return string(data), nil
}

// tokenFile is where Kubernetes projects a token for cosign, by its documentation.
const tokenFile = "/var/run/sigstore/cosign/oidc-token"

func lookFile(e *Environment) (string, bool) {
	_, err := os.Stat(e.Root + tokenFile)
	return "the file " + tokenFile, err == nil
}

func getFile(_ context.Context, e *Environment) (string, error) { return readToken(e.Root + tokenFile) }

const tokenVariable = "SIGSTORE_ID_TOKEN"

func lookVariable(e *Environment) (string, bool) {
	return "the variable " + tokenVariable, e.env(tokenVariable) != ""
}

func getVariable(_ context.Context, e *Environment) (string, error) {
	return e.env(tokenVariable), nil
}
