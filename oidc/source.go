package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/pipe"
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
	// Patience is how long to go on asking a provider that does not answer; 0 for a minute and a half, negative asks once.
	Patience time.Duration
	// Notify is told why an attempt failed and how long the pause before the next one is; nil tells nobody.
	Notify func(err error, pause time.Duration)
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

func (e *Environment) fetch() *fetcher {
	return newFetcher(asking{e.Transport, e.UserAgent, e.Patience, e.Notify})
}

// source is a place where a token may be at hand.
type source struct {
	name    string
	aliases []string
	// look says what it looks for, and whether that is there. It costs nothing: no request is made.
	look func(e *Environment) (what string, found bool)
	get  func(ctx context.Context, e *Environment) (string, error)
	// lacks says what is missing where the surroundings are this source's and it has no token; empty elsewhere.
	lacks func(e *Environment) string
	// here says that get makes no request.
	here bool
}

// sources in the order in which they are asked, which is cosign's: what was put there on purpose goes before what the
// surroundings offer to everybody.
func sources() []source {
	return []source{
		{name: "filesystem", aliases: []string{"kubernetes"}, look: lookFile, get: getFile, lacks: lacksFile, here: true},
		{name: "envvar", aliases: []string{"gitlab"}, look: lookVariable, get: getVariable, lacks: lacksVariable, here: true},
		{name: "github-actions", look: lookGitHub, get: getGitHub, lacks: lacksGitHub},
		{name: "buildkite-agent", aliases: []string{"buildkite"}, look: lookBuildkite, get: getBuildkite, lacks: lacksBuildkite},
		{name: "circleci", look: lookCircleCI, get: getCircleCI, lacks: lacksCircleCI},
		{name: "spiffe", look: lookSPIFFE, get: getSPIFFE, lacks: lacksNothing},
		{name: "google-impersonate", look: lookImpersonation, get: getImpersonation, lacks: lacksImpersonation},
		{name: "google-workload-identity", aliases: []string{"google"}, look: lookGoogle, get: getGoogle, lacks: lacksNothing},
	}
}

func lacksNothing(*Environment) string { return "" }

// Names returns the names of the sources, in the order in which they are asked.
func Names() []string {
	var out []string
	for _, s := range sources() {
		out = append(out, s.name)
	}
	return out
}

// Name returns the name in [Names] of a source that may be called by another, such as google or gitlab. A name that is
// none is an error that lists them.
func Name(called string) (string, error) {
	for _, s := range sources() {
		if called == s.name || slices.Contains(s.aliases, called) {
			return s.name, nil
		}
	}
	return "", fmt.Errorf("there is no provider called %q; there are %s", clean(called), strings.Join(Names(), ", "))
}

// Finding is what a source looked for, and what was there.
type Finding struct {
	Name, Looked string
	Found        bool
	// Lacks says what is missing where the surroundings are the source's own and it has no token; empty elsewhere.
	Lacks string
	// Token is the token, where it is at hand without asking anybody; Err says why what is there is none.
	Token *Token
	Err   error
}

// Look says of every source, in order, what it looks for and what is there. It makes no request.
func Look(ctx context.Context, e *Environment) []Finding {
	var out []Finding
	for _, s := range sources() {
		f := Finding{Name: s.name}
		f.Looked, f.Found = s.look(e)
		switch {
		case !f.Found:
			f.Lacks = s.lacks(e)
		case s.here:
			f.Token, f.Err = s.token(ctx, e)
		}
		out = append(out, f)
	}
	return out
}

func (s source) token(ctx context.Context, e *Environment) (*Token, error) {
	raw, err := s.get(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("identity token from %s: %w", s.name, err)
	}
	t, err := Parse(strings.TrimSpace(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return t, nil
}

// ErrNone says that no source has a token.
var ErrNone = errors.New("no identity token is at hand")

// Ambient gets a token from the source with the given name, or with "" from the first that has what it looks for. One that
// has it and yields no token is an error: going on to the next could make somebody else the signer. Without any, the error
// wraps [ErrNone], and says what is missing where the surroundings are known.
func Ambient(ctx context.Context, e *Environment, name string) (*Token, string, error) {
	if name != "" {
		var err error
		if name, err = Name(name); err != nil {
			return nil, "", err
		}
	}
	var asked, lacks []string
	for _, s := range sources() {
		if name != "" && name != s.name {
			continue
		}
		what, found := s.look(e)
		if found {
			t, err := s.token(ctx, e)
			return t, s.name, err
		}
		if lack := s.lacks(e); lack != "" {
			lacks = append(lacks, "; "+lack)
		}
		if name != "" {
			return nil, s.name, fmt.Errorf("%w: %s needs %s, which is not there%s", ErrNone, s.name, what, strings.Join(lacks, ""))
		}
		asked = append(asked, s.name)
	}
	return nil, "", fmt.Errorf("%w: none of %s has one%s", ErrNone, strings.Join(asked, ", "), strings.Join(lacks, ""))
}

// FromFlag reads what --identity-token was given: a token, whatever it is signed with, or the path of a file with one. A
// pipe is waited for until ctx ends.
func FromFlag(ctx context.Context, value string) (*Token, error) {
	if token := strings.TrimSpace(value); strings.Count(token, ".") == 2 && strings.HasPrefix(token, "eyJ") {
		// All tokens begin so ({" in base64url). A file of that name is not looked for: it could be anybody's.
		return Parse(token)
	}
	text, err := readToken(ctx, value)
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
func readToken(ctx context.Context, name string) (string, error) {
	f, err := pipe.Open(ctx, name)
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

func getFile(ctx context.Context, e *Environment) (string, error) {
	return readToken(ctx, e.Root+tokenFile)
}

func lacksFile(e *Environment) string {
	if e.env("KUBERNETES_SERVICE_HOST") == "" {
		return ""
	}
	return "this is a Kubernetes pod into which no token is projected: mount one for the audience " + e.audience() + " at " + tokenFile
}

const tokenVariable = "SIGSTORE_ID_TOKEN"

func lookVariable(e *Environment) (string, bool) {
	return "the variable " + tokenVariable, e.env(tokenVariable) != ""
}

func getVariable(_ context.Context, e *Environment) (string, error) {
	return e.env(tokenVariable), nil
}

func lacksVariable(e *Environment) string {
	if e.env("GITLAB_CI") == "" {
		return ""
	}
	return "this is a GitLab job without an ID token: give it id_tokens: {" + tokenVariable + ": {aud: " + e.audience() + "}}"
}
