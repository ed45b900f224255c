package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// helperTime is how long a credential program may take: a person may have to unlock a key ring.
	helperTime = time.Minute
	// maxHelper bounds what it may say. The longest tokens of clouds have some ten thousand bytes.
	maxHelper = 256 << 10
)

// errNoCredential says that a credential program has nothing for a registry.
var errNoCredential = errors.New("it has no credential for this registry")

// checkHelper keeps the name of a credential program from being the path of another one.
func checkHelper(name string) error {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r))
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("%q is not the name of a credential program: it may have letters, digits, dots, hyphens and underscores", name)
	}
	return nil
}

// bounded collects what a program says, up to maxHelper bytes; who says more is stopped.
type bounded struct {
	said bytes.Buffer // not embedded: its ReadFrom would have no bound
	stop context.CancelCauseFunc
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.said.Len()+len(p) > maxHelper {
		err := fmt.Errorf("it says more than %d bytes", maxHelper)
		b.stop(err)
		return 0, err
	}
	return b.said.Write(p)
}

// askHelper runs docker-credential-NAME get (docker-credential-helpers, "Development"): the registry goes to its standard
// input, JSON comes back. The error is errNoCredential when it has none.
func askHelper(ctx context.Context, name, server string) (authn.AuthConfig, error) {
	if err := checkHelper(name); err != nil {
		return authn.AuthConfig{}, err
	}
	path, err := exec.LookPath("docker-credential-" + name)
	if err != nil {
		return authn.AuthConfig{}, errors.New("the program cannot be found in PATH: install it, or take it out of the file")
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, helperTime, errors.New("it did not answer in time"))
	defer cancel()
	out := &bounded{stop: stop}
	cmd := exec.CommandContext(ctx, path, "get")
	cmd.Stdin, cmd.Stdout = strings.NewReader(server), out
	cmd.WaitDelay = 2 * time.Second // for what it started, and left behind with its output open
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return authn.AuthConfig{}, context.Cause(ctx)
		}
		said := strings.TrimSpace(out.said.String())
		if missing(said) {
			return authn.AuthConfig{}, errNoCredential
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && said != "" { // the protocol has the reason there
			return authn.AuthConfig{}, fmt.Errorf("it ended with status %d: %s", exit.ExitCode(), plainText(said))
		}
		return authn.AuthConfig{}, err
	}
	return parseHelper(out.said.Bytes())
}

// missing recognises the protocol's ways to say that there is no credential.
func missing(said string) bool {
	return said == "credentials not found in native keychain" || said == "no credentials server URL" || said == "no credentials username"
}

// parseHelper reads a credential program's answer.
func parseHelper(data []byte) (authn.AuthConfig, error) {
	var answer struct{ ServerURL, Username, Secret string }
	if err := json.Unmarshal(data, &answer); err != nil {
		return authn.AuthConfig{}, errors.New("its answer is not the JSON of a credential")
	}
	switch {
	case answer.Secret == "":
		return authn.AuthConfig{}, errNoCredential
	case answer.Username == "<token>" || answer.Username == "":
		return authn.AuthConfig{IdentityToken: answer.Secret}, nil
	}
	return authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}

// plainText keeps a foreign text from controlling a terminal or flooding a log.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
